//! Tests the commands of `edgetrust acme`, and reloads, where gateways share the account.

use std::path::Path;
use std::process::Output;

use serde_json::json;

use super::ca::own_ip;
use super::gateway::Site;
use super::jetstream::JetStream;
use super::pebble::Pebble;
use super::peers::edgetrust;
use super::replicas::{SEALING, one_certificate};

fn acme(arguments: &[&str], file: &Path) -> Output {
    edgetrust(&[&["acme"], arguments, &["--config", &file.display().to_string()]].concat())
}

/// Runs a command that succeeds, and returns what it says.
fn done(arguments: &[&str], site: &Site) -> String {
    let output = acme(arguments, &site.file());
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{arguments:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

fn account(site: &Site) -> String {
    std::fs::read_to_string(site.storage().join("account.json")).unwrap()
}

#[test]
#[ignore = "needs pebble and nats-server: tests/run"]
fn commands_at_one_gateway_count_for_all() {
    let (pebble, nats) = (Pebble::start(&json!({}), &[]), JetStream::start(1));
    let sites = [(); 2].map(|()| {
        let mut site = pebble.site();
        site.acme["storage"] = nats.storage(site.folder.path(), SEALING);
        site.listen = super::ca::free_port(own_ip());
        site
    });
    let gateways = sites.each_ref().map(Site::run);
    let first = one_certificate(&gateways, "");

    // Whichever orders, the command waits for it, and all show the new one. A reload of all changes nothing of that.
    for gateway in &gateways {
        gateway.program.signal("HUP");
        gateway.program.wait_for("reloaded");
    }
    assert_eq!(one_certificate(&gateways, ""), first);
    assert!(done(&["renew"], &sites[0]).contains("renewed by the running gateway"));
    let second = one_certificate(&gateways, &first);

    // The account belongs to those that run: a command that changes it wants the own gateway stopped, and no other.
    let refused = acme(&["account", "--roll-key"], &sites[0].file());
    assert!(!refused.status.success());
    let [one, other] = gateways;
    one.program.signal("TERM");
    assert_eq!(one.program.wait(), Some(0));
    let before = account(&sites[1]);
    assert_eq!(account(&sites[0]), before);
    let said = done(&["account", "--roll-key"], &sites[0]);
    assert!(said.contains("with a new key"), "{said}");
    assert_ne!(account(&sites[0]), before);
    // The other gateway has a copy of the key, and orders with it: the CA knows the key before no more.
    other.program.wait_until("it has the new key", |_| account(&sites[1]) == account(&sites[0]));
    assert!(done(&["renew"], &sites[1]).contains("renewed by the running gateway"));
    let third = one_certificate(std::slice::from_ref(&other), &second);
    assert_eq!(other.credential()["failed"], 0);

    // What is revoked is what all show, until one of them renews.
    let copied = sites[0].run();
    let gateways = [copied, other];
    assert_eq!(one_certificate(&gateways, &second), third);
    let [copied, other] = gateways;
    copied.program.signal("TERM");
    assert_eq!(copied.program.wait(), Some(0));
    let said = done(&["revoke", "--key-compromise"], &sites[0]);
    assert!(said.starts_with("gateway.mesh.test: revoked"), "{said}");
    assert_eq!(other.served(), third);
    assert!(done(&["renew"], &sites[1]).contains("renewed by the running gateway"));
    let fourth = one_certificate(std::slice::from_ref(&other), &third);
    let gateways = [sites[0].run(), other];
    assert_eq!(one_certificate(&gateways, &third), fourth);
}
