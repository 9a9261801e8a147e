//! Tests the findings of `edgetrust check` on CAs, pins and intermediates.

use std::path::Path;

use serde_json::{Value, json};

use super::peers::{edgetrust, shell};
use super::pki::{Pki, arg, self_signed};

/// Returns all findings as `level what`, and the list of certificates.
fn check(folder: &Path, config: &Value) -> (Vec<String>, Vec<Value>) {
    let file = folder.join("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let output = edgetrust(&["check", "--json", "--config", &arg(&file)]);
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    let findings = report["findings"].as_array().unwrap().iter();
    let findings =
        findings.map(|finding| format!("{} {}", finding["level"].as_str().unwrap(), finding["what"].as_str().unwrap()));
    (findings.collect(), report["certificates"].as_array().unwrap().clone())
}

fn has(findings: &[String], level: &str, what: &str) -> bool {
    findings.iter().any(|finding| finding.starts_with(level) && finding.contains(what))
}

/// Returns the configuration of a server of this PKI with these client CAs.
fn server(pki: &Pki, cas: &[&Path], mut rules: Value) -> Value {
    let (cert, key) = pki.issue("gateway", &["a.example"]);
    rules["enabled"] = json!(true);
    rules["client_ca_files"] = cas.iter().map(|ca| arg(ca)).collect();
    json!({"security": {"tls": {"server": {
        "enabled": true, "cert_file": arg(&cert), "key_file": arg(&key), "mtls": rules,
    }}}})
}

#[test]
fn what_can_issue_and_what_is_pinned_is_told() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let (pin, _) = self_signed(folder.path(), "location-b");
    let config = server(&pki, &[&pki.ca(), &pin], json!({"allowed_client_dns": ["location-b"]}));
    let (findings, certificates) = check(folder.path(), &config);
    assert!(has(&findings, "ok", "CN=Root is a CA, which can issue"), "{findings:#?}");
    assert!(has(&findings, "ok", "CN=location-b is a pin, which vouches for itself alone"), "{findings:#?}");
    assert!(!has(&findings, "warning", "sign it anew"), "{findings:#?}");
    let of = |name: &str| certificates.iter().find(|one| one["certificate"] == name).unwrap()["role"].clone();
    assert_eq!((of("CN=Root"), of("CN=location-b")), (json!("ca"), json!("pin")));
}

#[test]
fn a_root_without_key_usage_comes_with_its_remedy() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    shell(
        folder.path(),
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj '/CN=Old Root' -keyout root.key -out root.pem",
    );
    let root = folder.path().join("root.pem");
    let (findings, _) = check(folder.path(), &server(&pki, &[&root], json!({"allowed_client_dns": ["b.example"]})));
    let remedy = findings.iter().find(|finding| finding.contains("sign it anew")).expect("a remedy");
    assert!(remedy.starts_with("warning"), "{remedy}");
    let command = remedy.split_once("by the same key: ").unwrap().1.replace("ROOT.key", "root.key");
    shell(folder.path(), &command);
    let anew = folder.path().join("NEW.pem");
    let (findings, _) = check(folder.path(), &server(&pki, &[&anew], json!({"allowed_client_dns": ["b.example"]})));
    assert!(has(&findings, "ok", "CN=Old Root is a CA, which can issue"), "{findings:#?}");
}

#[test]
fn common_names_that_any_ca_below_could_issue_are_warned_of() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let below = pki.intermediate("Location B CA");
    let (pin, _) = self_signed(folder.path(), "location-c");
    for (ca, rules, warned) in [
        (pki.ca(), json!({"allowed_client_cns": ["location-b"]}), true),
        (pki.ca(), json!({"allowed_client_dns": ["b.example"]}), false),
        (below.ca(), json!({"allowed_client_cns": ["location-b"]}), false),
        (pki.ca(), json!({"allowed_client_cns": ["location-c"]}), false),
    ] {
        let (findings, _) = check(folder.path(), &server(&pki, &[&ca, &pin], rules.clone()));
        let told = has(&findings, "warning", "any CA under CN=Root can issue location-b");
        assert_eq!(told, warned, "{rules}: {findings:#?}");
        assert!(!has(&findings, "warning", "can issue location-c"), "a pin's name: {findings:#?}");
    }
}

#[test]
fn a_ca_that_can_let_nobody_in_is_told_with_the_reason() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    shell(
        folder.path(),
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=first -keyout a.key -out a.csr
         openssl x509 -req -in a.csr -signkey a.key -days 2 -out version.pem
         openssl req -x509 -newkey rsa:1024 -nodes -days 2 -subj /CN=short -addext keyUsage=keyCertSign -keyout b.key -out short.pem
         openssl req -x509 -newkey ed448 -nodes -days 2 -subj /CN=kind -addext keyUsage=keyCertSign -keyout c.key -out kind.pem",
    );
    for (file, why) in [
        ("version.pem", "it is of version 1, expected 3"),
        ("short.pem", "its RSA key has 1024 bits, expected 2048 to 8192"),
        ("kind.pem", "its key is of an unsupported kind"),
    ] {
        let ca = folder.path().join(file);
        let (findings, _) = check(folder.path(), &server(&pki, &[&ca], json!({"allowed_client_dns": ["b.example"]})));
        assert!(has(&findings, "warning", why), "{file}: {findings:#?}");
        assert!(has(&findings, "error", "0 usable CAs of 1"), "{file}: {findings:#?}");
    }
}

#[test]
fn a_ca_that_ends_within_a_sixth_of_its_life_is_warned_of() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let now = time::OffsetDateTime::now_utc();
    let day = std::time::Duration::from_secs(24 * 3600);
    for (life, left, near) in [(60, 9, true), (60, 11, false), (3650, 59, true), (3650, 61, false)] {
        let ca = pki.intermediate_with("Location B CA", |params| {
            (params.not_before, params.not_after) = (now - day * (life - left), now + day * left);
        });
        let (cert, key) = ca.issue_chain("gateway", &["a.example"]);
        let mut config = server(&pki, &[&ca.ca()], json!({"allowed_client_dns": ["b.example"]}));
        config["security"]["tls"]["server"]["cert_file"] = json!(arg(&cert));
        config["security"]["tls"]["server"]["key_file"] = json!(arg(&key));
        config["gateway"] = json!({"known_intermediates": [arg(&ca.ca())]});
        let (findings, certificates) = check(folder.path(), &config);
        for what in ["a CA, which can issue", "an intermediate that is shown", "is an intermediate, until"] {
            let told = has(&findings, "warning", what);
            assert_eq!(told, near, "{what}, {left} of {life} days: {findings:#?}");
        }
        assert!(certificates.iter().all(|one| one["ends_soon"] == near), "{certificates:#?}");
    }
}

#[test]
fn addresses_are_rules_of_a_file_too() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let config = |addresses: Value| server(&pki, &[&pki.ca()], json!({"allowed_client_ips": addresses}));
    let (findings, _) = check(folder.path(), &config(json!(["192.0.2.7", "2001:db8::7"])));
    assert!(has(&findings, "ok", "clients with the IP address 192.0.2.7 or 2001:db8::7"), "{findings:#?}");
    let file = folder.path().join("bad.json");
    for address in ["b.example", "192.0.2.0/24", "::ffff:192.0.2.7"] {
        std::fs::write(&file, config(json!([address])).to_string()).unwrap();
        let output = edgetrust(&["check", "--config", &arg(&file)]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains("mtls.allowed_client_ips"), "{said}");
    }
}
