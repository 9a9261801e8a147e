//! Tests changes of files while connections are open.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use edgetrust::tls::{ClientSettings, ClientStream, Connector, MinVersion, ServerTrust, TrustStore, server_name};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::peers::{OpensslClient, Program, echo, served_certificate};
use super::pki::{Pki, arg};
use super::serve::serve;

fn replaced(program: &Program, before: &str, pki: &Pki) {
    program.wait_for("reloaded cause=changed: ");
    let after = served_certificate(program.address, &[]);
    assert_ne!(after, before);
    let written = fs::read_to_string(pki.path("gateway.pem")).unwrap();
    assert!(written.contains(&after), "not the certificate of the file");
}

#[test]
fn a_renamed_pair_is_taken_up() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--watch-interval", "50ms"]);
    let mut old = OpensslClient::start(program.address, &[]);
    assert_eq!(old.ask("before").as_deref(), Some("before"));
    let before = served_certificate(program.address, &[]);
    let elsewhere = Pki::new("Other");
    let (cert, key) = elsewhere.issue("gateway", &["gateway.example"]);
    for (new, name) in [(&key, "gateway.key"), (&cert, "gateway.pem")] {
        let beside = pki.path("beside");
        fs::copy(new, &beside).unwrap();
        fs::rename(&beside, pki.path(name)).unwrap();
    }
    replaced(&program, &before, &pki);
    assert_eq!(old.ask("after").as_deref(), Some("after"));
}

#[test]
fn a_symlink_swap_is_taken_up() {
    // As a Kubernetes secret is mounted: files are links through a folder that is a link.
    let pki = Pki::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let version = |name: &str| {
        let (cert, key) = pki.issue("gateway", &["gateway.example"]);
        fs::create_dir(folder.path().join(name)).unwrap();
        fs::copy(cert, folder.path().join(name).join("tls.crt")).unwrap();
        fs::copy(key, folder.path().join(name).join("tls.key")).unwrap();
    };
    let link = |target: &str, name: &str| {
        let beside = folder.path().join("beside");
        std::os::unix::fs::symlink(target, &beside).unwrap();
        fs::rename(&beside, folder.path().join(name)).unwrap();
    };
    version("v1");
    link("v1", "data");
    link("data/tls.crt", "tls.crt");
    link("data/tls.key", "tls.key");
    let (cert, key) = (arg(&folder.path().join("tls.crt")), arg(&folder.path().join("tls.key")));
    let target = echo().to_string();
    let program = Program::start(
        &[
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--target",
            &target,
            "--cert",
            &cert,
            "--key",
            &key,
            "--watch-interval",
            "50ms",
        ]
        .map(str::to_owned),
    );
    let before = served_certificate(program.address, &[]);
    version("v2");
    link("v2", "data");
    program.wait_for("reloaded cause=changed: ");
    assert_ne!(served_certificate(program.address, &[]), before);
}

#[test]
fn half_a_pair_is_waited_out() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--watch-interval", "50ms"]);
    let before = served_certificate(program.address, &[]);
    let other = Pki::new("Other");
    let (cert, key) = other.issue("gateway", &["gateway.example"]);
    fs::copy(key, pki.path("gateway.key")).unwrap();
    let line = program.wait_for("reload refused");
    assert!(line.contains("the private key does not match"), "{line}");
    assert_eq!(served_certificate(program.address, &[]), before);
    fs::copy(cert, pki.path("gateway.pem")).unwrap();
    replaced(&program, &before, &pki);
}

#[test]
fn a_withdrawn_ca_ends_its_sessions_and_no_others() {
    let (b, c) = (Pki::new("B"), Pki::new("C"));
    let both = arg(&b.path("both.pem"));
    let bundle = |pkis: &[&Pki]| {
        let all: String = pkis.iter().map(|pki| fs::read_to_string(pki.ca()).unwrap()).collect();
        fs::write(&both, all).unwrap();
    };
    bundle(&[&b, &c]);
    let program = serve(&b, &["--cacert", &both, "--watch-interval", "50ms"]);
    let client = |pki: &Pki, name: &str| {
        let (cert, key) = pki.issue(name, &[]);
        let mut client = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key)]);
        assert_eq!(client.ask("hello").as_deref(), Some("hello"));
        client
    };
    let (mut stays, mut goes) = (client(&b, "location-b"), client(&c, "location-c"));
    bundle(&[&b]);
    let line = program.wait_for("closed: the peer's certificate: its issuer is neither");
    assert!(line.contains("peer=CN=location-c"), "{line}");
    assert_eq!(goes.ask("hello"), None);
    assert_eq!(stays.ask("still here").as_deref(), Some("still here"));
}

