//! Tests `edgetrust federation check`: who reaches whom, judged by the certificates and keys of a mesh.

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
};
use serde_json::{Value, json};
use time::{Duration, OffsetDateTime};

use super::federation::{Made, federation};
use super::peers::{edgetrust, shell};
use super::pki::arg;

/// Runs the command with `--json`, which ends with this exit code.
pub fn checked(made: &Made, options: &str, code: i32) -> Value {
    let output = made.run(&format!("check --json {options}"));
    let [said, error] = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned());
    assert_eq!(output.status.code(), Some(code), "{said}{error}");
    serde_json::from_str(&said).unwrap()
}

/// Returns what a report says of one link.
fn link<'r>(report: &'r Value, from: &str, to: &str) -> &'r Value {
    let mut links = report["links"].as_array().unwrap().iter();
    links.find(|link| link["from"] == from && link["to"] == to && link["service"] == "feed").unwrap()
}

/// Returns the wanted links that hold, as `ab`.
fn holding(report: &Value) -> Vec<String> {
    let links = report["links"].as_array().unwrap().iter();
    let holding = links.filter(|link| link["wanted"] == true && link["holds"] == true);
    holding.map(|link| format!("{}{}", link["from"].as_str().unwrap(), link["to"].as_str().unwrap())).collect()
}

/// Returns whether a list of texts has one with all these parts.
pub fn says(report: &Value, list: &str, parts: &[&str]) -> bool {
    let mut texts = report[list].as_array().unwrap().iter().map(|text| text.as_str().unwrap());
    texts.any(|text| parts.iter().all(|part| text.contains(part)))
}

/// Changes `mesh.json` by hand.
pub fn edit(made: &Made, change: impl FnOnce(&mut Value)) {
    let mut mesh = made.json("mesh.json");
    change(&mut mesh);
    std::fs::write(made.file("mesh.json"), serde_json::to_string_pretty(&mesh).unwrap()).unwrap();
}

/// A CA that the mesh's root certifies, or another one.
struct Root(Issuer<'static, KeyPair>);

impl Root {
    /// Opens the root of a mesh by openssl.
    fn of(made: &Made) -> Self {
        let key = shell(&made.path, "openssl pkey -in root/root.key -passin file:passwords/root").stdout;
        Self::new(KeyPair::from_pem(&String::from_utf8(key).unwrap()).unwrap())
    }

    fn new(key: KeyPair) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Example Mesh Root");
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        Self(Issuer::new(params, key))
    }

    /// Puts the certificate of a CA in the place of that of site b, and returns it.
    fn certify_b(
        &self,
        made: &Made,
        key: &KeyPair,
        change: impl FnOnce(&mut CertificateParams),
    ) -> (CertificateParams, rcgen::Certificate) {
        let mut params = CertificateParams::default();
        params.distinguished_name = name("Another CA of b");
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        params.custom_extensions = vec![only("b.example")];
        params.use_authority_key_identifier_extension = true;
        let now = OffsetDateTime::now_utc();
        (params.not_before, params.not_after) = (now - Duration::days(30), now + Duration::days(1000));
        change(&mut params);
        let certificate = params.signed_by(key, &self.0).unwrap();
        edit(made, |mesh| mesh["sites"][1]["issuers"] = json!([BASE64_STANDARD.encode(certificate.der())]));
        (params, certificate)
    }
}

fn name(common_name: &str) -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::OrganizationName, "Example Mesh");
    name.push(DnType::CommonName, common_name);
    name
}

/// Name constraints that permit one domain (RFC 5280 section 4.2.1.10).
fn only(domain: &str) -> CustomExtension {
    let value = |tag: u8, contents: &[u8]| [&[tag, u8::try_from(contents.len()).unwrap()], contents].concat();
    let subtrees = value(0xa0, &value(0x30, &value(0x82, domain.as_bytes())));
    let mut constraints = CustomExtension::from_oid_content(&[2, 5, 29, 30], value(0x30, &subtrees));
    constraints.set_criticality(true);
    constraints
}

