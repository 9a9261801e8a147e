//! Tests that a refusal at the EST server names peer, request and reason, in the log and at `/status`.

use serde_json::{Value, json};

use super::est::{Connection, DEVICE, Location, POST};
use super::pages::get;
use super::pki::{Pki, arg};
use super::refusals_named::{broken, certificate_hash, key_hash};

fn refusals(location: &Location) -> Vec<Value> {
    let status: Value = serde_json::from_str(&get(&location.pages, "/status", &[]).1).unwrap();
    assert_eq!(status["refusals"], json!([]), "those of tunnels");
    status["est"]["refusals"].as_array().unwrap().clone()
}

/// Copies a credential to the folder of the device's credentials.
fn bring(location: &Location, (cert, key): (std::path::PathBuf, std::path::PathBuf)) {
    for file in [cert, key] {
        let to = location.ca.path(file.file_name().unwrap().to_str().unwrap());
        if to != file {
            std::fs::copy(&file, to).unwrap();
        }
    }
}

#[test]
fn a_device_that_is_not_let_in_is_named() {
    let location = Location::with(|_, _, file| {
        file["security"]["tls"]["server"]["mtls"]["allowed_client_dns"] = json!([DEVICE]);
    });
    bring(&location, Pki::new("Other Root").issue("stranger", &["stranger.example"]));
    bring(&location, location.ca.issue("sensor-8", &["sensor-8.a.example"]));
    for (device, name, issuer, why) in [
        ("stranger", "stranger.example", "Other Root", "its issuer is neither a configured CA"),
        ("sensor-8", "sensor-8.a.example", "Location A CA", "its names are not on the allow list"),
    ] {
        assert!(location.try_asking(device, "cacerts", &[]).is_none());
        let hash = key_hash(&arg(&location.ca.path(&format!("{device}.pem"))));
        let line = location.program.wait_for("est: refused: ");
        for said in [why, &format!("CN={device}"), &format!("DNS={name}"), &format!("CN={issuer}"), "serial=", &hash] {
            assert!(line.contains(said), "{said}: {line}");
        }
        let last = &refusals(&location)[0];
        assert_eq!((&last["kind"], &last["count"]), (&json!("not_admitted"), &json!(1)), "{last}");
        assert!(last["reason"].as_str().unwrap().contains(why), "{last}");
        let certificate = &last["certificate"];
        assert_eq!(certificate["subject"], format!("CN={device}"));
        assert_eq!(certificate["names"], format!("DNS={name}"));
        assert_eq!(certificate["issuer"], format!("CN={issuer}"));
        assert_eq!(certificate["spki_sha256"], hash);
        assert_eq!(last["requested"], Value::Null);
    }
}

#[test]
fn a_device_that_shows_a_certificate_that_does_not_parse_is_named_by_its_hash() {
    let location = Location::new();
    location.ca.issue_with("device", &[DEVICE], broken);
    assert!(location.try_asking("device", "cacerts", &[]).is_none());
    let hash = certificate_hash(&arg(&location.ca.path("device.pem")));
    let line = location.program.wait_for("est: refused: the peer's certificate at byte ");
    assert!(line.contains(&hash), "{line}");
    assert_eq!(refusals(&location)[0]["certificate"], json!({"certificate_sha256": hash}));
}

#[test]
fn a_refused_request_is_told_with_who_asked_and_for_which_names() {
    let location = Location::new();
    location.request("sensor-9.a.example", ",DNS:gateway.a.example");
    let wrong = "its subject is not the certificate's";
    location.ask(DEVICE, "simplereenroll", &POST).refuses(403, wrong);
    let line = location.program.wait_for("est: refused: ");
    let hash = key_hash(&arg(&location.ca.path(&format!("{DEVICE}.pem"))));
    for said in [
        wrong,
        "code=403",
        "path=/.well-known/est/simplereenroll",
        &format!("subject=\"CN={DEVICE}\""),
        "requested_subject=\"CN=sensor-9.a.example\"",
        "requested_names=\"DNS=sensor-9.a.example,DNS=gateway.a.example\"",
        &hash,
    ] {
        assert!(line.contains(said), "{said}: {line}");
    }
    let last = &refusals(&location)[0];
    assert_eq!(last["kind"], "refused");
    assert_eq!(last["certificate"]["names"], format!("DNS={DEVICE}"));
    assert_eq!(
        last["requested"],
        json!({"subject": "CN=sensor-9.a.example", "names": "DNS=sensor-9.a.example,DNS=gateway.a.example"})
    );
    // A malformed request names no subject.
    std::fs::write(location.ca.path("new.b64"), "AAAA").unwrap();
    location.ask(DEVICE, "simplereenroll", &POST).refuses(400, "the body is no certification request");
    let last = &refusals(&location)[0];
    assert_eq!((&last["kind"], &last["requested"]), (&json!("malformed"), &Value::Null), "{last}");
}

#[test]
fn what_a_request_asks_for_is_cut_and_its_control_characters_are_escaped() {
    let location = Location::new();
    let names: Vec<_> = (0..300).map(|number| format!("DNS:{number}.example")).collect();
    location.request_of("hostile\u{1b}[2J", &names.join(","));
    location.ask(DEVICE, "simplereenroll", &POST).refuses(403, "the certification request");
    let line = location.program.wait_for("est: refused: ");
    assert!(line.len() < 2_000 && !line.contains('\u{1b}'), "{line}");
    let requested = &refusals(&location)[0]["requested"];
    assert_eq!(requested["names"], "DNS=0.example,DNS=1.example,DNS=2.example,DNS=3.example,…");
    assert!(!requested["subject"].as_str().unwrap().contains(char::is_control), "{requested}");
}

/// The key of a device was stolen, and the same edit has a mistake elsewhere.
#[test]
fn a_key_that_a_refused_configuration_denies_is_denied_all_the_same() {
    let location = Location::new();
    let mut connection = Connection::open(&location);
    assert_eq!(connection.get("cacerts").unwrap().0, 200);
    let file = location.ca.path("gateway.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    let der = edgetrust::pem::read_certificates(&location.ca.path(&format!("{DEVICE}.pem"))).unwrap()[0].to_vec();
    let key = edgetrust::core::x509::Certificate::from_der(&der).unwrap().subject_public_key_info();
    let key = edgetrust::core::x509::KeyHash::of(&key).to_string();
    config["security"]["tls"]["denied_keys"] = json!([key]);
    config["security"]["tls"]["server"]["cert_file"] = "/nowhere".into();
    std::fs::write(&file, config.to_string()).unwrap();
    location.program.wait_for("reload refused");
    location.program.wait_for("keys that the refused configuration denies are denied all the same keys=1");
    assert_eq!(connection.get("cacerts").unwrap().0, 403);
    location.program.wait_for("est: refused: no longer let in: ");
    assert!(Connection::open(&location).get("cacerts").is_none());
}
