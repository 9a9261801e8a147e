//! GnuTLS by its programs, gnutls-cli and gnutls-serv.

use std::net::TcpStream;
use std::process::Command;

use edgetrust_tls::{Alert, CipherSuite, Error, Fault};

use super::drive::{Setup, Stream};
use super::pki::{Ca, GATEWAY, Pki};
use super::programs::{Files, LABEL, Listener, Program, call, call_in_vain, hex, needed, talk, text};

const NORMAL: &str = "NORMAL:-VERS-ALL:+VERS-TLS1.3";

fn priority(suite: CipherSuite) -> String {
    let cipher = match suite {
        CipherSuite::Aes128Gcm => "AES-128-GCM",
        CipherSuite::ChaCha20Poly1305 => "CHACHA20-POLY1305",
    };
    format!("{NORMAL}:-CIPHER-ALL:+{cipher}")
}

fn start(files: &Files, program: &str, identity: Option<&str>, arguments: &[&str]) -> Program {
    let mut command = Command::new(needed(&[program]));
    command.current_dir(&files.folder).args(["--keymatexport", LABEL, "--keymatexportsize", "32"]);
    if !arguments.contains(&"--x509cafile") {
        command.args(["--x509cafile", "root.pem"]);
    }
    if let Some(identity) = identity {
        command.args(["--x509certfile", &format!("{identity}.pem"), "--x509keyfile", &format!("{identity}.key")]);
    }
    if !arguments.contains(&"--priority") {
        command.args(["--priority", NORMAL]);
    }
    Program::start(command.args(arguments))
}

fn client(files: &Files, at: &Listener, identity: Option<&str>, arguments: &[&str]) -> Program {
    let port = at.port().to_string();
    let place = ["--port", &port, "--verify-hostname", GATEWAY, "--sni-hostname", GATEWAY, "127.0.0.1"];
    start(files, "gnutls-cli", identity, &[arguments, &place].concat())
}

/// Starts a server that sends back what it gets.
fn server(files: &Files, arguments: &[&str]) -> Program {
    let demand = ["--echo", "--require-client-cert", "--verify-client-cert", "--port", "0"];
    start(files, "gnutls-serv", Some("gateway"), &[arguments, &demand].concat())
}

/// Sends text, and gets a line.
fn hear(stream: &mut Stream<TcpStream>, program: &mut Program) {
    let text = text();
    stream.send(text.as_bytes()).unwrap();
    program.wait_for(&text);
    program.feed("1\n");
    assert_eq!(stream.receive_all(2).unwrap(), b"1\n");
}

/// Has text sent back.
fn echoed(stream: &mut Stream<TcpStream>) {
    let text = text();
    // A line at a time: the server reads no more while it writes.
    for part in text.as_bytes().chunks(4000) {
        stream.send(part).unwrap();
        assert!(stream.receive_all(part.len()).unwrap() == part);
    }
}

#[test]
#[ignore = "needs gnutls-cli: tests/run"]
fn its_client_agrees_with_our_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        for (groups, size) in [("", "4096"), (":-GROUP-ALL:+GROUP-X25519:+GROUP-SECP256R1", "512")] {
            let mut setup = Setup::server(&pki);
            setup.clients = Some(vec!["sensor-7"]);
            setup.protocols = vec![b"mqtt"];
            let at = Listener::new();
            let priority = format!("{}{groups}", priority(*suite));
            let arguments = ["--priority", &priority, "--alpn", "mqtt", "--recordsize", size, "--single-key-share"];
            let arguments = [&arguments[..], &["--inline-commands"]].concat();
            let mut program = client(&files, &at, Some("sensor"), &arguments);
            let mut stream = at.serve(&mut setup, &program);
            assert_eq!(setup.seen.as_ref(), pki.sensor.chain.first());
            // RFC 8449 section 4: the limit has the content type.
            assert_eq!(stream.connection.record_size().to_string(), size);
            let exported = stream.connection.export(LABEL.as_bytes(), b"").unwrap();
            let shown = program.wait_for(&hex(&exported).to_lowercase());
            assert!(shown.contains("mqtt") && shown.contains("gateway.a.example"), "{shown}");
            // With a small limit it drops what does not fit into one record: then it only receives.
            let talk = if size == "512" { hear } else { talk };
            talk(&mut stream, &mut program);
            stream.update_keys().unwrap();
            talk(&mut stream, &mut program);
            program.command("^rekey^\n", "Rekey was completed");
            talk(&mut stream, &mut program);
            program.end_input();
            assert_eq!(stream.receive().unwrap(), b"");
            stream.close().unwrap();
            assert!(program.end().0.success());
        }
    }
}

