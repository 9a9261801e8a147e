//! Tests a site with two gateways: one of them is enough, and both hear of everything.

use std::time::Duration;

use serde_json::json;

use super::addresses::free_address;
use super::continuation::{Feed, SiteCa, continued, run, wait_for_continued};
use super::control::{SOME_KEY, Sites};
use super::federation_check::edit;
use super::peers::{Program, echo};
use super::pki::arg;

/// The second gateway of site c.
const SECOND: &str = "127.0.0.9";

/// Adds a second gateway to site c, in the mesh as an admin does it: by hand, and signed.
fn sites() -> Sites {
    let sites = Sites::new();
    edit(&sites.made, |mesh| {
        let second = json!({"host": "gateway2.c.example", "address": SECOND});
        mesh["sites"][2]["gateways"].as_array_mut().unwrap().push(second);
        mesh["sequence"] = json!(2);
    });
    sites.made.done("sign-mesh");
    for site in ["b", "c"] {
        sites.deliver(site);
    }
    sites
}

/// Runs the second gateway of site c in a folder of its own.
fn run_second(sites: &Sites) -> (Program, String) {
    let folder = sites.folder_of("c").join("second");
    std::fs::create_dir_all(&folder).unwrap();
    for file in ["root.pem", "mesh.signed.json"] {
        std::fs::copy(sites.folder_of("c").join(file), folder.join(file)).unwrap();
    }
    sites.made.issue("c", "gateway2.c.example", &folder);
    let pages = free_address();
    let listen = format!("{SECOND}:{}", sites.address("c").port());
    let config = json!({
        "security": {"tls": {"server": {"enabled": true, "cert_file": "gateway2.c.example.pem",
            "key_file": "gateway2.c.example.key", "mtls": {"enabled": true}}}},
        "gateway": {
            "admin": {"listen": pages},
            "mesh": {"file": "mesh.signed.json", "site": "c", "storage_path": "kept", "ca_bundle": "root.pem"},
            "tunnels": [{"name": "feed-in", "mode": "server", "service": "feed", "listen": listen, "target": echo().to_string()}],
        },
    });
    let file = folder.join("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut second =
        Program::start_quietly(&["run", "--config", &arg(&file), "--watch-interval", "50ms"].map(str::to_owned));
    second.wait_for_tunnel();
    (second, pages)
}

#[test]
fn one_gateway_of_a_site_is_enough_and_both_hear_the_news() {
    let sites = sites();
    let ca = SiteCa::of(&sites, "b");
    ca.renew(&sites, "b", Duration::from_secs(3600));
    SiteCa::of(&sites, "c").renew(&sites, "c", Duration::from_secs(3600));
    let (first, _) = run(&sites, "c", None, &json!({}));
    let (b, _) = run(&sites, "b", Some("c"), &json!({}));
    let mut at_first = Feed::open(&b);
    first.wait_for("open tunnel=feed-in");
    // The first one goes, with its sessions.
    drop(first);
    assert!(at_first.is_over());
    let (second, pages) = run_second(&sites);
    let mut at_second = Feed::open(&b);
    b.wait_for("the target is down, and is passed over: ");
    second.wait_for("open tunnel=feed-in");
    // New sessions return to the first one when it lives again.
    let (first, _) = run(&sites, "c", None, &json!({}));
    b.wait_for("the target is up again");
    let _other = Feed::open(&b);
    first.wait_for("open tunnel=feed-in");
    // News come to both.
    sites.made.done(&format!("deny --key {SOME_KEY}"));
    sites.deliver("b");
    for gateway in [&first, &second] {
        gateway.wait_for("another mesh is in force: sequence 3");
    }
    // A session goes on at the gateway where it is.
    let before = continued(&pages);
    ca.renew(&sites, "b", Duration::from_secs(3600));
    wait_for_continued(&pages, before, 1);
    at_second.pass();
    drop(second);
    assert!(at_second.is_over());
    Feed::open(&b).pass();
    first.wait_for("open tunnel=feed-in");
}

#[test]
fn all_gateways_are_named_where_none_can_be_reached() {
    let sites = sites();
    SiteCa::of(&sites, "b").renew(&sites, "b", Duration::from_secs(3600));
    let (b, _) = run(&sites, "b", Some("c"), &json!({}));
    let stream = std::net::TcpStream::connect(b.tunnel("feed-to-c")).unwrap();
    let port = sites.address("c").port();
    b.wait_for(&format!("the target is down, and is passed over: Connection refused (os error 111) tunnel=feed-to-c target=127.0.0.3:{port}"));
    b.wait_for(&format!("refused: target {SECOND}:{port}: "));
    drop(stream);
}
