//! Tests `edgetrust federation check` on the files of a mesh's folder, on sites without gateways, and on a large mesh.

use std::fmt::Write as _;
use std::path::Path;

use serde_json::{Value, json};

use super::federation::Made;
use super::federation_check::{checked, edit, says};
use super::peers::{edgetrust, shell};
use super::pki::arg;

#[test]
fn a_configuration_that_was_changed_by_hand_is_compared_with_the_mesh() {
    let made = Made::new();
    let file = made.file("sites/a/gateway.json");
    let written = std::fs::read_to_string(&file).unwrap();
    // Another address is kept by every change of the mesh, and is no difference.
    std::fs::write(&file, written.replace("127.0.0.1:9001", "127.0.0.1:9999")).unwrap();
    let report = checked(&made, "", 0);
    assert!(!says(&report, "notes", &["gateway.json"]) && !says(&report, "warnings", &["gateway.json"]), "{report:#}");
    // One tunnel is gone, one leads nowhere, and something else is different too.
    let mut changed: Value = serde_json::from_str(&written).unwrap();
    let tunnels = changed["gateway"]["tunnels"].as_array_mut().unwrap();
    tunnels.retain(|tunnel| tunnel["to"] != "b");
    tunnels.push(json!({"name": "x", "mode": "client", "service": "feed", "to": "x", "listen": "127.0.0.1:9100"}));
    tunnels.push(json!({"name": "own", "mode": "server", "listen": "127.0.0.1:9101", "target": "127.0.0.1:1"}));
    std::fs::write(&file, changed.to_string()).unwrap();
    let report = checked(&made, "", 0);
    let parts = ["sites/a/gateway.json: was changed by hand", r#"it lacks a tunnel for "feed" to "b""#];
    assert!(says(&report, "notes", &parts), "{report:#}");
    assert!(says(&report, "notes", &[r#"no link of the mesh is for its tunnel "feed" to "x""#]), "{report:#}");
    changed["gateway"]["mesh"]["site"] = json!("b");
    std::fs::write(&file, changed.to_string()).unwrap();
    assert!(says(&checked(&made, "", 0), "notes", &[r#"it is for site "b""#]));
    std::fs::write(&file, "{").unwrap();
    assert!(says(&checked(&made, "", 0), "notes", &["it is no configuration of a gateway"]));
    std::fs::remove_file(&file).unwrap();
    assert!(!says(&checked(&made, "", 0), "notes", &["gateway.json"]), "a site has taken its files away");
}

#[test]
fn files_that_do_not_follow_the_mesh_yet_are_named() {
    let made = Made::new();
    edit(&made, |mesh| {
        mesh["links"] = json!([{"service": "feed", "from": ["a"], "to": ["b"]}]);
    });
    std::fs::write(made.file("sites/c/mesh.signed.json"), "old").unwrap();
    let report = checked(&made, "", 0);
    for part in [
        "sites/a/gateway.json: has other tunnels than the mesh",
        "sites/c/mesh.signed.json: is not mesh.signed.json as it is here",
    ] {
        assert!(says(&report, "warnings", &[part]), "{part}: {report:#}");
    }
    assert!(says(&report, "warnings", &["mesh.signed.json is not mesh.json as it is"]), "{report:#}");
    made.done("link a c --service feed");
    let report = checked(&made, "", 0);
    assert!(!says(&report, "warnings", &["gateway.json"]) && !says(&report, "warnings", &["mesh.json"]), "{report:#}");
    assert!(says(&report, "warnings", &["root.key: the root's key is here"]), "{report:#}");
    assert!(says(&report, "warnings", &["the keys of 3 sites are here"]), "{report:#}");
    shell(&made.path, "rm root/root.key sites/*/ca.key signer/*");
    let report = checked(&made, "", 0);
    assert_eq!(report["warnings"], json!([]));
    assert_eq!(report["impersonations"].as_array().unwrap().len(), 1, "there is no signer here: {report:#}");
}

#[test]
fn a_site_without_a_gateway_reaches_nobody() {
    let made = Made::new();
    edit(&made, |mesh| mesh["sites"][1]["gateways"] = json!([]));
    let report = checked(&made, "", 1);
    let reason = |from: &str, to: &str| {
        let mut links = report["links"].as_array().unwrap().iter();
        links.find(|link| link["from"] == from && link["to"] == to).unwrap()["reason"].as_str().unwrap().to_owned()
    };
    assert!(reason("b", "a").contains("site b has no gateway"), "{}", reason("b", "a"));
    assert!(reason("a", "b").contains(r#"site "b" of the mesh has no gateway"#), "{}", reason("a", "b"));
}

/// Every gateway of a site has to be let in, and the first one is dialled.
#[test]
fn all_gateways_of_a_site_are_judged() {
    let made = Made::new();
    edit(&made, |mesh| {
        let gateways = mesh["sites"][0]["gateways"].as_array_mut().unwrap();
        gateways.push(json!({"host": "second.a.example"}));
        mesh["sites"][0]["domains"].as_array_mut().unwrap().push(json!("a2.example"));
    });
    checked(&made, "", 0);
    edit(&made, |mesh| mesh["sites"][0]["gateways"][1]["host"] = json!("second.a2.example"));
    let report = checked(&made, "", 1);
    for link in report["links"].as_array().unwrap() {
        // Others dial the first gateway, whose name the CA may issue.
        assert_eq!(link["holds"], link["from"] != "a", "{link}");
    }
}

/// Writes a mesh of so many sites into a folder; each reaches the first ten for one service.
pub fn large(folder: &Path, sites: usize) {
    let made = Made::new();
    let root = made.json("mesh.json")["roots"][0].as_str().unwrap().to_owned();
    let key = shell(&made.path, "openssl pkey -in root/root.key -passin file:passwords/root").stdout;
    let key = rcgen::KeyPair::from_pem(&String::from_utf8(key).unwrap()).unwrap();
    let mut params = rcgen::CertificateParams::default();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::OrganizationName, "Example Mesh");
    params.distinguished_name.push(rcgen::DnType::CommonName, "Example Mesh Root");
    let issuer = rcgen::Issuer::new(params, key);
    let mut text = String::new();
    for number in 0..sites {
        let mut params = rcgen::CertificateParams::default();
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, format!("CA {number}"));
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign];
        params.extended_key_usages =
            vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth, rcgen::ExtendedKeyUsagePurpose::ClientAuth];
        params.name_constraints = Some(rcgen::NameConstraints {
            permitted_subtrees: vec![rcgen::GeneralSubtree::DnsName(format!("s{number}.example"))],
            excluded_subtrees: Vec::new(),
        });
        let ca = params.signed_by(&rcgen::KeyPair::generate().unwrap(), &issuer).unwrap();
        let ca = base64::Engine::encode(&base64::prelude::BASE64_STANDARD, ca.der());
        let comma = if number == 0 { "" } else { "," };
        write!(
            text,
            r#"{comma}{{"name":"s{number}","domains":["s{number}.example"],"issuers":["{ca}"],"gateways":[{{"host":"g.s{number}.example"}}]}}"#
        )
        .unwrap();
    }
    let to: Vec<String> = (0..10).map(|number| format!("s{number}")).collect();
    let links: Vec<Value> = to.iter().map(|to| json!({"service": "feed", "from": ["*"], "to": [to]})).collect();
    let text = format!(
        r#"{{"mesh":"Large","sequence":1,"not_after":"2126-01-01T00:00:00Z","roots":["{root}"],"sites":[{text}],"services":[{{"name":"feed","port":8443}}],"links":{},"denied_keys":[]}}"#,
        json!(links)
    );
    std::fs::write(folder.join("mesh.json"), text).unwrap();
}

/// There are too many pairs to list them all, and too many sites for a table.
#[test]
fn of_a_large_mesh_the_wanted_links_alone_are_listed() {
    let folder = tempfile::tempdir().unwrap();
    large(folder.path(), 80);
    let path = arg(folder.path());
    let output = edgetrust(&["federation", "check", &path, "--json"]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let links = report["links"].as_array().unwrap();
    assert_eq!((output.status.code(), links.len()), (Some(0), 10 * 79));
    assert!(links.iter().all(|link| link["wanted"] == true && link["holds"] == true));
    assert!(says(&report, "warnings", &["mesh.json is not signed"]), "{:#}", report["warnings"]);
    let said = String::from_utf8(edgetrust(&["federation", "check", &path]).stdout).unwrap();
    for part in ["790 hold, 0 do not", "a table of 80 sites is too wide", "all that hold do so until", "and 70 more"] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let text = std::fs::read_to_string(folder.path().join("mesh.json")).unwrap();
    std::fs::write(folder.path().join("mesh.json"), text.replacen(r#""to":["s0"]"#, r#""to":["*"]"#, 1)).unwrap();
    let said = String::from_utf8(edgetrust(&["federation", "check", &path]).stdout).unwrap();
    assert!(said.contains("warning: site s79: found 80 tunnels, expected at most 32"), "{said}");
}

/// A mesh to which sites are still to be added.
#[test]
fn a_mesh_without_sites_has_nothing_to_judge() {
    let folder = tempfile::tempdir().unwrap();
    let path = arg(&folder.path().join("mesh"));
    let made = edgetrust(&["federation", "init", &path, "--name", "Example", "--root-only"]);
    assert_eq!(made.status.code(), Some(0), "{made:?}");
    let output = edgetrust(&["federation", "check", &path]);
    let said = String::from_utf8(output.stdout).unwrap();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(
        said.starts_with("Example: sequence 1, 0 sites; of the wanted links 0 hold, 0 do not\nwho could pass"),
        "{said}"
    );
}