fn key() -> KeyPair {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).unwrap()
}

const ALL: [&str; 6] = ["ab", "ac", "ba", "bc", "ca", "cb"];
const WITHOUT_B: [&str; 2] = ["ac", "ca"];

#[test]
fn all_links_of_a_new_mesh_hold() {
    let made = Made::new();
    let before = made.contents();
    let said = made.done("check");
    for part in [
        "Example Mesh: sequence 1, 3 sites; of the wanted links 6 hold, 0 do not\n",
        "feed  a    b    c\na     .    yes  yes\nb     yes  .    yes\nc     yes  yes  .\n",
        "  a reaches b for feed until 20",
        ", let in as gateway.a.example by the CA of site a\n",
        "the root O=Example Mesh,CN=Example Mesh Root for any site: it certifies a signer",
        "the signer of generation 1 for any site: it signs a mesh",
        " mesh.json\n",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    assert!(!said.contains("\ndoes not hold\n") && !said.contains("ends at") && !said.contains("can issue"), "{said}");
    assert_eq!(made.contents(), before, "nothing is changed");
    let report = checked(&made, "", 0);
    assert_eq!(holding(&report), ALL);
    let ends: Vec<_> = report["expiries"].as_array().unwrap().iter().map(|expiry| &expiry["what"]).collect();
    assert_eq!(ends.len(), 6, "a root, three CAs, a signer, a mesh: {ends:?}");
    assert_eq!((ends[0], ends[5].as_str().unwrap().starts_with("the root ")), (&json!("mesh.json"), true));
    let until = report["expiries"][2]["until"].as_str().unwrap();
    assert_eq!(link(&report, "a", "b")["until"], until, "the CAs end before the root");
    let impersonations = report["impersonations"].as_array().unwrap();
    assert_eq!(impersonations.len(), 2, "the root and the signer: {impersonations:?}");
}

#[test]
fn the_report_has_one_shape() {
    let made = Made::new();
    let report = checked(&made, "", 0);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<Vec<_>>();
    let expected = ["changes", "expiries", "impersonations", "links", "mesh", "notes", "sequence", "warnings"];
    let mut found = keys(&report);
    found.sort();
    assert_eq!(found, expected);
    for link in report["links"].as_array().unwrap() {
        let mut found = keys(link);
        found.sort();
        assert_eq!(found, ["from", "holds", "reason", "rule", "service", "to", "until", "wanted"]);
        assert_eq!((&link["reason"], link["rule"]["dns"].is_string()), (&Value::Null, true));
    }
    let shape = |list: &str| {
        let mut found = keys(&report[list][0]);
        found.sort();
        found
    };
    assert_eq!(shape("impersonations"), ["as", "by", "how", "service"]);
    assert_eq!(shape("expiries"), ["ends_soon", "until", "what"]);
}

#[test]
fn a_denied_ca_breaks_its_own_links_for_a_reason() {
    let made = Made::new();
    shell(&made.path, "edgetrust federation deny . --certificate sites/b/ca.pem --reason 'laptop stolen' --yes");
    let report = checked(&made, "", 1);
    assert_eq!(holding(&report), WITHOUT_B);
    for (from, to) in [("a", "b"), ("b", "c")] {
        let link = link(&report, from, to);
        let reason = link["reason"].as_str().unwrap();
        assert_eq!((&link["wanted"], &link["holds"], &link["until"]), (&json!(true), &json!(false), &Value::Null));
        for part in ["the CA of site b (", "the mesh denies its key sha256:", "(laptop stolen)", "federation allow"] {
            assert!(reason.contains(part), "{part}: {reason}");
        }
    }
    let output = made.run("check");
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("a     .    NO   yes\nb     NO   .    NO\nc     yes  NO   .\n"), "{said}");
    assert!(said.contains("  a to b for feed, b to a for feed, b to c for feed, c to b for feed\n"), "{said}");
    assert_eq!(said.matches("laptop stolen").count(), 1, "{said}");
}

