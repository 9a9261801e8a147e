//! tlslite-ng, by a script of these tests.

use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;

use edgetrust_tls::CipherSuite;

use super::drive::{Setup, Stream};
use super::pki::Pki;
use super::programs::{Files, LABEL, Listener, Program, call, hex, talk};

/// The Python that has it: tests/run makes it.
fn python() -> PathBuf {
    let python = PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../target/tools/tlslite/bin/python"));
    assert!(python.is_file(), "{} is not there: tests/run makes it, with tlslite-ng", python.display());
    python
}

/// Starts the script.
pub fn start(files: &Files, identity: &str, arguments: &[&str]) -> Program {
    let script = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/peers/tlslite/peer.py");
    let mut command = Command::new(python());
    command.current_dir(&files.folder).env("PYTHONDONTWRITEBYTECODE", "1").arg(script);
    Program::start(command.args(["--identity", identity, "--label", LABEL]).args(arguments))
}

/// Starts the script as a client.
pub fn client(files: &Files, at: &Listener, arguments: &[&str]) -> Program {
    start(files, "sensor", &[&["--connect", &at.port().to_string()], arguments].concat())
}

fn cipher(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::Aes128Gcm => "aes128gcm",
        CipherSuite::ChaCha20Poly1305 => "chacha20-poly1305",
    }
}

/// Checks what the script shows of a connection. Its exporter covers the client's certificate too, which RFC 8446 section
/// 7.1 leaves out: keying material is equal only if there is none.
fn shows(program: &Program, stream: &Stream<TcpStream>, is_resumed: bool) {
    let shown = program.wait_for(&format!("resumed {}", if is_resumed { "True" } else { "False" }));
    assert!(shown.contains("protocol bytearray(b'mqtt')"), "{shown}");
    if is_resumed {
        program.wait_for(&hex(&stream.connection.export(LABEL.as_bytes(), b"").unwrap()));
    }
}

#[test]
#[ignore = "needs tlslite-ng: tests/run"]
fn its_client_agrees_with_our_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        for (groups, shares) in [("secp256r1", "secp256r1"), ("x25519,secp256r1", "x25519")] {
            let mut setup = Setup::server(&pki);
            setup.clients = Some(vec!["sensor-7"]);
            setup.protocols = vec![b"mqtt"];
            setup.limit = 1500;
            let at = Listener::new();
            let arguments = ["--groups", groups, "--shares", shares, "--cipher", cipher(*suite), "--limit", "600"];
            let arguments = [&arguments[..], &["--alpn", "h2,mqtt", "--connections", "2"]].concat();
            let mut program = client(&files, &at, &arguments);
            for is_resumed in [false, true] {
                setup.seen = None;
                let mut stream = at.serve(&mut setup, &program);
                assert_eq!(setup.seen.is_none(), is_resumed);
                assert_eq!(stream.connection.record_size(), 599);
                shows(&program, &stream, is_resumed);
                talk(&mut stream, &mut program);
                stream.update_keys().unwrap();
                talk(&mut stream, &mut program);
                program.command("update\n", "updated");
                talk(&mut stream, &mut program);
                program.feed("close\n");
                stream.close().unwrap();
                assert_eq!(stream.receive().unwrap(), b"");
            }
            let (status, shown) = program.end();
            assert!(status.success(), "{shown}");
            assert_eq!(shown.matches("closed by the peer").count(), 2, "{shown}");
        }
    }
}

#[test]
#[ignore = "needs tlslite-ng: tests/run"]
fn our_client_agrees_with_its_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        let mut setup = Setup::client(&pki);
        setup.protocols = vec![b"http/1.1", b"mqtt"];
        let arguments = ["--cipher", cipher(*suite), "--limit", "600", "--alpn", "mqtt", "--connections", "2"];
        let mut program = start(&files, "gateway", &arguments);
        for is_resumed in [false, true] {
            setup.seen = None;
            let mut stream = call(&mut setup, &mut program);
            assert_eq!(setup.seen.is_none(), is_resumed);
            assert_eq!(stream.connection.record_size(), 599);
            assert_eq!(stream.connection.protocol(), Some(1));
            // As a server it does not say that it resumes.
            program.wait_for("exported");
            if is_resumed {
                program.wait_for(&hex(&stream.connection.export(LABEL.as_bytes(), b"").unwrap()));
            }
            talk(&mut stream, &mut program);
            stream.update_keys().unwrap();
            talk(&mut stream, &mut program);
            program.command("update\n", "updated");
            talk(&mut stream, &mut program);
            setup.session = stream.session.take();
            program.feed("close\n");
            stream.close().unwrap();
            assert_eq!(stream.receive().unwrap(), b"");
        }
        program.end();
    }
}
