//! Kills and stops the gateway that orders at each step of an order: another one goes on, and one certificate counts.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::ca::{StepCa, own_ip};
use super::fault_proxy::{Fault, FaultProxy};
use super::gateway::{Running, Site};
use super::jetstream::JetStream;
use super::peers::PATIENCE;
use super::replicas::{one_certificate, replica};

/// Two gateways that ask the CA through one proxy.
struct Pair {
    proxy: FaultProxy,
    sites: [Site; 2],
}

impl Pair {
    fn new(ca: &StepCa, nats: &JetStream, name: &str) -> Self {
        let proxy = FaultProxy::new(&ca.root, &ca.root_file(), ca.address);
        let mut sites = [(); 2].map(|()| replica(ca, nats, name));
        // Gateways that share an address for http-01 share the credential, too.
        let ip = own_ip();
        ca.names.set(name, ip);
        for site in &mut sites {
            site.acme["http_listen"] = json!(SocketAddr::from((ip, ca.http.port())).to_string());
            site.acme["directory_url"] = json!(format!("https://{}/acme/mesh/directory", proxy.address));
        }
        Self { proxy, sites }
    }

    fn ask(&self, number: usize) {
        std::fs::write(self.sites[number].storage().join("renew.request"), "1").unwrap();
    }

    /// Returns the newest generation that a gateway keeps.
    fn generation(&self, number: usize) -> u64 {
        generation(&self.sites[number])
    }
}

/// Returns the newest generation that a gateway keeps a certificate of.
pub fn generation(site: &Site) -> u64 {
    let text = std::fs::read_to_string(site.storage().join("shared.json")).unwrap_or_else(|_| "[]".to_owned());
    let kept: Value = serde_json::from_str(&text).unwrap();
    kept.as_array().unwrap().iter().map(|one| one["generation"].as_u64().unwrap()).max().unwrap_or(0)
}

/// The directory is also read for renewal information, at any time.
fn is_of_an_order(path: &str) -> bool {
    !path.ends_with("/directory")
}

/// Returns the number of requests of a renewal, without those for the directory.
fn steps(ca: &StepCa, nats: &JetStream) -> usize {
    let pair = Pair::new(ca, nats, "count.mesh.test");
    let gateways = pair.sites.each_ref().map(Site::run);
    let first = one_certificate(&gateways, "");
    pair.proxy.plan(|_, _| None);
    pair.ask(0);
    one_certificate(&gateways, &first);
    pair.proxy.requests().iter().filter(|path| is_of_an_order(path)).count()
}

fn new_orders(proxy: &FaultProxy) -> usize {
    proxy.requests().iter().filter(|path| path.ends_with("/new-order")).count()
}