#[test]
fn a_denied_root_or_signer_is_named() {
    let made = Made::new();
    shell(&made.path, "edgetrust federation deny . --certificate signer/signer.pem --yes");
    let report = checked(&made, "", 0);
    assert!(says(&report, "warnings", &["the signer: the mesh denies its key sha256:"]), "{report:#}");
    assert_eq!(report["impersonations"].as_array().unwrap().len(), 1, "the root alone");
    shell(&made.path, "edgetrust federation deny . --certificate root/root.pem --reason lost --yes");
    let report = checked(&made, "", 1);
    assert!(holding(&report).is_empty());
    assert_eq!(report["impersonations"], json!([]));
    let reason = link(&report, "a", "b")["reason"].as_str().unwrap();
    assert!(reason.starts_with("the root above the CA of site a (") && reason.contains("(lost)"), "{reason}");
}

#[test]
fn a_denial_that_has_ended_or_is_of_nobody_here_breaks_nothing() {
    let made = Made::new();
    shell(&made.path, "edgetrust federation deny . --certificate sites/b/ca.pem --until 2126-01-01 --yes");
    edit(&made, |mesh| mesh["denied_keys"][0]["until"] = json!("2026-01-01T00:00:00Z"));
    assert_eq!(holding(&checked(&made, "", 0)), ALL);
    made.done(&format!("deny --key sha256:{}", "0".repeat(64)));
    let report = checked(&made, "", 0);
    assert!(says(&report, "notes", &["1 of the denied keys are none of these CAs"]), "{report:#}");
}

