//! Tests gateways that share a credential while NATS, its leader, its data or the way to it are lost.

use std::path::Path;
use std::process::Command;
use std::time::Instant;

use serde_json::{Value, json};

use super::ca::StepCa;
use super::cluster::{Bucket, Gateway, Relay, come_to};
use super::fault_proxy::{Fault, FaultProxy};
use super::gateway::Site;
use super::jetstream::JetStream;
use super::namespaces::wait_until;
use super::peers::PATIENCE;
use super::replicas::replica;

pub const NAME: &str = "gateway.mesh.test";

/// Starts this many gateways that have one certificate, of generation 1.
pub fn start<const COUNT: usize>(ca: &StepCa, nats: &JetStream, change: impl Fn(usize, &mut Site)) -> [Gateway; COUNT] {
    let gateways: [Gateway; COUNT] = std::array::from_fn(|number| {
        let mut site = replica(ca, nats, NAME);
        change(number, &mut site);
        Gateway::start(ca, site)
    });
    gateways.iter().for_each(Gateway::wait_for_certificate);
    come_to(&gateways.each_ref(), 1);
    gateways
}

fn copy(from: &Path, to: &Path) {
    let _ = std::fs::remove_dir_all(to);
    assert!(Command::new("cp").arg("-a").arg(from).arg(to).status().unwrap().success());
}

/// Each gateway goes on by itself, and all come to one certificate again when NATS is back.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn nats_may_be_away_for_several_renewals() {
    // Renewed after a third of its life: the clients of a slow machine meet no end.
    let (ca, mut nats) = (StepCa::with_lifetime("24s"), JetStream::start(1));
    let mut gateways: [Gateway; 2] = start(&ca, &nats, |_, site| site.acme["renew_before"] = json!("16s"));
    nats.kill(0);
    let from = gateways.each_ref().map(Gateway::issued);
    let since = Instant::now();
    wait_until("two renewals of each", || gateways.iter().zip(from).all(|(one, from)| one.issued() >= from + 2));
    eprintln!("two renewals of each without NATS: {:?}", since.elapsed());
    let before = gateways.each_ref().map(Gateway::generation);
    let shown = gateways.each_ref().map(|gateway| gateway.running().served());
    assert_ne!(shown[0], shown[1], "each has ordered for itself");
    gateways.iter().for_each(Gateway::is_well);
    nats.start_node(0);
    let since = Instant::now();
    gateways[0].ask();
    wait_until("a shared certificate", || gateways.iter().all(|one| one.generation() > before[0]));
    wait_until("one certificate", || {
        let [one, other] = gateways.each_ref().map(|gateway| gateway.running().served());
        one == other
    });
    eprintln!("one certificate after NATS is back: {:?}", since.elapsed());
    gateways.iter().for_each(Gateway::is_well);
}

