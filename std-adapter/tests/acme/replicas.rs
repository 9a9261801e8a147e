//! Tests several gateways that share one credential by a bucket of NATS.

use std::time::{Duration, Instant};

use serde_json::json;

use super::ca::{StepCa, free_port, own_ip};
use super::gateway::{Running, Site};
use super::jetstream::JetStream;
use super::peers::served_certificate;

/// A sealing key: 32 octets in base64.
pub const SEALING: &str = "c2VhbGluZyBrZXkgb2YgdGhlIHRlc3RzLCAzMiBiLi4=";

/// Returns the site of one more gateway that shares the certificate of this name.
pub fn replica(ca: &StepCa, nats: &JetStream, name: &str) -> Site {
    let mut site = Site::new(ca, &[name]);
    site.acme["storage"] = nats.storage(site.folder.path(), SEALING);
    site.listen = free_port(own_ip());
    site
}

fn served(gateway: &Running) -> String {
    served_certificate(gateway.program.tunnel("in"), &[])
}

/// Waits until all gateways show one certificate, another than this, and returns it.
pub fn one_certificate(gateways: &[Running], before: &str) -> String {
    for gateway in gateways {
        gateway.wait_for_certificate();
    }
    let until = Instant::now() + super::peers::PATIENCE;
    loop {
        let all: Vec<_> = gateways.iter().map(served).collect();
        if all[0] != before && all.iter().all(|one| *one == all[0]) {
            return all[0].clone();
        }
        assert!(Instant::now() < until, "{} certificates", all.len());
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn orders(gateways: &[Running]) -> u64 {
    gateways.iter().map(|gateway| gateway.metric("edgetrust_acme_order_duration_seconds_count")).sum()
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn three_gateways_have_one_account_and_one_certificate() {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let sites = [(); 3].map(|()| replica(&ca, &nats, "gateway.mesh.test"));
    let gateways = sites.each_ref().map(Site::run);
    let first = one_certificate(&gateways, "");
    assert_eq!(orders(&gateways), 1);
    let accounts = sites.each_ref().map(|site| std::fs::read_to_string(site.storage().join("account.json")).unwrap());
    assert!(accounts.iter().all(|account| *account == accounts[0]), "each has a copy of the one account");

    // One is asked to renew; whichever orders, all show the new one at once.
    std::fs::write(sites[1].storage().join("renew.request"), "1").unwrap();
    let second = one_certificate(&gateways, &first);
    assert_eq!(orders(&gateways), 2);

    // One that was away over a renewal comes back with the certificate of the others.
    let [one, two, three] = gateways;
    drop(one);
    std::fs::write(sites[1].storage().join("renew.request"), "2").unwrap();
    let mut gateways = vec![two, three];
    let third = one_certificate(&gateways, &second);
    gateways.push(sites[0].run());
    assert_eq!(one_certificate(&gateways, &second), third);
    assert_eq!(gateways[2].metric("edgetrust_acme_order_duration_seconds_count"), 0);
}

/// The CA validates at the port of a gateway that does not order.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn the_ca_may_reach_a_gateway_that_does_not_order() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let (ca, nats) = (StepCa::start(), JetStream::start(1));
        let [mut reached, mut orders] = [(); 2].map(|()| replica(&ca, &nats, "gateway.mesh.test"));
        for site in [&mut reached, &mut orders] {
            site.acme["challenge_type"] = json!(challenge);
        }
        reached.listen = ca.tls;
        orders.acme["http_listen"] = json!(free_port(own_ip()).to_string());
        let gateways = [orders.run(), reached.run()];
        one_certificate(&gateways, "");
        // The one that the CA reaches may have ordered the first one.
        let before = gateways.each_ref().map(|gateway| gateway.metric("edgetrust_acme_order_duration_seconds_count"));
        let first = served(&gateways[0]);
        std::fs::write(orders.storage().join("renew.request"), "1").unwrap();
        one_certificate(&gateways, &first);
        let after = gateways.each_ref().map(|gateway| gateway.metric("edgetrust_acme_order_duration_seconds_count"));
        assert_eq!([after[0] - before[0], after[1] - before[1]], [1, 0], "{challenge}");
    }
}

/// The gateways' clocks are four minutes apart: who orders is no matter of clocks, and a certificate of a day neither.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn clocks_may_disagree_by_minutes() {
    let Some(library) = faketime() else {
        eprintln!("skipped: libfaketime is missing (apt-get install libfaketime)");
        return;
    };
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let mut sites = [(); 2].map(|()| replica(&ca, &nats, "gateway.mesh.test"));
    for (site, shift) in sites.iter_mut().zip(["+0m", "+4m"]) {
        let variables = [("LD_PRELOAD", &*library), ("FAKETIME", shift), ("FAKETIME_DONT_FAKE_MONOTONIC", "1")];
        site.environment = variables.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    }
    let gateways = sites.each_ref().map(Site::run);
    let mut shown = one_certificate(&gateways, "");
    let minutes = gateways.each_ref().map(|gateway| gateway.program.lines_so_far().pop().unwrap()[11..16].to_owned());
    assert_ne!(minutes[0], minutes[1], "the clocks agree");
    for site in [&sites[0], &sites[1], &sites[0]] {
        std::fs::write(site.storage().join("renew.request"), "1").unwrap();
        shown = one_certificate(&gateways, &shown);
    }
    assert_eq!(orders(&gateways), 4);
}

/// Returns the library that shifts a process's clock, if it is there.
fn faketime() -> Option<String> {
    let folders = std::fs::read_dir("/usr/lib").ok()?.flatten().map(|entry| entry.path().join("faketime"));
    let mut files = folders.map(|folder| folder.join("libfaketimeMT.so.1"));
    files.find(|file| file.exists()).map(|file| file.display().to_string())
}
