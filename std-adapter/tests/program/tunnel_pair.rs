//! Tests `edgetrust connect` in front of `edgetrust serve`: data sent to one end arrives at the other.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::process::{Command, Stdio};

use super::addresses::nowhere;
use super::pages::{metric, pages};
use super::peers::{Program, collect, echo, edgetrust};
use super::pki::{Pki, arg};
use super::serve::serve_before;

fn serve(pki: &Pki, target: &str, more: &[&str]) -> Program {
    let ca = arg(&pki.ca());
    serve_before(pki, target, &[&["--cacert", &ca], more].concat())
}

pub fn connect(pki: &Pki, server: SocketAddr, more: &[&str]) -> Program {
    let (cert, key) = pki.issue("location-b", &[]);
    let target = server.to_string();
    let mut arguments =
        ["connect", "--target", &target, "--no-system-roots", "--cacert", &arg(&pki.ca())].map(str::to_owned).to_vec();
    arguments.extend(["--cert".into(), arg(&cert), "--key".into(), arg(&key)]);
    if !more.contains(&"--listen") {
        arguments.extend(["--listen".into(), "127.0.0.1:0".into()]);
    }
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    Program::start(&arguments)
}

pub const NAMED: [&str; 2] = ["--server-name", "gateway.example"];

#[test]
fn an_end_of_one_side_leaves_the_other_open() {
    let pki = Pki::new("Root");
    let server = serve(&pki, &echo().to_string(), &[]);
    let client = connect(&pki, server.address, &NAMED);
    let mut stream = TcpStream::connect(client.address).unwrap();
    let sent: Vec<u8> = (0..1_000_000_u32).flat_map(u32::to_be_bytes).collect();
    let mut writer = stream.try_clone().unwrap();
    let written = sent.clone();
    let writing = std::thread::spawn(move || {
        writer.write_all(&written).unwrap();
        writer.shutdown(Shutdown::Write).unwrap();
    });
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    writing.join().unwrap();
    assert!(received == sent, "{} octets of {}", received.len(), sent.len());
    server.wait_for("closed: both sides ended");
}

#[test]
fn unix_sockets_at_both_ends() {
    let pki = Pki::new("Root");
    let folder = tempfile::tempdir().unwrap();
    let (near, far) = (folder.path().join("near.sock"), folder.path().join("far.sock"));
    let listener = UnixListener::bind(&far).unwrap();
    std::thread::spawn(move || {
        let (mut stream, _) = listener.accept().unwrap();
        let mut octets = [0; 5];
        stream.read_exact(&mut octets).unwrap();
        stream.write_all(&octets).unwrap();
    });
    let server = serve(&pki, &format!("unix:{}", arg(&far)), &[]);
    let listen = format!("unix:{}", arg(&near));
    let client = connect(&pki, server.address, &[&NAMED[..], &["--listen", &listen]].concat());
    let mut stream = UnixStream::connect(&near).unwrap();
    stream.write_all(b"hello").unwrap();
    let mut octets = [0; 5];
    stream.read_exact(&mut octets).unwrap();
    assert_eq!(&octets, b"hello");
    client.signal("TERM");
    drop(stream);
    assert_eq!(client.wait(), Some(0));
    assert!(!near.exists(), "the socket's file is left");
}

#[test]
fn the_target_learns_who_connected_from_a_proxy_protocol_header() {
    let pki = Pki::new("Root");
    let (target, received) = collect();
    let server = serve(&pki, &target.to_string(), &["--proxy-protocol"]);
    let client = connect(&pki, server.address, &NAMED);
    let mut stream = TcpStream::connect(client.address).unwrap();
    stream.write_all(b"hello").unwrap();
    stream.shutdown(Shutdown::Write).unwrap();
    let octets = received.recv_timeout(super::peers::PATIENCE).unwrap();
    // PROXY protocol, version 2: signature, PROXY, TCP over IPv4
    assert!(octets.starts_with(b"\r\n\r\n\0\r\nQUIT\n\x21\x11"), "{octets:?}");
    let length = usize::from(u16::from_be_bytes([octets[14], octets[15]]));
    let (header, rest) = octets[16..].split_at(length);
    assert_eq!(&header[..8], &[127, 0, 0, 1, 127, 0, 0, 1]);
    assert_eq!(&header[10..12], &server.address.port().to_be_bytes());
    let contains = |text: &[u8]| header.windows(text.len()).any(|window| window == text);
    assert!(contains(b"gateway.example") && contains(b"location-b") && contains(b"TLSv1.3"), "{header:?}");
    assert_eq!(rest, b"hello");
}

