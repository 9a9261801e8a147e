//! Tests orders for keys in a token.

use std::fs;
use std::process::Command;

use serde_json::json;

use super::ca::StepCa;
use super::gateway::{Running, Site};
use super::softhsm::Token;

/// Returns the public key of the certificate that a gateway shows.
fn key(gateway: &Running) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("shown.pem");
    fs::write(&file, format!("{}-----END CERTIFICATE-----\n", gateway.served())).unwrap();
    Command::new("openssl").args(["x509", "-noout", "-pubkey", "-in"]).arg(file).output().unwrap().stdout
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn each_certificate_is_for_the_key_in_the_token() {
    let mut ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let token = Token::new(site.folder.path());
    for (kind, object) in [("EC:prime256v1", "gateway"), ("rsa:2048", "other")] {
        token.generate(kind, object);
    }
    site.environment = token.environment().map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    site.acme["key"] = json!(token.uri("gateway"));
    // The sandbox has the keys of the start.
    let gateway = site.run_with(&["--no-sandbox"]);
    gateway.wait_for_certificate();
    let (served, first) = (gateway.served(), key(&gateway));
    // Nothing here has the key: the copy for other programs names it.
    assert_eq!(fs::read_to_string(site.storage().join("live/key.pem")).unwrap(), format!("{}\n", token.uri("gateway")));
    fs::write(site.storage().join("renew.request"), "").unwrap();
    gateway.program.wait_until("a renewal", |_| gateway.credential()["issued"] == 2);
    assert_ne!(gateway.served(), served);
    assert_eq!(key(&gateway), first);
    // Another key, by a reload; and a made one again.
    for (uri, issued) in [(json!(token.uri("other")), 3), (serde_json::Value::Null, 4)] {
        let before = key(&gateway);
        match uri.is_null() {
            true => drop(site.acme.as_object_mut().unwrap().remove("key")),
            false => site.acme["key"] = uri,
        }
        site.write();
        gateway
            .program
            .wait_until("another key", |_| gateway.credential()["issued"] == issued && key(&gateway) != before);
    }
    assert!(fs::read_to_string(site.storage().join("live/key.pem")).unwrap().contains("BEGIN PRIVATE KEY"));
    // The kept certificate is shown after a start without the CA.
    site.acme["key"] = json!(token.uri("gateway"));
    site.write();
    gateway.program.wait_until("the first key", |_| key(&gateway) == first);
    drop(gateway);
    ca.kill();
    assert_eq!(key(&site.run()), first);
}