#[test]
fn a_pair_that_nobody_links_is_not_wanted_and_does_not_hold() {
    let made = Made::new();
    made.done("unlink a b --service feed --yes");
    let report = checked(&made, "", 0);
    let link = link(&report, "a", "b");
    assert_eq!((&link["wanted"], &link["holds"], &link["rule"]), (&json!(false), &json!(false), &Value::Null));
    let reason = link["reason"].as_str().unwrap();
    assert!(reason.contains(r#"no link of the mesh lets site "a" reach "feed" at site "b""#), "{reason}");
    assert_eq!(report["links"].as_array().unwrap().len(), 6);
    assert!(made.done("check").contains("a     .    -    yes\n"));
}

#[test]
fn each_service_has_its_links() {
    let made = Made::new();
    edit(&made, |mesh| {
        mesh["services"] = json!([{"name": "feed", "port": 8443}, {"name": "nats", "port": 7443}]);
        mesh["links"] = json!([{"service": "nats", "from": ["*"], "to": ["c"]}]);
    });
    let report = checked(&made, "", 0);
    assert_eq!(report["links"].as_array().unwrap().len(), 12);
    assert_eq!(holding(&report), ["ac", "bc"]);
    let said = made.done("check");
    assert!(
        said.contains("nats  a    b    c\na     .    -    yes\nb     -    .    yes\nc     -    -    .\n"),
        "{said}"
    );
    assert!(!said.contains("feed  a"), "{said}");
}

#[test]
fn the_end_of_a_ca_is_told_before_and_after() {
    let made = Made::new();
    let (root, key) = (Root::of(&made), key());
    root.certify_b(&made, &key, |params| params.not_after = OffsetDateTime::now_utc() + Duration::hours(30 * 24 + 12));
    let report = checked(&made, "", 0);
    assert_eq!(holding(&report), ALL);
    assert!(says(
        &report,
        "warnings",
        &["the CA of site b (", " ends at ", "in 30 days: ", "run edgetrust federation renew for site b"]
    ));
    let first = &report["expiries"][0];
    assert_eq!((&first["ends_soon"], &first["until"]), (&json!(true), &link(&report, "a", "b")["until"]));
    for (min_left, soon) in [("10d", false), ("31d", true), ("960h", true), ("0d", false)] {
        let report = checked(&made, &format!("--min-left {min_left}"), 0);
        assert_eq!(report["expiries"][0]["ends_soon"], soon, "{min_left}");
        assert_eq!(says(&report, "warnings", &["the CA of site b (", " ends at "]), soon, "{min_left}");
    }
    root.certify_b(&made, &key, |params| params.not_after = OffsetDateTime::now_utc() - Duration::days(1));
    let report = checked(&made, "", 1);
    assert_eq!(holding(&report), WITHOUT_B);
    let reason = link(&report, "c", "b")["reason"].as_str().unwrap();
    for part in ["the CA of site b (", "expired", "the root's holder has to give site b a CA certificate that is valid"]
    {
        assert!(reason.contains(part), "{part}: {reason}");
    }
    assert!(says(&report, "warnings", &["the CA of site b (", "has ended at"]), "{report:#}");
    root.certify_b(&made, &key, |params| params.not_before = OffsetDateTime::now_utc() + Duration::days(1));
    assert_eq!(holding(&checked(&made, "", 1)), WITHOUT_B);
}

#[test]
fn a_ca_that_could_issue_more_than_its_own_names_is_named() {
    let made = Made::new();
    let (root, key) = (Root::of(&made), key());
    root.certify_b(&made, &key, |params| params.custom_extensions.clear());
    let report = checked(&made, "", 0);
    assert_eq!(holding(&report), ALL, "its rules are bound to the keys of each site's CA");
    assert!(says(&report, "warnings", &["the CA of site b can issue names of other sites, as gateway.", "4.2.1.10"]));
    assert_eq!(report["impersonations"].as_array().unwrap().len(), 2, "no gateway takes it for another's");
    root.certify_b(&made, &key, |params| params.extended_key_usages.clear());
    let report = checked(&made, "", 0);
    assert!(says(&report, "warnings", &["the CA of site b has no extended key usage", "4.2.1.12"]), "{report:#}");
    root.certify_b(&made, &key, |params| params.extended_key_usages.push(ExtendedKeyUsagePurpose::CodeSigning));
    assert!(says(&checked(&made, "", 0), "warnings", &["the CA of site b has other purposes"]));
    root.certify_b(&made, &key, |params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained));
    assert!(says(&checked(&made, "", 0), "warnings", &["the CA of site b can have CAs below it"]));
}

#[test]
fn a_ca_that_could_not_issue_its_gateways_name_breaks_its_links() {
    let made = Made::new();
    let (root, key) = (Root::of(&made), key());
    root.certify_b(&made, &key, |params| params.custom_extensions = vec![only("x.example")]);
    let report = checked(&made, "", 1);
    assert_eq!(holding(&report), WITHOUT_B);
    let reason = link(&report, "b", "a")["reason"].as_str().unwrap();
    assert!(reason.contains("a CA certificate for the domains that the mesh has for the site"), "{reason}");
    // A gateway of b that is a server alone is still found.
    root.certify_b(&made, &key, |params| params.extended_key_usages.truncate(1));
    let report = checked(&made, "", 1);
    assert_eq!(holding(&report), ["ab", "ac", "ca", "cb"]);
    let reason = link(&report, "b", "a")["reason"].as_str().unwrap();
    assert!(reason.contains("with the purposes serverAuth and clientAuth"), "{reason}");
}

type Change = Box<dyn Fn(&mut CertificateParams)>;

/// A verdict without the key of a CA is the verdict on a certificate that the CA has issued.
#[test]
fn a_certificate_that_is_really_issued_has_the_same_verdict() {
    let made = Made::new();
    let (root, key) = (Root::of(&made), key());
    let day = Duration::days(1);
    let changes: [(&str, Change); 9] = [
        ("as it should be", Box::new(|_| {})),
        ("no name constraints", Box::new(|params| params.custom_extensions.clear())),
        ("another domain", Box::new(|params| params.custom_extensions = vec![only("x.example")])),
        ("no purposes", Box::new(|params| params.extended_key_usages.clear())),
        ("servers alone", Box::new(|params| params.extended_key_usages.truncate(1))),
        ("another purpose", Box::new(|params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::CodeSigning])),
        ("expired", Box::new(move |params| params.not_after = OffsetDateTime::now_utc() - day)),
        ("not yet valid", Box::new(move |params| params.not_before = OffsetDateTime::now_utc() + day)),
        ("any path length", Box::new(|params| params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained))),
    ];
    let mut refused = 0;
    for (what, change) in changes {
        let (ca, certificate) = root.certify_b(&made, &key, change);
        let mut leaf = CertificateParams::new(vec!["gateway.b.example".to_owned()]).unwrap();
        leaf.distinguished_name = name("gateway.b.example");
        leaf.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        leaf.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        leaf.use_authority_key_identifier_extension = true;
        let leaf = leaf.signed_by(&KeyPair::generate().unwrap(), &Issuer::from_params(&ca, &key)).unwrap();
        std::fs::write(made.file("ca.pem"), certificate.pem()).unwrap();
        std::fs::write(made.file("leaf.pem"), leaf.pem()).unwrap();
        let [anchor, ca, leaf] = ["root/root.pem", "ca.pem", "leaf.pem"].map(|file| arg(&made.file(file)));
        let is_taken = |purpose: &str| {
            let verify = ["verify", "--ca", &anchor, "--intermediate", &ca, "--leaf", &leaf, "--purpose", purpose];
            edgetrust(&verify).status.code() == Some(0)
        };
        let (as_client, as_server) = (is_taken("client"), is_taken("server"));
        refused += usize::from(!as_client) + usize::from(!as_server);
        let report = checked(&made, "", i32::from(!(as_client && as_server)));
        assert_eq!(link(&report, "b", "a")["holds"], as_client, "{what}: {report:#}");
        assert_eq!(link(&report, "a", "b")["holds"], as_server, "{what}: {report:#}");
    }
    assert_eq!(refused, 9, "four of the nine as both, and one as a client alone");
}

