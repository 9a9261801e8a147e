//! Tests the resources that unauthorized clients can occupy, and that authorized ones are not affected.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::process::{Command, Stdio};
use std::thread::JoinHandle;

use serde_json::json;

use super::est::{Connection, DEVICE, Location};
use super::peers::{OpensslClient, Program, echo};
use super::pki::{Pki, arg};
use super::serve::{issued, let_in, serve};

fn silent(program: &Program, count: usize) -> Vec<TcpStream> {
    silent_at(program.address, count)
}

pub fn silent_at(address: SocketAddr, count: usize) -> Vec<TcpStream> {
    (0..count).map(|_| TcpStream::connect(address).unwrap()).collect()
}

#[test]
fn silent_connections_make_room_for_a_handshake() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--handshakes", "4", "--handshake-timeout", "1h"]);
    let strangers = silent(&program, 12);
    let (cert, key) = issued(&pki, "location-b", &[]);
    assert!(let_in(&program, &pki, Some((&cert, &key))));
    program.wait_for("refused: no handshake until a newer connection took its place among 4");
    drop(strangers);
}

#[test]
fn silent_connections_at_the_est_server_keep_no_device_waiting() {
    // They have seats of their own, or make room.
    for handshakes in [512, 64] {
        let location = Location::with(|_, _, file| {
            file["gateway"]["limits"] = json!({"handshake_timeout": "1h"});
            file["gateway"]["est"]["limits"] = json!({"handshakes": handshakes});
        });
        let strangers = silent_at(location.est, 256);
        assert_eq!(location.ask(DEVICE, "cacerts", &[]).code, 200, "{handshakes}");
        if handshakes < strangers.len() {
            location.program.wait_for("est: refused: no handshake until a newer connection took its place among 64");
        }
    }
}

#[test]
fn devices_that_stay_take_no_more_connections_than_the_est_server_has() {
    let location = Location::with(|_, _, file| {
        file["gateway"]["limits"] = json!({"handshake_timeout": "2s"});
        file["gateway"]["est"]["limits"] = json!({"connections": 1});
    });
    let mut stays = Connection::open(&location);
    assert_eq!(stays.get("cacerts").unwrap().0, 200);
    assert!(location.try_asking(DEVICE, "cacerts", &[]).is_none(), "there is one");
    location.program.wait_for("est: refused: no handshake within the deadline");
    assert_eq!(stays.get("cacerts").unwrap().0, 200);
    drop(stays);
    location.program.wait_until("its place is free", |_| location.try_asking(DEVICE, "cacerts", &[]).is_some());
}

#[test]
fn a_client_hello_without_end_is_refused() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--handshake-timeout", "1h"]);
    let mut stream = TcpStream::connect(program.address).unwrap();
    // A ClientHello of 60,000 octets (RFC 8446 section 4) whose end never arrives.
    let record = [&[0x16, 3, 1, 0x20, 0][..], &[0; 0x2000]].concat();
    let mut first = record.clone();
    first[5..9].copy_from_slice(&[1, 0, 0xea, 0x60]);
    let _ = stream.write_all(&[first, record.clone(), record].concat());
    program.wait_for("refused: the peer sent more than a handshake needs");
    let _ = stream.read_to_end(&mut Vec::new());
}

#[test]
fn visitors_of_one_tunnel_leave_the_others_their_connections() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let tls = json!({"cert_file": arg(&cert), "key_file": arg(&key)});
    let mut mutual = tls.clone();
    mutual["mtls"] = json!({"enabled": true, "client_ca_files": [arg(&pki.ca())]});
    let target = echo().to_string();
    let config = json!({"gateway": {
        "tunnels": [
            {"name": "public", "mode": "server", "listen": "127.0.0.1:0", "target": target, "tls": tls},
            {"name": "private", "mode": "server", "listen": "127.0.0.1:0", "target": target, "tls": mutual},
            {"name": "small", "mode": "server", "listen": "127.0.0.1:0", "target": target, "tls": tls,
             "limits": {"connections": 1}},
        ],
        "limits": {"connections": 12, "handshake_timeout": "2s"},
    }});
    std::fs::write(pki.path("gateway.json"), config.to_string()).unwrap();
    let arguments = ["run", "--config", &arg(&pki.path("gateway.json"))].map(str::to_owned);
    let program = Program::start_tunnels(&arguments, 3);
    let ask = |tunnel: &str, arguments: &[&str]| {
        let mut client = OpensslClient::start(program.tunnel(tunnel), arguments);
        client.ask("hello").map(|_| client)
    };
    let mut visitors: Vec<_> = (0..9).map(|_| ask("public", &[]).expect("half of all, and its part")).collect();
    assert!(ask("public", &[]).is_none(), "what is left is for the others");
    program.wait_for("refused: no handshake and no target within the deadline");
    let (cert, key) = issued(&pki, "location-b", &[]);
    assert!(ask("private", &["-cert", &cert, "-key", &key]).is_some());
    let only = ask("small", &[]);
    assert!(only.is_some() && ask("small", &[]).is_none(), "its own limit");
    visitors.pop();
    program.wait_for("closed:");
    assert!(ask("public", &[]).is_some());
}