#[test]
fn a_withdrawn_ca_leaves_no_grace() {
    let (b, c) = (Pki::new("B"), Pki::new("C"));
    let ca = arg(&b.path("trusted.pem"));
    fs::copy(c.ca(), &ca).unwrap();
    let program = serve(&b, &["--cacert", &ca, "--expired-grace", "1h"]);
    let (cert, key) = c.issue("location-c", &[]);
    let mut client = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key)]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    fs::copy(b.ca(), &ca).unwrap();
    program.signal("HUP");
    program.wait_for("closed: the peer's certificate: its issuer is neither");
    assert_eq!(client.ask("hello"), None);
}

#[tokio::test]
async fn a_session_that_never_pauses_is_ended_too() {
    let (b, c) = (Pki::new("B"), Pki::new("C"));
    let ca = arg(&b.path("trusted.pem"));
    fs::copy(c.ca(), &ca).unwrap();
    let program = serve(&b, &["--cacert", &ca, "--workers", "1"]);
    let (cert, key) = c.issue("location-c", &[]);
    let (mut reader, mut writer) = tokio::io::split(connected(&b, &cert, &key, program.address).await);
    // An echo service: both directions are busy.
    let reading = tokio::spawn(async move { tokio::io::copy(&mut reader, &mut tokio::io::sink()).await });
    let writing = tokio::spawn(async move {
        let block = vec![7; 1 << 16];
        while writer.write_all(&block).await.is_ok() {}
    });
    fs::copy(b.ca(), &ca).unwrap();
    let program = tokio::task::spawn_blocking(move || {
        program.signal("HUP");
        program.wait_for("closed: the peer's certificate: its issuer is neither");
        program
    });
    let _program = program.await.unwrap();
    tokio::time::timeout(super::peers::PATIENCE, writing).await.unwrap().unwrap();
    let _ = tokio::time::timeout(super::peers::PATIENCE, reading).await.unwrap();
}

/// Returns a connector with these CAs and this certificate.
fn connector(pki: &Pki, cert: &Path, key: &Path) -> Connector {
    let trust = TrustStore::new(edgetrust::pem::read_certificates(&pki.ca()).unwrap());
    Connector::new(ClientSettings {
        trust: ServerTrust::Verified(trust.unwrap()),
        credential: Some(edgetrust::tls::Credential::load(cert, key).unwrap()),
        min_version: MinVersion::Tls12,
        alpn: Vec::new(),
    })
    .unwrap()
}

async fn connected(pki: &Pki, cert: &Path, key: &Path, address: SocketAddr) -> ClientStream<TcpStream> {
    let stream = TcpStream::connect(address).await.unwrap();
    connector(pki, cert, key).connect(server_name("gateway.example").unwrap(), stream).await.unwrap().0
}

async fn exchange(connector: &Connector, address: SocketAddr) -> std::io::Result<()> {
    let stream = TcpStream::connect(address).await?;
    let name = server_name("gateway.example").map_err(std::io::Error::other)?;
    let (mut tls, _) = connector.connect(name, stream).await?;
    tls.write_all(b"hello").await?;
    let mut answer = [0; 5];
    tls.read_exact(&mut answer).await?;
    tls.shutdown().await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_no_handshake_fails_and_no_connection_breaks() {
    const RELOADS: usize = 8;
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--watch-interval", "20ms"]);
    let address = program.address;
    let (cert, key) = pki.issue("location-b", &[]);
    let connector = Arc::new(connector(&pki, &cert, &key));
    let mut long = connected(&pki, &cert, &key, address).await;

    let (stop, done) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicUsize::new(0)));
    let load: Vec<_> = (0..4)
        .map(|_| {
            let (connector, stop, done) = (connector.clone(), stop.clone(), done.clone());
            tokio::spawn(async move {
                while !stop.load(Ordering::Relaxed) {
                    exchange(&connector, address).await?;
                    done.fetch_add(1, Ordering::Relaxed);
                }
                Ok::<_, std::io::Error>(())
            })
        })
        .collect();
    let program = tokio::task::spawn_blocking(move || {
        for round in 0..RELOADS {
            replace_pair(&pki);
            program.wait_for("reloaded");
            // Each generation serves handshakes before the next one.
            let seen = done.load(Ordering::Relaxed);
            program.wait_until("no handshake", |_| done.load(Ordering::Relaxed) > seen + round);
        }
        program
    })
    .await
    .unwrap();
    stop.store(true, Ordering::Relaxed);
    for task in load {
        task.await.unwrap().expect("a handshake failed");
    }
    long.write_all(b"still").await.unwrap();
    let mut answer = [0; 5];
    tokio::time::timeout(Duration::from_secs(60), long.read_exact(&mut answer)).await.unwrap().unwrap();
    assert_eq!(&answer, b"still");
    drop(program);
}