#[test]
#[ignore = "needs gnutls-cli: tests/run"]
fn its_client_resumes_a_session_of_our_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let at = Listener::new();
    let mut setup = Setup::server(&pki);
    let mut program = client(&files, &at, Some("sensor"), &["--resume", "--waitresumption"]);
    let mut first = at.serve(&mut setup, &program);
    first.send(b"1").unwrap();
    assert_eq!(first.receive().unwrap(), b"");
    setup.seen = None;
    let mut second = at.serve(&mut setup, &program);
    assert_eq!(setup.seen, None);
    program.wait_for("This is a resumed session");
    talk(&mut second, &mut program);
}

#[test]
#[ignore = "needs gnutls-serv: tests/run"]
fn our_client_agrees_with_its_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        for limit in [16_385, 513] {
            let mut setup = Setup::client(&pki);
            setup.limit = limit;
            setup.protocols = vec![b"http/1.1", b"mqtt"];
            let priority = priority(*suite);
            let arguments =
                ["--priority", &priority, "--alpn", "mqtt", "--sni-hostname", GATEWAY, "--recordsize", "1000"];
            let mut program = server(&files, &arguments);
            // Its tickets have 950 octets: with small records they come in parts, and are not kept.
            let are_kept = limit > 1000;
            for is_resumed in [false, are_kept, are_kept] {
                setup.seen = None;
                let mut stream = call(&mut setup, &mut program);
                assert_eq!(setup.seen.is_none(), is_resumed);
                assert_eq!(stream.connection.protocol(), Some(1));
                assert_eq!(stream.connection.record_size(), 1000);
                let exported = stream.connection.export(LABEL.as_bytes(), b"").unwrap();
                program.wait_for(&hex(&exported).to_lowercase());
                echoed(&mut stream);
                stream.update_keys().unwrap();
                echoed(&mut stream);
                setup.session = stream.session.take();
                assert_eq!(setup.session.is_some(), are_kept);
                stream.close().unwrap();
                assert_eq!(stream.receive().unwrap(), b"");
            }
        }
    }
}

#[test]
#[ignore = "needs gnutls-cli: tests/run"]
fn each_hears_the_reason_of_the_other() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let at = Listener::new();
    let program = client(&files, &at, None, &[]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::NoClientCertificate));
    program.wait_for("Certificate is required");
    let program = client(&files, &at, Some("sensor"), &[]);
    let mut setup = Setup::server(&pki);
    setup.anchor = Ca::new("Another root", None).der;
    assert!(matches!(at.refuse(&mut setup, &program), Error::Refused(_)));
    program.wait_for("CA is unknown");
    let program = client(&files, &at, Some("sensor"), &[]);
    let mut setup = Setup::server(&pki);
    setup.clients = Some(vec!["sensor-8"]);
    assert!(matches!(at.refuse(&mut setup, &program), Error::Refused(_)));
    program.wait_for("Access was denied");
    for (priority, fault, shown) in [
        ("NORMAL:-VERS-TLS1.3", Fault::Version, "Error in protocol version"),
        ("NORMAL:-GROUP-ALL:+GROUP-X25519", Fault::NoCommon("group"), "Handshake failed"),
    ] {
        let program = client(&files, &at, Some("sensor"), &["--priority", priority]);
        assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(fault));
        program.wait_for(shown);
    }
    let mut setup = Setup::client(&pki);
    setup.names = vec!["another.example"];
    let mut program = server(&files, &[]);
    assert!(matches!(call_in_vain(&mut setup, &mut program), Error::Refused(_)));

    // It refuses us.
    let program = client(&files, &at, Some("sensor"), &["--x509cafile", "other.pem"]);
    let error = at.refuse(&mut Setup::server(&pki), &program);
    assert_eq!(error, Error::Alert(Alert::BadCertificate));
    let mut setup = Setup::client(&pki);
    setup.credential = None;
    assert_eq!(call_in_vain(&mut setup, &mut server(&files, &[])), Error::Alert(Alert::CertificateRequired));
    for (arguments, alert) in [
        (["--x509cafile", "other.pem"], Alert::AccessDenied),
        (["--priority", "NORMAL:-VERS-TLS1.3"], Alert::HandshakeFailure),
        (["--priority", "NORMAL:-GROUP-ALL:+GROUP-X25519"], Alert::HandshakeFailure),
    ] {
        let mut program = server(&files, &arguments);
        assert_eq!(call_in_vain(&mut Setup::client(&pki), &mut program), Error::Alert(alert), "{arguments:?}");
    }
}
