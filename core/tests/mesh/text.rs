//! Tests the text of a mesh: what it says, and each error with its place.

use edgetrust_core::mesh::{Digest, Mesh, SiteIssuer};
use edgetrust_core::path::DeniedKey;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyHash};

use crate::pki::{Ca, base64, ca_params, filled, hash, leaf_params, root, text};

#[test]
fn a_mesh_says_what_its_text_says() {
    let text = text(&[]);
    let mesh = Mesh::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((mesh.name(), mesh.sequence()), ("Example Mesh", 7));
    assert_eq!(mesh.previous(), Digest::parse(&hash(9)));
    assert_eq!(mesh.not_after(), Utc::parse("2027-06-01T00:00:00Z").map(|time| time.0));
    let mut out = [0; 2_048];
    assert_eq!(mesh.roots().next().unwrap().decode(&mut out), Some(root().der.as_slice()));
    assert_eq!(mesh.sites().map(|site| site.name()).collect::<Vec<_>>(), ["c", "a", "b"]);
    let a = mesh.site("a").unwrap();
    assert_eq!(a.domains().collect::<Vec<_>>(), ["a.example", "a.test"]);
    let gateways: Vec<_> = a.gateways().map(|gateway| (gateway.host(), gateway.address())).collect();
    assert_eq!(gateways, [("gateway.a.example", Some([192, 0, 2, 7].into())), ("a.test", None)]);
    let first = a.gateways().next().unwrap();
    assert_eq!((first.port("feed"), first.port("nats")), (Some(9_443), None));
    let services: Vec<_> = mesh.services().map(|service| (service.name(), service.port())).collect();
    assert_eq!(services, [("feed", 8_443), ("nats", 7_443)]);
    let link = mesh.links().next().unwrap();
    assert_eq!(link.service(), "feed");
    assert_eq!(link.from().chain(link.to()).collect::<Vec<_>>(), ["a", "b", "c"]);
    let denied = mesh.denied_keys().next().unwrap();
    assert_eq!((denied.key(), denied.reason()), (KeyHash::parse(&hash(8)).unwrap(), Some("laptop stolen")));
    let until = Utc::parse("2027-01-01T00:00:00Z").map(|time| time.0);
    assert_eq!(DeniedKey::from(denied), DeniedKey { key: denied.key(), until });
    assert!(mesh.site("d").is_none() && mesh.service("mqtt").is_none());
}

#[test]
fn an_issuer_is_a_certificate_or_the_hash_of_its_key() {
    let text = text(&[]);
    let mesh = Mesh::parse(text.as_bytes()).unwrap();
    let b = mesh.site("b").unwrap();
    let of_root = KeyHash::of(&Certificate::from_der(&root().der).unwrap().subject_public_key_info());
    assert_eq!(b.issuer_keys().collect::<Vec<_>>(), [KeyHash::parse(&hash(2)).unwrap(), of_root]);
    assert!(matches!(b.issuers().nth(1), Some(SiteIssuer::Certificate(_))));
}

