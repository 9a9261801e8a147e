//! Tests the limits and deadlines of connections.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use super::addresses::nowhere;
use super::peers::{OpensslClient, edgetrust};
use super::pki::{Pki, arg};
use super::serve::{let_in, serve, serve_before};

#[test]
fn a_silent_connection_ends_after_the_idle_timeout() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--idle-timeout", "2s"]);
    let mut client = OpensslClient::start(program.address, &[]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    program.wait_for("closed: idle for too long");
}

#[test]
fn a_client_that_stalls_is_let_go_at_the_handshake_deadline() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--handshake-timeout", "500ms"]);
    let mut silent = TcpStream::connect(program.address).unwrap();
    let mut half_said = TcpStream::connect(program.address).unwrap();
    half_said.write_all(&[0x16, 0x03, 0x01, 0x01, 0x00, 0x01]).unwrap();
    for stream in [&mut silent, &mut half_said] {
        program.wait_for("refused: no handshake and no target within the deadline");
        let _ = stream.read_to_end(&mut Vec::new());
    }
}

#[test]
fn over_the_limit_connections_wait() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--connections", "1"]);
    let mut first = OpensslClient::start(program.address, &[]);
    assert_eq!(first.ask("one").as_deref(), Some("one"));
    let address = program.address;
    let second = std::thread::spawn(move || OpensslClient::start(address, &[]).ask("two"));
    assert_eq!(first.ask("still").as_deref(), Some("still"));
    assert!(!second.is_finished(), "a second connection beside the only one");
    drop(first);
    assert_eq!(second.join().unwrap().as_deref(), Some("two"));
}

#[test]
fn a_session_ends_with_its_certificate() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    let (cert, key) = pki.issue_with("short", &[], |params| {
        params.not_after = time::OffsetDateTime::now_utc() + Duration::from_secs(10);
    });
    let mut client = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key)]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    let line = program.wait_for("closed: the peer's certificate: expired at");
    assert!(line.contains("peer=CN=short"), "{line}");
    assert_eq!(client.ask("hello"), None);
}

#[test]
fn connections_that_outlast_the_drain_are_cut() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--drain-timeout", "300ms"]);
    let mut client = OpensslClient::start(program.address, &[]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    program.signal("TERM");
    program.wait_for("closed at the drain deadline");
    assert_eq!(program.wait(), Some(0));
    assert_eq!(client.ask("hello"), None);
}

#[test]
fn a_second_signal_does_not_wait() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--drain-timeout", "1h"]);
    let mut client = OpensslClient::start(program.address, &[]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    program.signal("TERM");
    program.wait_for("draining");
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
}

/// Peers that stall, speak plaintext, disconnect or are refused leave no descriptor open.
#[test]
fn no_descriptor_is_left() {
    let pki = Pki::new("Root");
    // In its sandbox, its descriptors can be counted by root alone.
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--handshake-timeout", "5s", "--no-sandbox"]);
    let (cert, key) = pki.issue("location-b", &[]);
    let (cert, key) = (arg(&cert), arg(&key));
    assert!(let_in(&program, &pki, Some((&cert, &key))));
    program.wait_for("closed:");
    program.wait_for("closed:");
    let before = program.descriptors();
    for _ in 0..20 {
        let mut plain = TcpStream::connect(program.address).unwrap();
        let _ = plain.write_all(b"GET / HTTP/1.1\r\n\r\n");
        drop(TcpStream::connect(program.address).unwrap());
        let mut half = TcpStream::connect(program.address).unwrap();
        let _ = half.write_all(&[0x16, 0x03]);
    }
    assert!(!let_in(&program, &pki, None));
    assert!(let_in(&program, &pki, Some((&cert, &key))));
    program.wait_until("descriptors are left", |program| program.descriptors() <= before);
}

#[test]
fn durations_and_numbers_are_checked() {
    for (flag, value) in [("--idle-timeout", "soon"), ("--connections", "0"), ("--handshake-timeout", "0s")] {
        let files = ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", "x", "--key", "x"];
        let output = edgetrust(&[&files[..], &[flag, value]].concat());
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(flag), "{said}");
    }
}

#[test]
fn a_target_that_is_down_is_named() {
    let pki = Pki::new("Root");
    let target = nowhere().to_string();
    let program = serve_before(&pki, &target, &[]);
    assert_eq!(OpensslClient::start(program.address, &[]).ask("hello"), None);
    program.wait_for(&format!("refused: target {target}: Connection refused"));
}