#[test]
fn a_ca_of_a_foreign_root_is_named() {
    let made = Made::new();
    // One root has the same name and another key, and one has nothing in common.
    for common_name in ["Example Mesh Root", "Another Root"] {
        let mut foreign = Root::new(key());
        let mut params = CertificateParams::default();
        params.distinguished_name = name(common_name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        foreign.0 = Issuer::new(params, key());
        foreign.certify_b(&made, &key(), |_| {});
        let report = checked(&made, "", 1);
        assert_eq!(holding(&report), WITHOUT_B);
        let expected = ["the CA of site b (", "Another CA of b", "a CA certificate issued by a root of this mesh"];
        let reason = link(&report, "a", "b")["reason"].as_str().unwrap();
        assert!(expected.iter().all(|part| reason.contains(part)), "{common_name}: {reason}");
        assert!(says(&report, "warnings", &expected), "{report:#}");
    }
}

/// While one root follows another, the mesh has both.
#[test]
fn a_ca_of_either_of_two_roots_is_good() {
    let made = Made::new();
    let mut params = CertificateParams::default();
    params.distinguished_name = name("Next Root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(2));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    params.not_after = OffsetDateTime::now_utc() + Duration::days(40);
    let key = key();
    let root = BASE64_STANDARD.encode(params.self_signed(&key).unwrap().der());
    Root(Issuer::new(params, key)).certify_b(&made, &self::key(), |_| {});
    assert_eq!(holding(&checked(&made, "", 1)), WITHOUT_B);
    edit(&made, |mesh| mesh["roots"].as_array_mut().unwrap().push(json!(root)));
    let report = checked(&made, "", 0);
    assert_eq!(holding(&report), ALL);
    // The next root ends first, and so do the links that need it.
    assert!(says(&report, "warnings", &["the root O=Example Mesh,CN=Next Root ends at "]), "{report:#}");
    let until = |from: &str, to: &str| link(&report, from, to)["until"].clone();
    assert_eq!(until("a", "b"), report["expiries"][0]["until"]);
    assert_ne!(until("a", "c"), until("a", "b"));
}

#[test]
fn one_good_ca_of_two_is_enough() {
    let made = Made::new();
    let before = made.json("mesh.json")["sites"][1]["issuers"][0].clone();
    Root::of(&made).certify_b(&made, &key(), |params| params.not_after = OffsetDateTime::now_utc() - Duration::days(1));
    edit(&made, |mesh| mesh["sites"][1]["issuers"].as_array_mut().unwrap().push(before));
    let report = checked(&made, "", 0);
    assert_eq!(holding(&report), ALL);
    assert!(says(&report, "warnings", &["the CA of site b (", "Another CA of b", "has ended at"]), "{report:#}");
}

#[test]
fn keys_that_devices_may_not_verify_are_told() {
    let made = Made::new();
    let key = KeyPair::generate_for(&PKCS_ECDSA_P384_SHA384).unwrap();
    Root::of(&made).certify_b(&made, &key, |_| {});
    let report = checked(&made, "", 0);
    assert_eq!(holding(&report), ALL);
    assert!(says(&report, "notes", &["the key of the CA of site b is ECDSA P-384", "with devices"]), "{report:#}");
}

#[test]
fn a_ca_of_which_there_is_only_a_hash_is_judged_by_the_certificate_in_its_folder() {
    let made = Made::new();
    let hash = made
        .done("show")
        .lines()
        .find(|line| line.contains("CA O=Example Mesh,CN=Site b CA"))
        .map(|line| line.rsplit(' ').next().unwrap().to_owned());
    let hash = hash.unwrap();
    edit(&made, |mesh| mesh["sites"][1]["issuers"] = json!([hash]));
    assert_eq!(holding(&checked(&made, "", 0)), ALL);
    // Another site's certificate does not count.
    shell(&made.path, "cp sites/a/ca.pem sites/b/ca.pem");
    let report = checked(&made, "", 0);
    assert_eq!(holding(&report), WITHOUT_B);
    let link_to_b = link(&report, "a", "b");
    assert_eq!((&link_to_b["holds"], &link_to_b["until"]), (&Value::Null, &Value::Null));
    let reason = link_to_b["reason"].as_str().unwrap();
    assert!(reason.starts_with("not judged: ") && reason.contains(&hash), "{reason}");
    let said = made.done("check");
    assert!(said.contains("2 hold, 0 do not, 4 were not judged") && said.contains("a     .    ?    yes\n"), "{said}");
    // A key that is denied needs no certificate.
    made.done(&format!("deny --key {hash} --reason stolen --yes"));
    let report = checked(&made, "", 1);
    let reason = link(&report, "a", "b")["reason"].as_str().unwrap();
    assert!(reason.contains("the mesh denies its key") && reason.contains("(stolen)"), "{reason}");
}

#[test]
fn what_is_no_mesh_is_refused() {
    let made = Made::new();
    for (change, expected) in [
        (
            Box::new(|mesh: &mut Value| mesh["sites"][1]["issuers"] = mesh["sites"][0]["issuers"].clone())
                as Box<dyn Fn(&mut Value)>,
            "found the key of site a for b",
        ),
        (Box::new(|mesh: &mut Value| mesh["links"][0]["to"] = json!(["x"])), "found site \"x\""),
        (Box::new(|mesh: &mut Value| mesh["roots"] = json!([])), "roots"),
    ] {
        let before = made.read("mesh.json");
        edit(&made, change);
        let error = made.refused("check", 2);
        assert!(error.contains("mesh.json: ") && error.contains(expected), "{error}");
        std::fs::write(made.file("mesh.json"), before).unwrap();
    }
    for (words, expected) in [
        (&["check", "/nowhere"][..], "/nowhere/mesh.json: not there"),
        (&["check", "/dev/null"], "/dev/null: cannot be opened: found no regular file"),
        (&["check"], "<DIR>"),
        (&["check", ".", "--min-left", "soon"], "expected a number of days or a duration, as 60d or 36h"),
        (&["check", ".", "--min-left"], "a value is required"),
    ] {
        let output = federation(words);
        let error = String::from_utf8(output.stderr).unwrap();
        assert_eq!((output.status.code(), error.contains(expected)), (Some(2), true), "{words:?}: {error}");
    }
}