#[test]
fn a_server_of_another_name_or_root_is_refused_and_the_client_sees_a_reset() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let server = serve(&pki, &echo().to_string(), &[]);
    for (client, reason) in [
        (
            connect(&pki, server.address, &["--server-name", "c.example"]),
            "not for the server name that was asked for: found gateway.example, expected c.example",
        ),
        (connect(&pki, server.address, &[]), "not for the server name"),
        (connect(&other, server.address, &NAMED), "its issuer is neither a configured CA nor among the intermediates"),
    ] {
        let mut stream = TcpStream::connect(client.address).unwrap();
        let read = stream.read(&mut [0; 16]);
        let line = client.wait_for("refused:");
        assert!(line.contains(reason), "{line}");
        assert_eq!(read.unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    }
}

/// Connects to a tunnel whose target accepts connections and stays silent until the deadline.
#[test]
fn a_client_of_a_tunnel_sees_a_reset_at_the_deadline() {
    let pki = Pki::new("Root");
    let silent = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let deadline = [&NAMED[..], &["--handshake-timeout", "300ms"]].concat();
    let client = connect(&pki, silent.local_addr().unwrap(), &deadline);
    let mut stream = TcpStream::connect(client.address).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    client.wait_for("refused: no handshake and no target within the deadline");
}

/// Tests plaintext clients, and TLS clients whose handshake ends before the target is reached.
#[test]
fn a_client_whose_target_is_down_sees_a_reset() {
    let pki = Pki::new("Root");
    let client = connect(&pki, nowhere(), &NAMED);
    let mut stream = TcpStream::connect(client.address).unwrap();
    assert_eq!(stream.read(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    client.wait_for("refused: target");
}

#[test]
fn skipping_verification_is_loud() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let server = serve(&pki, &echo().to_string(), &["--client-auth", "off"]);
    let target = server.address.to_string();
    let ca = arg(&other.ca());
    let arguments =
        ["connect", "--listen", "127.0.0.1:0", "--target", &target, "--cacert", &ca, "--unsafe-skip-verify"];
    let client = Program::start_quietly(&arguments.map(str::to_owned));
    client.wait_for("whoever answers is believed");
    client.wait_for("listening tunnel=");
}

#[test]
fn plaintext_stays_on_this_machine_unless_told_otherwise() {
    for (arguments, flag) in [
        (&["connect", "--listen", "0.0.0.0:0", "--target", "b.example:1"][..], "--unsafe-listen allows it"),
        (
            &["serve", "--listen", "127.0.0.1:0", "--target", "b.example:1", "--cert", "x", "--key", "x"],
            "--unsafe-target",
        ),
    ] {
        let output = edgetrust(arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(flag), "{said}");
    }
}

/// Asserts that the target refuses a client tunnel's connection with this alert, and that the connection never counts
/// as accepted.
fn is_refused(pki: &Pki, server: SocketAddr, asks: bool, alert: &str) {
    let client = connect(pki, server, &[&NAMED[..], &["--admin", "127.0.0.1:0"]].concat());
    let pages = pages(&client);
    let mut stream = TcpStream::connect(client.address).unwrap();
    if asks {
        // It may be reset already.
        let _ = stream.write_all(b"hello");
    }
    let line = client.wait_for("refused: target");
    assert!(line.contains("WARN") && line.contains(alert), "{line}");
    assert_eq!(stream.read(&mut [0; 16]).unwrap_err().kind(), std::io::ErrorKind::ConnectionReset);
    assert_eq!(metric(&pages, "edgetrust_connections_accepted_total{tunnel=\"connect\""), 0);
    assert_eq!(metric(&pages, "edgetrust_connections_refused_total{tunnel=\"connect\",reason=\"target\"}"), 1);
    assert_eq!(metric(&pages, "edgetrust_sessions_open{tunnel=\"connect\""), 0);
}

#[test]
fn a_server_tunnel_that_refuses_a_client_tunnel_is_a_target_that_refuses() {
    let pki = Pki::new("Root");
    let server = serve(&pki, &echo().to_string(), &["--allow-cn", "location-c"]);
    for asks in [true, false] {
        is_refused(&pki, server.address, asks, "AccessDenied");
    }
}

#[test]
fn a_server_of_either_version_that_refuses_is_a_target_that_refuses() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let (cert, key) = pki.issue("server", &["gateway.example"]);
    for version in ["-tls1_2", "-tls1_3"] {
        let mut server = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", version, "-cert", &arg(&cert), "-key", &arg(&key)])
            .args(["-Verify", "1", "-verify_return_error", "-CAfile", &arg(&other.ca())])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(server.stdout.take().unwrap()).lines();
        let address = lines.find_map(|line| Some(line.unwrap().strip_prefix("ACCEPT ")?.parse().unwrap()));
        is_refused(&pki, address.unwrap(), false, "UnknownCA");
        server.kill().unwrap();
        server.wait().unwrap();
    }
}
