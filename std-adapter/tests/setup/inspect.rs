//! Tests `edgetrust inspect HOST:PORT`: what a server shows, unverified, within bounds.

use std::io::{Read as _, Write as _};
use std::net::{SocketAddr, TcpListener};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use serde_json::{Value, json};

use super::addresses::{free_address, nowhere};
use super::peers::{Program, echo, shell};
use super::pki::{Pki, arg};

fn inspect(folder: &Path, arguments: &[&str]) -> (Option<i32>, String, String) {
    let mut command = Command::new(env!("CARGO_BIN_EXE_edgetrust"));
    command.arg("inspect").args(arguments).current_dir(folder).env("NO_COLOR", "1").stdin(Stdio::null());
    let output = command.output().unwrap();
    let [said, error] = [output.stdout, output.stderr].map(|text| String::from_utf8(text).unwrap());
    (output.status.code(), said, error)
}

fn server(pki: &Pki, more: &[&str]) -> Program {
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let (cert, key, target) = (arg(&cert), arg(&key), echo().to_string());
    let flags = ["serve", "--listen", "127.0.0.1:0", "--target", &target, "--cert", &cert, "--key", &key];
    Program::start(&[&flags, more].concat().iter().map(|flag| (*flag).to_owned()).collect::<Vec<_>>())
}

/// Starts a server that treats each connection so.
fn peer(treat: impl Fn(std::net::TcpStream) + Send + 'static) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || listener.incoming().flatten().for_each(treat));
    address
}

#[test]
fn a_server_shows_its_chain_its_settings_and_whom_it_asks() {
    let pki = Pki::new("Root");
    let program = server(&pki, &["--cacert", &arg(&pki.ca())]);
    let address = program.address.to_string();
    let (code, said, _) = inspect(&pki.path(""), &[&address, "--server-name", "gateway.example"]);
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "NOT VERIFIED",
        "asked for       gateway.example",
        "version         TLSv1.3",
        "group           X25519",
        "ALPN            none, of h2, http/1.1",
        "client's        asked for",
        "certificate 1\n",
        "subject         CN=gateway",
        "DNS gateway.example",
        "the first of them expires at 4096-01-01T00:00:00Z",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
    let (_, said, _) = inspect(&pki.path(""), &[&address, "--json"]);
    let shown: Value = serde_json::from_str(&said).unwrap();
    assert_eq!((&shown["verified"], &shown["asks_for_client_certificate"]), (&json!(false), &json!(true)));
    assert_eq!((&shown["server_name"], &shown["error"]), (&json!("127.0.0.1"), &Value::Null));
    assert_eq!(shown["certificates"][0]["subject"], "CN=gateway");
}

#[test]
fn serial_numbers_are_those_that_openssl_shows() {
    let folder = tempfile::tempdir().unwrap();
    for number in
        ["0", "1", "0x7f", "0x80", "0xab0001", "0x00ff0000000000000000000000000000000000ff", "-1", "-255", "-256"]
    {
        let commands = format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout /dev/null -subj /CN=a \
             -set_serial {number} -out a.pem; openssl x509 -noout -serial -in a.pem"
        );
        let shown = String::from_utf8(shell(folder.path(), &commands).stdout).unwrap();
        let (_, said, _) = inspect(folder.path(), &["a.pem", "--json"]);
        let said: Value = serde_json::from_str(&said).unwrap();
        let serial = said[0]["serial"].as_str().unwrap_or_else(|| panic!("{said}"));
        assert_eq!(format!("serial={}\n", serial.to_uppercase()), shown, "{number}");
    }
}

/// OpenSSL names the CAs that it asks for, and ends a handshake of TLS 1.2 without a certificate.
#[test]
fn the_cas_that_a_server_names_are_shown_even_if_it_refuses_us() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let free: SocketAddr = free_address().parse().unwrap();
    let mut openssl = Command::new("openssl")
        .args(["s_server", "-quiet", "-tls1_2", "-Verify", "3", "-verify_return_error", "-alpn", "mqtt"])
        .args(["-accept", &free.to_string(), "-cert", &arg(&cert), "-key", &arg(&key), "-CAfile", &arg(&pki.ca())])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let began = Instant::now();
    while std::net::TcpStream::connect(free).is_err() {
        assert!(began.elapsed().as_secs() < 60, "openssl does not listen");
        std::thread::yield_now();
    }
    let (code, said, _) = inspect(&pki.path(""), &[&free.to_string(), "--alpn", "mqtt"]);
    openssl.kill().unwrap();
    openssl.wait().unwrap();
    assert_eq!(code, Some(0), "{said}");
    for part in [
        "asked for, of 1 CAs:\n                  CN=Root\n",
        "the handshake was not finished: ended by the server's alert",
    ] {
        assert!(said.contains(part), "{part}: {said}");
    }
}

#[test]
fn silence_other_protocols_and_closed_ports_are_named_in_bounded_time() {
    let folder = tempfile::tempdir().unwrap();
    let silent = peer(std::mem::forget);
    let greeting = peer(|mut stream| drop(stream.write_all(b"INFO {}\r\n").map(|()| stream.read(&mut [0; 8]))));
    // Records without an end: more octets than a handshake needs.
    let endless = peer(|mut stream| {
        let mut octets = vec![22, 3, 3, 0x40, 0, 11, 0xff, 0xff, 0xff];
        octets.resize(5 + 0x4000, 0);
        while stream.write_all(&octets).is_ok() {}
    });
    for (address, time, expected) in [
        (silent, "300ms", "not finished within 300ms: it accepts the connection and says nothing"),
        (greeting, "60s", "what answers does not speak TLS: it begins with \"INFO {}"),
        (endless, "60s", "the handshake was not finished: "),
        (nowhere(), "60s", "Connection refused"),
    ] {
        let began = Instant::now();
        let (code, said, error) = inspect(folder.path(), &[&address.to_string(), "--timeout", time]);
        assert!(code == Some(1) && said.contains(expected), "{expected}: {said}{error}");
        assert!(began.elapsed().as_secs() < 30, "{expected}: {:?}", began.elapsed());
    }
}

#[test]
fn a_file_of_that_name_comes_first_and_is_told() {
    let pki = Pki::new("Root");
    std::fs::copy(pki.ca(), pki.path("localhost:1")).unwrap();
    let (code, said, error) = inspect(&pki.path(""), &["localhost:1"]);
    assert!(code == Some(0) && said.starts_with("localhost:1 certificate 1\n"), "{said}");
    assert!(
        error.contains("a file of this name is there: it is shown, and no server is asked file=\"localhost:1\""),
        "{error}"
    );
    for (arguments, expected) in [
        (
            &["localhost:2", "localhost:1"][..],
            "localhost:2: no file of this name is there; a server is inspected alone",
        ),
        (&["localhost:1", "--alpn", "h2"], "--alpn goes with HOST:PORT, not with a file"),
        (&["./localhost:2"], "./localhost:2: "),
        (
            &["localhost:2", "--server-name", "a b"],
            "--server-name: found \"a b\", expected a DNS name or an IP address",
        ),
        (&["localhost:2", "--alpn", ""], "--alpn: found \"\", expected 1 to 255 octets"),
        (&["localhost:2", "--timeout", "0s"], "expected more than 0s"),
    ] {
        let (code, _, error) = inspect(&pki.path(""), arguments);
        assert!(code == Some(2) && error.contains(expected), "{arguments:?}: {error}");
    }
}
