//! Tests live rotation under load, in both directions.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use edgetrust::tls::Connector;
use serde_json::json;

use super::ca::StepCa;
use super::cluster::{connector, visit};
use super::gateway::Site;
use super::peers::OpensslClient;

const ROTATIONS: u64 = 20;

/// Makes one handshake after the other until `stop` is set; counts them and returns the failures.
async fn load(connector: Connector, address: SocketAddr, stop: Arc<AtomicBool>, done: Arc<AtomicU64>) -> Vec<String> {
    let mut failed = Vec::new();
    while !stop.load(Ordering::Relaxed) {
        match visit(&connector, address, "gateway.mesh.test").await {
            Ok(()) => done.fetch_add(1, Ordering::Relaxed),
            Err(error) => {
                failed.push(error);
                0
            }
        };
    }
    failed
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn rotations_under_load_fail_no_handshake() {
    let ca = StepCa::with_lifetime("12s");
    let site = Site::new(&ca, &["gateway.mesh.test"]);
    let gateway = site.run();
    gateway.wait_for_certificate();
    let address = gateway.program.tunnel("in");
    let mut old = OpensslClient::start(address, &[]);
    assert_eq!(old.ask("before").as_deref(), Some("before"));
    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let clients: Vec<_> = (0..2)
        .map(|_| {
            let connector = connector(&ca);
            let (stop, done) = (stop.clone(), done.clone());
            std::thread::spawn(move || {
                let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
                runtime.block_on(load(connector, address, stop, done))
            })
        })
        .collect();
    for rotation in 2..ROTATIONS + 2 {
        gateway.program.wait_until("a rotation", |_| gateway.credential()["issued"].as_u64().unwrap() >= rotation);
    }
    stop.store(true, Ordering::Relaxed);
    for client in clients {
        let failed = client.join().unwrap();
        assert!(failed.is_empty(), "{} handshakes failed: {:?}", failed.len(), failed.first());
    }
    assert!(done.load(Ordering::Relaxed) > 1000, "{done:?} handshakes are no load");
    assert_eq!(old.ask("after").as_deref(), Some("after"), "the first connection is carried on");
    assert_eq!(gateway.credential()["failed"], 0);
}

/// A client's certificate is renewed too, and no session of the certificate before is resumed.
#[test]
#[ignore = "needs step-ca: tests/run"]
fn both_directions_in_one_process() {
    let ca = StepCa::with_lifetime("12s");
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    site.server["mtls"] = json!({
        "enabled": true, "client_ca_files": [ca.root_file()], "require_client_cert": true,
        "allowed_client_cns": ["client.mesh.test"],
    });
    let mut acme = site.acme.clone();
    acme["domains"] = json!(["client.mesh.test"]);
    acme["storage_path"] = json!(site.folder.path().join("acme-client"));
    site.client =
        json!({"ca_files": [ca.root_file()], "use_system_roots": false, "mtls": {"enabled": true, "acme": acme}});
    site.tunnels = vec![json!({
        "name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": ca.tls.to_string(),
        "server_name": "gateway.mesh.test",
    })];
    let gateway = site.run();
    let credentials = || {
        let status: serde_json::Value = serde_json::from_str(&gateway.page("/status")).unwrap();
        status["credentials"].as_array().unwrap().clone()
    };
    let issued = |at_least: u64| credentials().iter().all(|one| one["issued"].as_u64().unwrap() >= at_least);
    gateway.program.wait_until("both certificates", |_| issued(1));
    let ask = || {
        use std::io::{Read, Write};
        let mut stream = std::net::TcpStream::connect(gateway.program.tunnel("out")).unwrap();
        stream.write_all(b"ping").unwrap();
        stream.shutdown(std::net::Shutdown::Write).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).map(|_| answer)
    };
    // Over three lifetimes of a certificate.
    while !issued(5) {
        assert_eq!(ask().unwrap(), "ping");
    }
    assert!(credentials().iter().all(|one| one["failed"] == 0), "{:?}", credentials());
}

/// The CA is away for longer than a certificate lives: the fallback is shown at its end, and left when the CA is back.
#[test]
#[ignore = "needs step-ca: tests/run"]
fn the_fallback_is_shown_at_expiry() {
    let mut ca = StepCa::with_lifetime("12s");
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let cert = site.write_fallback(&ca);
    let gateway = site.run();
    gateway.wait_for_certificate();
    ca.kill();
    gateway.program.wait_until("the fallback", |_| gateway.credential()["serving"] == "fallback");
    assert!(cert.contains(&gateway.served()));
    assert_eq!(gateway.page("/readyz"), "ready\n");
    ca.restart();
    gateway.wait_for_certificate();
    assert!(!cert.contains(&gateway.served()));
}