fn interrupted(pair: &Pair, step: usize, signal: &str) {
    let at = format!("{signal} at {step}");
    let [one, other] = pair.sites.each_ref().map(Site::run);
    let gateways = [one, other];
    let first = one_certificate(&gateways, "");
    let mut count = 0;
    pair.proxy.plan(move |_, path| {
        count += usize::from(is_of_an_order(path));
        (count == step && is_of_an_order(path)).then_some(Fault::Hang)
    });
    pair.ask(0);
    assert_eq!(pair.proxy.done.recv_timeout(PATIENCE), Ok(Fault::Hang), "{at}");
    gateways[0].program.signal(signal);
    pair.ask(1);
    let second = one_certificate(&gateways[1..], &first);
    assert_eq!(pair.generation(1), 2, "{at}");
    let made = new_orders(&pair.proxy);
    // The order whose answer was lost is made again; any other one is resumed.
    assert!((1..=2).contains(&made), "{at}: {made} orders");
    let [one, other] = gateways;
    let gateways = if signal == "KILL" {
        drop(one);
        [pair.sites[0].run(), other]
    } else {
        one.program.signal("CONT");
        [one, other]
    };
    // It shows what the other one got, and has written nothing.
    assert_eq!(one_certificate(&gateways, &first), second, "{at}");
    gateways[0].program.wait_until("it keeps what the other one got", |_| pair.generation(0) == 2);
    assert_eq!(pair.generation(1), 2, "{at}");
    assert_eq!(new_orders(&pair.proxy), made, "{at}");
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn another_gateway_goes_on_wherever_the_holder_dies_or_sleeps() {
    let (ca, nats) = (Arc::new(StepCa::start()), Arc::new(JetStream::start(1)));
    let steps = steps(&ca, &nats);
    assert!(steps >= 8, "{steps} requests");
    // Each waits for the end of a lease: they wait together.
    let cases = (1..=steps).flat_map(|step| ["KILL", "STOP"].map(|signal| (step, signal)));
    let running = cases.map(|(step, signal)| {
        let (ca, nats) = (ca.clone(), nats.clone());
        std::thread::spawn(move || {
            let pair = Pair::new(&ca, &nats, &format!("{}-{step}.mesh.test", signal.to_lowercase()));
            interrupted(&pair, step, signal);
        })
    });
    for case in running.collect::<Vec<_>>() {
        case.join().unwrap();
    }
}

/// The number of renewals; many take minutes.
fn renewals() -> u64 {
    std::env::var("EDGETRUST_TEST_RENEWALS").map_or(6, |number| number.parse().unwrap())
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn of_eight_gateways_one_orders_each_renewal() {
    let (ca, nats) = (StepCa::with_lifetime("12s"), JetStream::start(1));
    let proxy = FaultProxy::new(&ca.root, &ca.root_file(), ca.address);
    let sites = [(); 8].map(|()| {
        let mut site = replica(&ca, &nats, "gateway.mesh.test");
        site.acme["directory_url"] = json!(format!("https://{}/acme/mesh/directory", proxy.address));
        site
    });
    let gateways = sites.each_ref().map(Site::run);
    for gateway in &gateways {
        gateway.wait_for_certificate();
    }
    let newest = || sites.iter().map(generation).max().unwrap();
    while newest() < renewals() {
        // Each shows a valid certificate all the time.
        assert!(gateways.iter().all(|gateway| gateway.served().contains("BEGIN CERTIFICATE")));
    }
    let all_have = |count: u64| sites.iter().all(|site| generation(site) >= count);
    gateways[0].program.wait_until("all have it", |_| all_have(renewals()));
    let (published, made) = (newest(), new_orders(&proxy));
    let made = u64::try_from(made).unwrap();
    // One more may be under way by now.
    assert!(made == published || made == published + 1, "{made} orders, {published} certificates");
    assert!(gateways.iter().all(|gateway: &Running| gateway.credential()["failed"] == 0));
}

/// Returns when each certificate of a gateway was shown, in microseconds of the day, by its end.
fn shown(gateway: &Running) -> HashMap<String, u64> {
    let mut shown = HashMap::new();
    for line in gateway.program.lines_so_far() {
        let Some((before, end)) = line.split_once(" the issued certificate is shown ") else { continue };
        let time = before.split_once('T').unwrap().1;
        let [hours, minutes, seconds] = [0..2, 3..5, 6..15].map(|part| time[part].parse::<f64>().unwrap());
        let end = end.split("expires=").nth(1).unwrap().split(' ').next().unwrap().to_owned();
        shown.insert(end, ((hours * 60.0 + minutes) * 60.0 + seconds).mul_add(1e6, 0.5) as u64);
    }
    shown
}

/// Prints how long after the first gateway the others show a new certificate.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn measure_how_soon_all_show_a_new_certificate() {
    let (ca, nats) = (StepCa::with_lifetime("12s"), JetStream::start(1));
    let sites = [(); 4].map(|()| replica(&ca, &nats, "gateway.mesh.test"));
    let gateways = sites.each_ref().map(Site::run);
    let newest = || sites.iter().map(generation).max().unwrap();
    let until = Instant::now() + PATIENCE * 20;
    while newest() < renewals() {
        assert!(Instant::now() < until);
        std::thread::sleep(Duration::from_millis(200));
    }
    let all = gateways.each_ref().map(shown);
    let mut waits: Vec<u64> = Vec::new();
    for (end, first) in &all[0] {
        let times: Vec<u64> = all.iter().filter_map(|one| one.get(end)).copied().collect();
        let least = times.iter().min().unwrap_or(first);
        // The first certificate is taken whenever a gateway has started, the last may not have come to all.
        if times.len() == all.len() {
            waits.extend(times.iter().map(|time| time - least).filter(|wait| *wait > 0));
        }
    }
    waits.sort_unstable();
    let at = |share: usize| Duration::from_micros(waits[(waits.len() - 1) * share / 100]);
    println!("{} times: p50 {:?}, p90 {:?}, p99 {:?}, longest {:?}", waits.len(), at(50), at(90), at(99), at(100));
}