#[test]
fn what_may_be_left_out() {
    let text = filled(
        r#"{"mesh": "M", "sequence": 18446744073709551615, "roots": ["@root"], "sites": [], "services": [], "links": []}"#,
    );
    let mesh = Mesh::parse(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!(mesh.sequence(), u64::MAX);
    assert_eq!((mesh.previous(), mesh.not_after()), (None, None));
    assert_eq!((mesh.sites().count(), mesh.links().count(), mesh.denied_keys().count()), (0, 0, 0));
}

/// Checks that a change of the text is the error.
#[track_caller]
fn refused(from: &str, to: &str, expected: &str) {
    let text = text(&[(from, to)]);
    let error = Mesh::parse(text.as_bytes()).map(|_| ()).expect_err(to);
    assert_eq!(error.to_string(), expected, "{from} -> {to}");
    assert!(text.as_bytes().get(error.offset as usize).is_some(), "{error}: {}", error.offset);
}

#[test]
fn keys_are_known_once_and_there() {
    for (from, to, expected) in [
        (
            r#""sequence": 7"#,
            r#""sequenze": 7"#,
            r#"sequenze: found "sequenze", expected a known key; did you mean "sequence"?"#,
        ),
        (
            r#"{"host": "a.test"}"#,
            r#"{"hosts": "a.test"}"#,
            r#"sites[1].gateways[1].hosts: found "hosts", expected a known key; did you mean "host"?"#,
        ),
        (r#", "from": ["a"]"#, "", "links[0].from: found nothing, expected this key"),
        (r#""sequence": 7, "#, "", "sequence: found nothing, expected this key"),
        (r#"{"host": "gateway.b.example"}"#, "{}", "sites[2].gateways[0].host: found nothing, expected this key"),
        (r#""name": "b", "#, r#""name": "b", "name": "b", "#, r#"sites[2].name: found "name", expected each key once"#),
        (
            r#"{"feed": 9443}"#,
            r#"{"feed": 9443, "feed": 1}"#,
            r#"sites[1].gateways[0].ports.feed: found "feed", expected each service once"#,
        ),
        (r#"{"host": "a.test"}"#, "7", "sites[1].gateways[1]: found 7, expected an object"),
        (r#""services": ["#, r#""services": {}, "x": ["#, "services: found an object, expected a list"),
        (r#"{"host": "a.test"}"#, r#"{"host": "a.test"},"#, "sites[1].gateways[2]: found ']', expected an object"),
        (r#"["a"], "to""#, r#"["a" "c"], "to""#, r#"links[0].from: found "c", expected , or ]"#),
        (r#"{"service": "feed", "#, r#"{"service": "feed" "#, r#"links[0]: found "from", expected , or }"#),
        (r#"{"service": "feed", "#, r#"{"service", "feed", "#, "links[0].service: found ',', expected : after the key"),
    ] {
        refused(from, to, expected);
    }
}

#[test]
fn values_are_of_their_kind() {
    const LABEL: &str = "expected a name of 1 to 63 of a to z, 0 to 9 and -, not first or last";
    const SEQUENCE: &str = "expected a whole number from 1 to 18446744073709551615";
    const TIME: &str = r#"expected a time in UTC such as "2027-06-01T00:00:00Z""#;
    const HOST: &str = "expected a DNS name in small letters, without a dot at its end";
    const HASH: &str = "expected sha256: and 64 hexadecimal digits";
    for (from, to, expected) in [
        (
            r#""Example Mesh""#,
            r#""""#,
            r#"mesh: found "", expected a name of 1 to 128 octets without control characters"#.to_owned(),
        ),
        (r#""sequence": 7"#, r#""sequence": 0"#, format!("sequence: found 0, {SEQUENCE}")),
        (r#""sequence": 7"#, r#""sequence": "7""#, format!("sequence: found \"7\", {SEQUENCE}")),
        (r#""sequence": 7"#, r#""sequence": 7.0"#, format!("sequence: found 7.0, {SEQUENCE}")),
        (
            r#""sequence": 7"#,
            r#""sequence": 18446744073709551616"#,
            format!("sequence: found 18446744073709551616, {SEQUENCE}"),
        ),
        ("@hash9", "@hash", format!("previous: found \"@hash\", {HASH}")),
        ("2027-06-01T00:00:00Z", "2027-06-01", format!("not_after: found \"2027-06-01\", {TIME}")),
        ("2027-06-01T00:00:00Z", "2027-06-31T00:00:00Z", format!("not_after: found \"2027-06-31T00:00:00Z\", {TIME}")),
        (r#""name": "b""#, r#""name": "B""#, format!("sites[2].name: found \"B\", {LABEL}")),
        (r#""name": "b""#, r#""name": "-b""#, format!("sites[2].name: found \"-b\", {LABEL}")),
        (r#""name": "feed""#, r#""name": """#, format!("services[0].name: found \"\", {LABEL}")),
        (r#"["b.example"]"#, r#"["b.example."]"#, format!("sites[2].domains[0]: found \"b.example.\", {HOST}")),
        (
            r#""gateway.b.example""#,
            r#""*.b.example""#,
            format!("sites[2].gateways[0].host: found \"*.b.example\", {HOST}"),
        ),
        (
            "192.0.2.7",
            "192.0.2.256",
            "sites[1].gateways[0].address: found \"192.0.2.256\", expected an IP address".to_owned(),
        ),
        ("9443", "0", "sites[1].gateways[0].ports.feed: found 0, expected a port from 1 to 65535".to_owned()),
        ("8443", "65536", "services[0].port: found 65536, expected a port from 1 to 65535".to_owned()),
        ("@hash8", "sha1:00", format!("denied_keys[0].key: found \"sha1:00\", {HASH}")),
        (
            "laptop stolen",
            "laptop\\nstolen",
            "denied_keys[0].reason: found '\\\\', expected text without \\".to_owned(),
        ),
        ("2027-01-01T00:00:00Z", "soon", format!("denied_keys[0].until: found \"soon\", {TIME}")),
        (r#""links": ["#, r#""links": [ // all of them"#, "links: found '/', expected a JSON value".to_owned()),
    ] {
        refused(from, to, &expected);
    }
}

#[test]
fn values_go_with_each_other() {
    for (from, to, expected) in [
        (r#""name": "b""#, r#""name": "a""#, r#"sites[2].name: found "a", expected a name of no other site"#),
        (
            r#""name": "nats""#,
            r#""name": "feed""#,
            r#"services[1].name: found "feed", expected a name of no other service"#,
        ),
        (
            r#"["b.example"]"#,
            r#"["b.a.example"]"#,
            r#"sites[2].gateways[0].host: found "gateway.b.example", expected a name equal to a domain of the site or below one: "b.a.example""#,
        ),
        (
            r#"["c.example"]"#,
            r#"["c.b.example"]"#,
            r#"sites[2].domains[0]: found "b.example", expected a domain that is not another one, nor below or above another: "c.b.example""#,
        ),
        (
            r#""a.test"]"#,
            r#""a.test", "b.example"]"#,
            r#"sites[2].domains[0]: found "b.example", expected a domain that is not another one, nor below or above another: "b.example""#,
        ),
        (r#"["b.example"]"#, "[]", "sites[2].domains: found nothing, expected at least one domain"),
        (r#"["@hash3"]"#, "[]", "sites[0].issuers: found nothing, expected at least one issuer"),
        (r#""@hash3""#, r#""@hash2""#, "sites[2].issuers[0]: found a hash, expected a key of no other issuer"),
        (
            r#"{"host": "a.test"}"#,
            r#"{"host": "gateway.a.example"}"#,
            r#"sites[1].gateways[1].host: found "gateway.a.example", expected a name of no other gateway"#,
        ),
        (
            r#"{"feed": 9443}"#,
            r#"{"fed": 9443}"#,
            r#"sites[1].gateways[0].ports.fed: found "fed", expected the name of a service"#,
        ),
        (
            r#""service": "nats""#,
            r#""service": "natz""#,
            r#"links[1].service: found "natz", expected the name of a service"#,
        ),
        (r#""to": ["b", "c"]"#, r#""to": ["b", "d"]"#, r#"links[0].to[1]: found "d", expected the name of a site"#),
        (r#""to": ["b", "c"]"#, r#""to": ["b", "b"]"#, r#"links[0].to[1]: found "b", expected each site once"#),
        (
            r#""to": ["b", "c"]"#,
            r#""to": ["b", "*"]"#,
            r#"links[0].to[1]: found "*", expected "*" alone, or names of sites alone"#,
        ),
        (
            r#""from": ["*"]"#,
            r#""from": ["*", "b"]"#,
            r#"links[1].from[1]: found "b", expected "*" alone, or names of sites alone"#,
        ),
        (r#""from": ["*"]"#, r#""from": []"#, r#"links[1].from: found nothing, expected at least one site, or "*""#),
        (
            r#"[{"key": "@hash8", "#,
            r#"[{"key": "@hash8"}, {"key": "@hash8", "#,
            "denied_keys[1].key: found a hash, expected each key once",
        ),
        (r#""roots": ["@root"]"#, r#""roots": []"#, "roots: found nothing, expected at least one root"),
    ] {
        refused(from, to, expected);
    }
}

#[test]
fn one_key_is_one_issuer_whatever_the_certificate() {
    let renewed = root().issue(&ca_params("Root", None), &root().key);
    let text = text(&[(r#"["@hash3"]"#, &format!("[\"{}\"]", base64(&renewed)))]);
    let error = Mesh::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("sites[2].issuers[1]: found \"MII"), "{error}");
    assert!(error.ends_with("expected a key of no other issuer"), "{error}");
}

/// Returns the text of a hash whose octets are zeros but for one.
fn nearly_zero(octet: usize, value: u8) -> String {
    let mut octets = [0; 32];
    octets[octet] = value;
    KeyHash::new(octets).to_string()
}

#[test]
fn hashes_are_compared_whole() {
    // All but one have the same first 64 bits.
    let keys: Vec<_> = [0, 7, 8, 15, 16, 23, 24, 31].into_iter().map(|octet| nearly_zero(octet, 1)).collect();
    let denied = |keys: &[String]| {
        let list: Vec<_> = keys.iter().map(|key| format!(r#"{{"key": "{key}"}}"#)).collect();
        text(&[(r#""denied_keys": ["#, &format!(r#""denied_keys": [{}, "#, list.join(", ")))])
    };
    let issuers = |keys: &[String]| text(&[(r#"["@hash3"]"#, &format!("[\"{}\"]", keys.join("\", \"")))]);
    for (list, expected) in [
        (&denied as &dyn Fn(&[String]) -> String, "denied_keys[7].key: found a hash, expected each key once"),
        (&issuers, "sites[0].issuers[7]: found a hash, expected a key of no other issuer"),
    ] {
        let good = list(&keys);
        assert!(Mesh::parse(good.as_bytes()).is_ok(), "{:?}", Mesh::parse(good.as_bytes()));
        for twice in 0..7 {
            let mut keys = keys.clone();
            keys[7] = keys[twice].clone();
            let text = list(&keys);
            assert_eq!(Mesh::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string(), expected);
        }
    }
}

#[test]
fn a_thousand_keys_with_equal_first_bits_are_told_apart() {
    let keys: Vec<_> = (0..1_023_u16)
        .map(|number| {
            let mut octets = [0; 32];
            octets[30..].copy_from_slice(&number.to_be_bytes());
            format!(r#"{{"key": "{}"}}"#, KeyHash::new(octets))
        })
        .collect();
    let good = text(&[(r#""denied_keys": ["#, &format!(r#""denied_keys": [{}, "#, keys.join(", ")))]);
    assert!(Mesh::parse(good.as_bytes()).is_ok());
    let bad = good.replace(&keys[1_000], &keys[7]);
    let error = Mesh::parse(bad.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert_eq!(error, "denied_keys[1000].key: found a hash, expected each key once");
}

#[test]
fn certificates_are_of_cas() {
    let leaf = base64(&Ca::root(leaf_params("Leaf")).der);
    let cut = base64(&root().der[..root().der.len() - 1]);
    let padded = base64(&root().der) + "=";
    let long = base64(&[0; 8_193]);
    for (certificate, expected) in [
        (leaf.as_str(), "expected a certificate of a CA: cA and keyCertSign (RFC 5280 section 4.2.1.3)"),
        (cut.as_str(), "expected a certificate in DER: at byte 0: not the DER expected here"),
        (&padded, "expected base64 with padding (RFC 4648 section 4)"),
        (&long, "expected a certificate of at most 8192 octets"),
        ("", "expected a certificate in DER: at byte 0: not the DER expected here"),
    ] {
        for (key, place) in [(r#""roots": ["@root"]"#, "roots[0]"), (r#""issuers": ["@hash3"]"#, "sites[0].issuers[0]")]
        {
            let name = key.split('[').next().unwrap();
            let text = text(&[(key, &format!("{name}[\"{certificate}\"]"))]);
            let error = Mesh::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
            assert!(error.starts_with(&format!("{place}: found \"")), "{error}");
            assert!(error.ends_with(expected), "{error}");
        }
    }
    let text = text(&[(r#""roots": ["@root"]"#, r#""roots": ["@root", "@root"]"#)]);
    let error = Mesh::parse(text.as_bytes()).map(|_| ()).unwrap_err().to_string();
    assert!(error.starts_with("roots[1]: ") && error.ends_with("expected each root once"), "{error}");
}

#[test]
fn a_text_is_one_object() {
    let good = text(&[]).trim_end().to_owned();
    for text in [String::new(), "[]".to_owned(), good[..good.len() - 1].to_owned(), format!("{good} {{}}")] {
        assert!(Mesh::parse(text.as_bytes()).is_err(), "{text}");
    }
    // RFC 8259 section 8.1
    assert!(Mesh::parse(format!("\u{feff}{good}\n").as_bytes()).is_ok());
    let mut octets = good.into_bytes();
    let place = octets.iter().position(|octet| *octet == b'E').unwrap();
    octets[place] = 0xff;
    assert_eq!(Mesh::parse(&octets).map(|_| ()).unwrap_err().to_string(), "mesh: found byte 0xff, expected UTF-8");
}
