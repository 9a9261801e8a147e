//! Go's crypto/tls, by a program of these tests. The suite is Go's choice: with hardware for AES it is that.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

use edgetrust_tls::{Alert, CipherSuite, Error, Fault};

use super::drive::Setup;
use super::pki::{Ca, GATEWAY, Pki};
use super::programs::{Files, LABEL, Listener, Program, call, call_in_vain, hex, name, needed, talk};

/// Builds the program once.
fn program() -> &'static Path {
    static BUILT: OnceLock<PathBuf> = OnceLock::new();
    BUILT.get_or_init(|| {
        let built = Path::new(env!("CARGO_TARGET_TMPDIR")).join("go-peer");
        let mut command = Command::new(needed(&["go", "/usr/local/go/bin/go"]));
        command.current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/go"));
        command.env("CGO_ENABLED", "0").args(["build", "-trimpath", "-buildvcs=false", "-o"]).arg(&built);
        let output = command.output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        built
    })
}

fn start(files: &Files, identity: Option<&str>, arguments: &[&str]) -> Program {
    let mut command = Command::new(program());
    command.current_dir(&files.folder).args(["-label", LABEL]).args(arguments);
    if let Some(identity) = identity {
        command.args(["-cert", &format!("{identity}.pem"), "-key", &format!("{identity}.key")]);
    }
    Program::start(&mut command)
}

fn client(files: &Files, at: &Listener, identity: Option<&str>, arguments: &[&str]) -> Program {
    start(files, identity, &[&["-connect", &at.address().to_string(), "-name", GATEWAY], arguments].concat())
}

fn server(files: &Files, arguments: &[&str]) -> Program {
    start(files, Some("gateway"), &[&["-serve"], arguments].concat())
}

#[test]
#[ignore = "needs go: tests/run"]
fn its_client_agrees_with_our_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        for (groups, is_retried) in [("", false), ("p256", false), ("x25519,p256", true)] {
            let mut setup = Setup::server(&pki);
            setup.clients = Some(vec!["sensor-7"]);
            setup.protocols = vec![b"mqtt"];
            setup.suites = vec![*suite];
            let at = Listener::new();
            let arguments = ["-groups", groups, "-alpn", "http/1.1,mqtt", "-connections", "3"];
            let mut program = client(&files, &at, Some("sensor"), &arguments);
            for is_resumed in [false, true, true] {
                let mut stream = at.serve(&mut setup, &program);
                let exported = stream.connection.export(LABEL.as_bytes(), b"context").unwrap();
                let shown = program.wait_for(&hex(&exported));
                let suite = name(*suite);
                let shown = shown.lines().rev().find(|line| line.starts_with("suite")).unwrap();
                assert!(
                    shown.contains(suite) && shown.contains("protocol \"mqtt\"") && shown.contains(GATEWAY),
                    "{shown}"
                );
                assert!(shown.contains(&format!("resumed {is_resumed}")), "{shown}");
                // By default Go sends a share for P-256 beside its others, or none.
                assert!(groups.is_empty() || shown.contains(&format!("retried {is_retried}")), "{shown}");
                talk(&mut stream, &mut program);
                stream.update_keys().unwrap();
                talk(&mut stream, &mut program);
                program.feed("close\n");
                assert_eq!(stream.receive().unwrap(), b"");
                stream.close().unwrap();
            }
            let (status, shown) = program.end();
            assert!(status.success());
            assert_eq!(shown.matches("closed by the peer").count(), 3, "{shown}");
        }
    }
}

#[test]
#[ignore = "needs go: tests/run"]
fn our_client_agrees_with_its_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        let mut setup = Setup::client(&pki);
        setup.suites = vec![*suite];
        setup.protocols = vec![b"http/1.1", b"mqtt"];
        let mut program = server(&files, &["-alpn", "mqtt", "-connections", "3"]);
        for is_resumed in [false, true, true] {
            setup.seen = None;
            let mut stream = call(&mut setup, &mut program);
            assert_eq!(setup.seen.is_none(), is_resumed);
            assert_eq!(stream.connection.protocol(), Some(1));
            let exported = stream.connection.export(LABEL.as_bytes(), b"context").unwrap();
            let shown = program.wait_for(&hex(&exported));
            let shown = shown.lines().rev().find(|line| line.starts_with("suite")).unwrap();
            assert!(shown.contains(name(*suite)) && shown.contains(GATEWAY) && shown.contains("sensor-7"), "{shown}");
            assert!(shown.contains(&format!("resumed {is_resumed}")), "{shown}");
            talk(&mut stream, &mut program);
            stream.update_keys().unwrap();
            talk(&mut stream, &mut program);
            program.feed("close\n");
            assert_eq!(stream.receive().unwrap(), b"");
            stream.close().unwrap();
            setup.session = stream.session.take();
            assert!(setup.session.is_some());
        }
        let (status, shown) = program.end();
        assert!(status.success());
        assert_eq!(shown.matches("closed by the peer").count(), 3, "{shown}");
    }
}

#[test]
#[ignore = "needs go: tests/run"]
fn each_hears_the_reason_of_the_other() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let at = Listener::new();
    let program = client(&files, &at, None, &[]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::NoClientCertificate));
    program.wait_for("remote error: tls: certificate required");
    let program = client(&files, &at, Some("sensor"), &[]);
    let mut setup = Setup::server(&pki);
    setup.anchor = Ca::new("Another root", None).der;
    assert!(matches!(at.refuse(&mut setup, &program), Error::Refused(_)));
    program.wait_for("remote error: tls: unknown certificate authority");
    let program = client(&files, &at, Some("sensor"), &[]);
    let mut setup = Setup::server(&pki);
    setup.clients = Some(vec!["sensor-8"]);
    assert!(matches!(at.refuse(&mut setup, &program), Error::Refused(_)));
    program.wait_for("remote error: tls: access denied");
    let program = client(&files, &at, Some("sensor"), &["-max", "771"]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::Version));
    program.wait_for("remote error: tls: protocol version not supported");
    let program = client(&files, &at, Some("sensor"), &["-groups", "x25519"]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::NoCommon("group")));
    program.wait_for("remote error: tls: handshake failure");

    let mut setup = Setup::client(&pki);
    setup.names = vec!["another.example"];
    let mut program = server(&files, &[]);
    assert!(matches!(call_in_vain(&mut setup, &mut program), Error::Refused(_)));
    program.wait_for("remote error: tls: access denied");

    // It refuses us.
    for (arguments, alert) in [(["-root", "other.pem"], Alert::BadCertificate), (["-name", "x"], Alert::BadCertificate)]
    {
        let program = client(&files, &at, Some("sensor"), &arguments);
        let mut setup = Setup::server(&pki);
        setup.names.push("x");
        assert_eq!(at.refuse(&mut setup, &program), Error::Alert(alert));
    }
    let mut setup = Setup::client(&pki);
    setup.credential = None;
    assert_eq!(call_in_vain(&mut setup, &mut server(&files, &[])), Error::Alert(Alert::CertificateRequired));
    for (arguments, alert) in [
        (["-root", "other.pem"], Alert::UnknownCa),
        (["-max", "771"], Alert::ProtocolVersion),
        (["-alpn", "h2"], Alert::NoApplicationProtocol),
        (["-groups", "x25519"], Alert::HandshakeFailure),
    ] {
        let mut setup = Setup::client(&pki);
        setup.protocols = vec![b"mqtt"];
        let mut program = server(&files, &arguments);
        assert_eq!(call_in_vain(&mut setup, &mut program), Error::Alert(alert), "{arguments:?}");
    }
}
