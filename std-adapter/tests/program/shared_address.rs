//! Tests two gateways of a site that have one address, and one certificate: a connection reaches one of them.

use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use serde_json::json;

use super::addresses::free_address;
use super::continuation::{Feed, SiteCa, continued, run, wait_for_continued};
use super::control::Sites;
use super::peers::{Program, echo};
use super::pki::arg;

const HOUR: Duration = Duration::from_secs(3600);

/// An address that leads to one of several gateways. Chance decides elsewhere; here the test does.
struct SharedAddress {
    behind: [SocketAddr; 2],
    chosen: AtomicUsize,
}

impl SharedAddress {
    fn listen(address: SocketAddr, behind: [SocketAddr; 2]) -> Arc<Self> {
        let shared = Arc::new(Self { behind, chosen: AtomicUsize::new(0) });
        let (listener, chooses) = (TcpListener::bind(address).unwrap(), shared.clone());
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                if let Ok(gateway) = TcpStream::connect(chooses.behind[chooses.chosen.load(Ordering::Relaxed)]) {
                    forward(&client, &gateway);
                    forward(&gateway, &client);
                }
            }
        });
        shared
    }

    fn choose(&self, number: usize) {
        self.chosen.store(number, Ordering::Relaxed);
    }
}

fn forward(from: &TcpStream, to: &TcpStream) {
    let (mut from, mut to) = (from.try_clone().unwrap(), to.try_clone().unwrap());
    std::thread::spawn(move || {
        // However it ends, the other end hears of it.
        let _ = std::io::copy(&mut from, &mut to);
        let _ = to.shutdown(Shutdown::Write);
    });
}

/// Runs a gateway of site c that shows the certificate of the site, which all of them have.
fn run_behind(sites: &Sites, name: &str, listen: SocketAddr) -> (Program, String) {
    let folder = sites.folder_of("c").join(name);
    std::fs::create_dir(&folder).unwrap();
    for file in ["root.pem", "mesh.signed.json"] {
        std::fs::copy(sites.folder_of("c").join(file), folder.join(file)).unwrap();
    }
    let (own, pages) = (sites.folder_of("c").join("own.pem"), free_address());
    let config = json!({
        "security": {"tls": {"server": {"enabled": true, "cert_file": own, "key_file": own,
            "mtls": {"enabled": true}}}},
        "gateway": {
            "admin": {"listen": pages},
            "mesh": {"file": "mesh.signed.json", "site": "c", "storage_path": "kept", "ca_bundle": "root.pem"},
            "tunnels": [{"name": "feed-in", "mode": "server", "service": "feed", "listen": listen.to_string(),
                "target": echo().to_string()}],
        },
    });
    let file = folder.join("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let arguments = ["run", "--config", &arg(&file), "--watch-interval", "50ms"];
    let mut gateway = Program::start_quietly(&arguments.map(str::to_owned));
    gateway.wait_for_tunnel();
    (gateway, pages)
}

/// The dialler asks on another connection for the sessions that the gateway that answered does not have.
#[test]
fn sessions_go_on_whichever_gateway_answers_first_and_end_with_their_own() {
    let sites = Sites::new();
    let [ca_b, ca_c] = ["b", "c"].map(|site| SiteCa::of(&sites, site));
    ca_b.renew(&sites, "b", HOUR);
    ca_c.renew(&sites, "c", HOUR);
    let behind = [(); 2].map(|()| free_address().parse().unwrap());
    let shared = SharedAddress::listen(sites.address("c"), behind);
    let (one, pages_one) = run_behind(&sites, "one", behind[0]);
    let (other, pages_other) = run_behind(&sites, "other", behind[1]);
    let (b, _) = run(&sites, "b", Some("c"), &json!({}));
    let mut at_one = [(); 2].map(|()| Feed::open(&b));
    shared.choose(1);
    let mut at_other = [(); 2].map(|()| Feed::open(&b));

    for _ in 0..2 {
        // Both ends renew. The first connections reach the gateway that has two of the sessions, then the other one.
        shared.choose(0);
        let before = [&pages_one, &pages_other].map(|pages| continued(pages));
        ca_c.renew(&sites, "c", HOUR);
        ca_b.renew(&sites, "b", HOUR);
        wait_for_continued(&pages_one, before[0], 2);
        for _ in 0..2 {
            b.wait_for("sessions were continued there");
        }
        assert_eq!(continued(&pages_other), before[1]);
        shared.choose(1);
        wait_for_continued(&pages_other, before[1], 2);
        at_one.iter_mut().chain(&mut at_other).for_each(Feed::pass);
    }

    // The sessions of the one that dies end. Those of the other one go on, and new ones reach it.
    drop(one);
    assert!(at_one.iter_mut().all(Feed::is_over));
    let mut new = Feed::open(&b);
    let before = continued(&pages_other);
    ca_b.renew(&sites, "b", HOUR);
    wait_for_continued(&pages_other, before, 3);
    at_other.iter_mut().for_each(Feed::pass);
    new.pass();
    drop(other);
}