/// Key and certificate are each replaced atomically; the watcher waits while they do not match.
fn replace_pair(pki: &Pki) {
    let (cert, key) = pki.issue("next", &["gateway.example"]);
    fs::rename(&key, pki.path("gateway.key")).unwrap();
    fs::rename(&cert, pki.path("gateway.pem")).unwrap();
}

#[test]
fn a_refused_reload_whose_cause_passes_is_taken_up_by_itself() {
    let pki = Pki::new("Root");
    let config = pki.path("gateway.json");
    let tunnel = |name: &str, listen: &str| serde_json::json!({"name": name, "mode": "server", "listen": listen, "target": echo().to_string(), "tls": {"enabled": false}});
    let write = |tunnels: &[serde_json::Value]| {
        fs::write(&config, serde_json::json!({"gateway": {"tunnels": tunnels}}).to_string()).unwrap();
    };
    let one = tunnel("one", "127.0.0.1:0");
    write(std::slice::from_ref(&one));
    let arguments = ["run", "--config", &arg(&config), "--watch-interval", "50ms", "--no-sandbox"].map(str::to_owned);
    let program = Program::start(&arguments);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    write(&[one, tunnel("two", &taken.local_addr().unwrap().to_string())]);
    program.wait_for("reload refused");
    // No file changes any more.
    drop(taken);
    program.wait_for("reloaded cause=the last reload was refused");
}

#[test]
fn a_list_of_cas_too_long_for_a_handshake_message_lets_clients_in() {
    let pki = Pki::new("Root");
    let bundle = pki.path("cas.pem");
    let mut cas = fs::read_to_string(pki.ca()).unwrap();
    // Together their names are longer than the 64 KiB that a handshake message may have.
    for number in 0..80 {
        let other = Pki::new(&format!("{number} {}", "x".repeat(1000)));
        cas += &fs::read_to_string(other.ca()).unwrap();
    }
    fs::write(&bundle, cas).unwrap();
    let program = serve(&pki, &["--cacert", &arg(&bundle)]);
    let (cert, key) = pki.issue("location-b", &[]);
    for version in ["-tls1_3", "-tls1_2"] {
        let mut client = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key), version]);
        assert_eq!(client.ask("hello").as_deref(), Some("hello"), "{version}");
    }
}

#[test]
fn strangers_who_hold_every_connection_do_not_keep_a_revocation_from_coming_into_force() {
    let pki = Pki::new("Root");
    let config = pki.path("gateway.json");
    let (cert, key) = pki.issue("gateway.example", &["gateway.example"]);
    let write = |allowed: &str| {
        let tls = serde_json::json!({
            "enabled": true, "cert_file": arg(&cert), "key_file": arg(&key),
            "mtls": {"enabled": true, "client_ca_files": [arg(&pki.ca())], "allowed_client_cns": [allowed]},
        });
        let tunnel = serde_json::json!({
            "name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string(), "tls": tls,
        });
        fs::write(&config, serde_json::json!({"gateway": {"tunnels": [tunnel]}}).to_string()).unwrap();
    };
    write("location-b");
    let script = "ulimit -n 300; exec \"$0\" \"$@\"".to_owned();
    let run = ["run", "--config", &arg(&config), "--watch-interval", "50ms"].map(str::to_owned);
    let arguments = [vec![script, env!("CARGO_BIN_EXE_edgetrust").to_owned()], run.to_vec()].concat();
    let mut program = Program::start_shell(&arguments);
    let line = program.wait_for("limits.connections: found ");
    assert!(line.contains("this process may have 300"), "{line}");
    program.wait_for_tunnel();
    let (own, own_key) = pki.issue("location-b", &[]);
    let mut session = OpensslClient::start(program.address, &["-cert", &arg(&own), "-key", &arg(&own_key)]);
    assert_eq!(session.ask("hello").as_deref(), Some("hello"));
    let _strangers: Vec<_> = (0..400).map(|_| std::net::TcpStream::connect(program.address).unwrap()).collect();
    write("location-c");
    // Sessions end while the reload is being logged, so the order of the lines is undefined.
    program.wait_for("its names are not on the allow list");
    assert_eq!(session.ask("hello"), None);
}