#[test]
fn a_source_has_as_many_connections_as_it_may() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--connections-per-source", "2"]);
    let mut first = OpensslClient::start(program.address, &[]);
    assert_eq!(first.ask("one").as_deref(), Some("one"));
    let silent = silent(&program, 1);
    assert_eq!(OpensslClient::start(program.address, &[]).ask("three"), None);
    program.wait_for("refused: its source has 2 connections (limits.connections_per_source)");
    drop(silent);
    program.wait_for("left without a word");
    assert_eq!(OpensslClient::start(program.address, &[]).ask("two").as_deref(), Some("two"));
    assert_eq!(first.ask("still").as_deref(), Some("still"));
}

#[test]
fn a_source_begins_as_many_handshakes_as_it_may() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--handshakes-per-second", "5"]);
    let connections = silent(&program, 200);
    program.wait_for("refused: its source began 5 handshakes in a second (limits.handshakes_per_second)");
    drop(connections);
    program.wait_until("it may come again", |program| OpensslClient::start(program.address, &[]).ask("x").is_some());
}

#[test]
fn no_certificate_is_a_refusal_of_the_peer_and_a_health_check_is_none() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    drop(silent(&program, 1));
    let line = program.wait_for("left without a word");
    assert!(line.contains("DEBUG"), "{line}");
    assert!(!let_in(&program, &pki, None));
    for _version in ["1.2", "1.3"] {
        let line = program.wait_for("refused: the peer showed no certificate");
        assert!(line.contains("WARN"), "{line}");
    }
}

/// Connects with openssl and returns what it prints on standard error.
pub fn told(program: &Program, version: &str, credential: (&str, &str)) -> String {
    told_at(program.address, version, credential)
}

fn told_at(address: SocketAddr, version: &str, (cert, key): (&str, &str)) -> String {
    let mut client = Command::new("openssl")
        .args(["s_client", "-quiet", version, "-connect", &address.to_string(), "-cert", cert, "-key", key])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // The client reads until the server closes, since its standard input stays open.
    let mut said = String::new();
    client.stderr.take().unwrap().read_to_string(&mut said).unwrap();
    client.wait().unwrap();
    said
}

#[test]
fn a_refused_client_is_told_why() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b"]);
    let (expired, expired_key) =
        pki.issue_with("old", &[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let (denied, unknown) = (issued(&pki, "location-c", &[]), issued(&other, "location-b", &[]));
    for ((cert, key), alert) in [
        (denied, "alert access denied"),
        (unknown, "alert unknown ca"),
        ((arg(&expired), arg(&expired_key)), "alert certificate expired"),
    ] {
        for version in ["-tls1_2", "-tls1_3"] {
            let said = told(&program, version, (&cert, &key));
            assert!(said.contains(alert), "{version}: {said}");
            program.wait_for("refused: ");
        }
    }
}

#[test]
fn a_refused_device_is_told_why() {
    let location = Location::new();
    let other = Pki::new("Other");
    let unknown = issued(&other, DEVICE, &[DEVICE]);
    let (expired, expired_key) =
        location.ca.issue_with("old", &[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let expired = (arg(&expired), arg(&expired_key));
    for ((cert, key), alert) in [(unknown, "alert unknown ca"), (expired, "alert certificate expired")] {
        for version in ["-tls1_2", "-tls1_3"] {
            let said = told_at(location.est, version, (&cert, &key));
            assert!(said.contains(alert), "{version}: {said}");
        }
    }
}

/// Relays between a client and the gateway, and sends 64 KiB more in one write with the client's certificate. The
/// thread returns whether the gateway closed the connection in order.
fn more_than_asked(gateway: SocketAddr) -> (SocketAddr, JoinHandle<std::io::Result<()>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let relay = move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut server = TcpStream::connect(gateway).unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), server.try_clone().unwrap());
        std::thread::spawn(move || {
            let (mut buffer, mut more) = (vec![0; 8192], false);
            while let Ok(count @ 1..) = from_client.read(&mut buffer) {
                let mut octets = buffer[..count].to_vec();
                if more {
                    octets.resize(count + 64 * 1024, 0);
                }
                more = true;
                if to_server.write_all(&octets).is_err() {
                    break;
                }
            }
        });
        let mut buffer = vec![0; 8192];
        loop {
            match server.read(&mut buffer) {
                Ok(0) => return client.shutdown(Shutdown::Both),
                Ok(count) => client.write_all(&buffer[..count]).unwrap(),
                Err(error) => {
                    let _ = client.shutdown(Shutdown::Both);
                    return Err(error);
                }
            }
        }
    };
    (address, std::thread::spawn(relay))
}

#[test]
fn the_alert_reaches_a_client_that_sent_more() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b"]);
    let (cert, key) = issued(&pki, "location-c", &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        let (relay, ended) = more_than_asked(program.address);
        let said = told_at(relay, version, (&cert, &key));
        assert!(said.contains("alert access denied"), "{version}: {said}");
        program.wait_for("refused: ");
        ended.join().unwrap().unwrap();
    }
}

#[test]
fn a_refused_client_that_stays_keeps_no_seat() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--handshakes", "1", "--handshake-timeout", "1h"]);
    let mut stranger = TcpStream::connect(program.address).unwrap();
    stranger.write_all(b"GET / HTTP/1.1\r\n\r\n").unwrap();
    program.wait_for("refused: ");
    // It receives the alert and an orderly end, and stays connected.
    stranger.read_to_end(&mut Vec::new()).unwrap();
    let (cert, key) = issued(&pki, "location-b", &[]);
    assert!(let_in(&program, &pki, Some((&cert, &key))));
    drop(stranger);
}
