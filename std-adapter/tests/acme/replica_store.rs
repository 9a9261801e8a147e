//! Tests what whoever runs NATS learns of a shared credential, and what they can do to it.

use std::path::Path;

use serde_json::{Value, json};

use super::ca::{StepCa, free_port, own_ip};
use super::cluster::{Bucket, Gateway, come_to};
use super::jetstream::JetStream;
use super::namespaces::wait_until;
use super::replica_faults::{NAME, start};
use super::replicas::replica;

/// Reads all that is below a folder.
fn all_octets(folder: &Path, into: &mut Vec<u8>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            all_octets(&path, into);
        } else {
            into.extend(std::fs::read(path).unwrap());
        }
    }
}

fn contains(octets: &[u8], text: &[u8]) -> bool {
    octets.windows(text.len()).any(|part| part == text)
}

/// Returns the texts of secrets that a gateway's folder has: lines of its key, and the keys of its account.
fn secrets(gateway: &Gateway) -> Vec<String> {
    let key = std::fs::read_to_string(gateway.site.storage().join("live/key.pem")).unwrap();
    let mut all: Vec<String> =
        key.lines().filter(|line| !line.starts_with('-') && line.len() > 20).map(str::to_owned).collect();
    let account: Value =
        serde_json::from_slice(&std::fs::read(gateway.site.storage().join("account.json")).unwrap()).unwrap();
    let mut values = vec![account];
    while let Some(value) = values.pop() {
        match value {
            Value::String(text) if text.len() > 20 => all.push(text),
            Value::Array(more) => values.extend(more),
            Value::Object(more) => values.extend(more.into_iter().map(|(_, value)| value)),
            _ => {}
        }
    }
    all
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn nats_learns_no_secret() {
    let (ca, mut nats) = (StepCa::start(), JetStream::start(1));
    let mut gateways: [Gateway; 2] = start(&ca, &nats, |_, _| ());
    gateways[0].ask();
    come_to(&gateways.each_ref(), 2);
    let bucket = Bucket::of(&nats);
    let messages = bucket.messages();
    assert!(messages.keys().any(|key| key.contains(".gateway.")), "{:?}", messages.keys());
    let mut octets: Vec<u8> = messages.into_values().flatten().collect();
    nats.kill(0);
    let before = octets.len();
    all_octets(&nats.store(0), &mut octets);
    // The documents are there, among them older ones with answers to challenges.
    let header = br#""header":{"token":"#;
    assert!(octets[before..].windows(header.len()).filter(|part| part == header).count() > 2);
    let secrets = secrets(&gateways[0]);
    assert!(secrets.len() >= 3, "{} secrets", secrets.len());
    for secret in secrets {
        assert!(!contains(&octets, secret.as_bytes()), "a secret is readable");
    }
    for name in ["PRIVATE", "key_authorization", "key_pkcs8", "http_01", "Http01"] {
        assert!(!contains(&octets, name.as_bytes()), "{name}");
    }
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn whoever_writes_into_the_bucket_causes_an_error_and_no_outage() {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let mut gateways: [Gateway; 2] = start(&ca, &nats, |_, _| ());
    let mut site = replica(&ca, &nats, "other.mesh.test");
    site.listen = free_port(own_ip());
    let other = Gateway::start(&ca, site);
    other.wait_for_certificate();
    let bucket = Bucket::of(&nats);
    let (document, others) = (bucket.document_key(NAME), bucket.document_key("other.mesh.test"));
    let older = bucket.get(&document);
    gateways[0].ask();
    let shown = come_to(&gateways.each_ref(), 2);
    let newer = bucket.get(&document);
    let mut edited: Value = serde_json::from_slice(&newer).unwrap();
    edited["header"]["generation"] = json!(99);
    let mut format: Value = serde_json::from_slice(&newer).unwrap();
    format["format"] = json!(7);
    for (written, said) in [
        (bucket.get(&others), "found a text that was changed, or that belongs elsewhere"),
        (edited.to_string().into_bytes(), "found a text that was changed, or that belongs elsewhere"),
        (b"{\"format\": 1}".to_vec(), "found another text, expected a shared credential"),
        (format.to_string().into_bytes(), "found format 7, expected 1"),
        (vec![b'['; 1_000_000], "found more octets than a shared credential has"),
        (vec![b'['; 200_000], "found another text"),
    ] {
        bucket.put(&document, written);
        for gateway in &gateways {
            let line = gateway.running().program.wait_for("what gateways share cannot be used: ");
            assert!(line.contains("ERROR") && line.contains(said) && line.contains(&document[..20]), "{line}");
        }
        assert_eq!(come_to(&gateways.each_ref(), 2), shown);
    }
    // Nothing is ordered meanwhile, since there is time; the reason is said.
    gateways[0].ask();
    gateways[0].running().program.wait_for("no certificate: what gateways share: NATS bucket edgetrust: ");
    // An older document in the place of the newer one, and the generation does not go back.
    bucket.put(&document, older);
    gateways[1].running().program.wait_for("the store that gateways share went back: ");
    let generation =
        || serde_json::from_slice::<Value>(&bucket.get(&document)).unwrap()["header"]["generation"].clone();
    wait_until("the newer one again", || generation().as_u64() >= Some(2));
    // What was asked for before is done now.
    wait_until("a renewal", || gateways.iter().all(|gateway| gateway.generation() == 3));
    come_to(&gateways.each_ref(), 3);
    // A document that is gone, with all that it had.
    bucket.put(&document, b"[]".to_vec());
    gateways[0].running().program.wait_for("what gateways share cannot be used: ");
    bucket.delete(&document);
    wait_until("the newest again", || !bucket.get(&document).is_empty() && generation() == 3);
    gateways[1].ask();
    come_to(&gateways.each_ref(), 4);
    come_to(&[&other], 1);
    assert_eq!(gateways.iter().map(Gateway::orders).sum::<u64>(), 4);
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn a_bucket_that_is_filled_costs_little() {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let mut gateways: [Gateway; 2] = start(&ca, &nats, |_, _| ());
    let bucket = Bucket::of(&nats);
    let place = bucket.document_key(NAME).replace(".document", "");
    let before = gateways.each_ref().map(Gateway::memory);
    let said = |number: u32| format!(r#"{{"name":"x{number}","generation":1,"revision":0}}"#).into_bytes();
    bucket.put_all((0..10_000).map(|number| (format!("{place}.gateway.{number:08x}"), said(number))));
    bucket.put_all((0..20).map(|number| (format!("{place}.gateway.big{number}"), vec![b'{'; 1_000_000])));
    bucket.put_all((0..5).map(|_| (format!("{place}.beat"), vec![b'x'; 1_000_000])));
    bucket.put(&format!("{place}.{}", "deep.".repeat(20) + "end"), b"x".to_vec());
    gateways[0].ask();
    come_to(&gateways.each_ref(), 2);
    // One that starts meets all of it at once.
    gateways[1].kill();
    gateways[1].run();
    gateways[1].wait_for_certificate();
    gateways[1].ask();
    come_to(&gateways.each_ref(), 3);
    let after = gateways.each_ref().map(Gateway::memory);
    eprintln!("{before:?} octets before, {after:?} after");
    for (before, after) in before.iter().zip(after) {
        assert!(after < before + (32 << 20), "{before} octets before, {after} after");
    }
}