/// A store that is away for a moment is no reason to order while the certificate lives for hours.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn nobody_orders_alone_while_there_is_time() {
    // A quarter of an hour: the configured eight hours exceed it.
    let (ca, mut nats) = (StepCa::with_lifetime("15m"), JetStream::start(1));
    let mut gateways: [Gateway; 1] = start(&ca, &nats, |_, _| ());
    nats.kill(0);
    gateways[0].ask();
    gateways[0].running().program.wait_for("no certificate: what gateways share: NATS bucket edgetrust: ");
    assert_eq!(gateways[0].orders(), 1);
    nats.start_node(0);
    // What has failed for want of the store is done when it is back.
    come_to(&gateways.each_ref(), 2);
    assert_eq!(gateways[0].orders(), 2);
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn a_leader_that_dies_delays_a_renewal_by_seconds() {
    let (ca, mut nats) = (StepCa::start(), JetStream::start(3));
    let bucket = Bucket::of(&nats);
    let mut gateways: [Gateway; 2] = start(&ca, &nats, |_, _| ());
    for generation in 2..4 {
        let leader = bucket.leader();
        let number: usize = leader.rsplit('-').next().unwrap().parse().unwrap();
        nats.kill(number);
        let since = Instant::now();
        gateways.iter_mut().for_each(Gateway::ask);
        come_to(&gateways.each_ref(), generation);
        eprintln!("renewed {:?} after the death of the leader {leader}", since.elapsed());
        // More than the choice of a leader takes, and less than the wait after a failure.
        assert!(since.elapsed().as_secs() < 20, "{:?}", since.elapsed());
        let orders: u64 = gateways.iter().map(Gateway::orders).sum();
        assert_eq!(orders, generation, "one certificate each");
        nats.start_node(number);
    }
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn a_restored_backup_is_brought_forward() {
    let (ca, mut nats) = (StepCa::start(), JetStream::start(1));
    let mut gateways: [Gateway; 2] = start(&ca, &nats, |_, _| ());
    let backup = nats.folder.path().join("backup");
    nats.kill(0);
    copy(&nats.store(0), &backup);
    nats.start_node(0);
    let mut generation = 1;
    let mut renew = |gateways: &mut [Gateway; 2]| {
        gateways[1].ask();
        generation += 1;
        let shown = come_to(&gateways.each_ref(), generation);
        (shown, generation)
    };
    renew(&mut gateways);
    let (shown, generation) = renew(&mut gateways);
    for lost in ["restored", "removed", "deleted"] {
        if lost == "deleted" {
            Bucket::of(&nats).delete_all();
        } else {
            nats.kill(0);
            if lost == "restored" {
                copy(&backup, &nats.store(0));
            } else {
                std::fs::remove_dir_all(nats.store(0)).unwrap();
            }
            nats.start_node(0);
        }
        let since = Instant::now();
        let bucket = Bucket::of(&nats);
        wait_until(&format!("the newest certificate in a store that was {lost}"), || {
            let messages = bucket.messages();
            let document = messages.iter().find(|(key, _)| key.ends_with(".document"));
            let header = document.map(|(_, text)| serde_json::from_slice::<Value>(text).unwrap()["header"].clone());
            header.is_some_and(|header| header["generation"] == generation)
        });
        eprintln!("brought forward {:?} after it was {lost}", since.elapsed());
        assert_eq!(come_to(&gateways.each_ref(), generation), shown);
        // One without a copy gets the newest.
        let another = Gateway::start(&ca, replica(&ca, &nats, NAME));
        another.wait_for_certificate();
        assert_eq!(come_to(&[&another], generation), shown);
        assert_eq!(another.orders(), 0);
    }
    let (another, _) = renew(&mut gateways);
    assert_ne!(another, shown);
    let orders: u64 = gateways.iter().map(Gateway::orders).sum();
    assert_eq!(orders, 4);
}

/// The holder is cut off from NATS in the middle of an order, and not from the CA.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn a_holder_that_is_cut_off_is_replaced() {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let proxy = FaultProxy::new(&ca.root, &ca.root_file(), ca.address);
    let relay = Relay::to(nats.client(0));
    let mut gateways: [Gateway; 2] = start(&ca, &nats, |number, site| {
        site.acme["directory_url"] = json!(format!("https://{}/acme/mesh/directory", proxy.address));
        if number == 0 {
            site.acme["storage"]["nats"]["servers"] = json!([format!("tls://{}", relay.address)]);
        }
    });
    let mut hung = false;
    proxy.plan(move |_, path| {
        let hangs = path.ends_with("/finalize") && !std::mem::replace(&mut hung, true);
        hangs.then_some(Fault::Hang)
    });
    gateways[0].ask();
    assert_eq!(proxy.done.recv_timeout(PATIENCE), Ok(Fault::Hang));
    relay.cut(true);
    let since = Instant::now();
    gateways[1].ask();
    wait_until("another takes over", || gateways[1].generation() == 2);
    let taken = since.elapsed();
    eprintln!("taken over after {taken:?}");
    let shown = gateways[1].running().served();
    assert_eq!(gateways[0].generation(), 1);
    gateways.iter().for_each(Gateway::is_well);
    relay.cut(false);
    let since = Instant::now();
    assert_eq!(come_to(&gateways.each_ref(), 2), shown);
    eprintln!("it comes back after {:?}", since.elapsed());
    // It does not wait as after a failure of the CA.
    assert!(since.elapsed().as_secs() < 10, "{:?}", since.elapsed());
    let header: Value = {
        let bucket = Bucket::of(&nats);
        serde_json::from_slice(&bucket.get(&bucket.document_key(NAME))).unwrap()
    };
    assert_eq!(header["header"]["generation"], 2, "one certificate was published: {}", header["header"]);
}

/// Rotates the key that seals, without a restart.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn the_sealing_key_is_rotated_by_reloads() {
    use std::os::unix::fs::PermissionsExt;
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let mut gateways: [Gateway; 3] = start(&ca, &nats, |_, site| {
        let file = site.folder.path().join("new.key");
        std::fs::write(&file, "bmV3IHNlYWxpbmcga2V5IG9mIHRoZSB0ZXN0cywgMzI=").unwrap();
        std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    });
    let bucket = Bucket::of(&nats);
    let document = bucket.document_key(NAME);
    let sealed_by = || {
        let text: Value = serde_json::from_slice(&bucket.get(&document)).unwrap();
        text["sealed"]["key"].as_str().unwrap().to_owned()
    };
    let old = sealed_by();
    let keys = |gateway: &mut Gateway, names: &[&str]| {
        let files: Vec<_> = names.iter().map(|name| gateway.site.folder.path().join(name)).collect();
        gateway.site.acme["storage"]["nats"]["sealing_key_files"] = json!(files);
        gateway.site.write();
        gateway.running().program.wait_for("reloaded");
    };
    let [one, two, last] = &mut gateways;
    for gateway in [&mut *one, &mut *two] {
        keys(gateway, &["new.key", "sealing.key"]);
    }
    let before = last.running().served();
    one.ask();
    let shown = come_to(&[one, two], 2);
    let new = sealed_by();
    assert_ne!(new, old);
    // One that was forgotten says which key it lacks, and keeps its certificate.
    let line = last.running().program.wait_for("what gateways share cannot be used: ");
    assert!(line.contains(&new) && line.contains(&old), "{line}");
    last.is_well();
    assert_eq!(last.running().served(), before);
    assert_eq!(last.generation(), 1);
    for gateway in [&mut *one, &mut *two] {
        keys(gateway, &["new.key"]);
    }
    two.ask();
    let newest = come_to(&[one, two], 3);
    assert_ne!(newest, shown);
    keys(last, &["new.key", "sealing.key"]);
    assert_eq!(come_to(&[one, two, last], 3), newest);
}

/// A gateway that refuses the servers says that it is not connected, and to which.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn a_server_that_is_not_trusted_is_told() {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let mut site = replica(&ca, &nats, NAME);
    site.acme["storage"]["nats"]["ca_files"] = json!([ca.root_file()]);
    let gateway = site.run();
    let line = gateway.program.wait_for("the store that gateways share is away: ");
    assert!(line.contains(&format!("not connected to any of tls://{}: ", nats.client(0))), "{line}");
}
