//! NSS by its programs, tstclnt and selfserv. selfserv speaks HTTP: it answers a request with the request.

use std::net::TcpStream;
use std::process::Command;

use edgetrust_tls::{Alert, CipherSuite, Error, Fault};

use super::drive::{Setup, Stream};
use super::pki::{Ca, GATEWAY, Pki};
use super::programs::{Files, LABEL, Listener, Program, call, call_in_vain, free_port, hex, needed, talk, text};

fn code(suite: CipherSuite) -> &'static str {
    match suite {
        CipherSuite::Aes128Gcm => ":1301",
        CipherSuite::ChaCha20Poly1305 => ":1303",
    }
}

/// Runs a program to its end.
fn run(files: &Files, program: &str, arguments: &[&str]) {
    let output = Command::new(needed(&[program])).current_dir(&files.folder).args(arguments).output().unwrap();
    assert!(output.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
}

/// Makes a database with an identity, and an anchor.
fn database(files: &Files, identity: &str, anchor: &str) -> String {
    let name = format!("{identity}-{anchor}");
    std::fs::create_dir(files.path(&name)).unwrap();
    let place = format!("sql:{name}");
    let (chain, key) = (format!("{identity}.pem"), format!("{identity}.key"));
    run(files, "certutil", &["-N", "--empty-password", "-d", &place]);
    run(files, "certutil", &["-A", "-n", "root", "-t", "CT,C,", "-i", &format!("{anchor}.pem"), "-d", &place]);
    let pack = ["pkcs12", "-export", "-in", &chain, "-inkey", &key, "-name", identity, "-out", "p12"];
    run(files, "openssl", &[&pack[..], &["-passout", "pass:pass"]].concat());
    run(files, "pk12util", &["-i", "p12", "-W", "pass", "-d", &place]);
    place
}

fn client(files: &Files, at: &Listener, place: &str, identity: Option<&str>, arguments: &[&str]) -> Program {
    let mut command = Command::new(needed(&["tstclnt"]));
    command.current_dir(&files.folder).args(["-h", "127.0.0.1", "-p", &at.port().to_string(), "-a", GATEWAY]);
    command.args(["-d", place, "-v", "-x", &format!("{LABEL}:32:context")]);
    if !arguments.contains(&"-V") {
        command.args(["-V", "tls1.3:"]);
    }
    if let Some(identity) = identity {
        command.args(["-n", identity]);
    }
    Program::start(command.args(arguments))
}

/// Starts a server. It takes no port of its own choice, and another program may be faster.
fn server(files: &Files, place: &str, arguments: &[&str]) -> Program {
    let mut command = Command::new(needed(&["selfserv"]));
    command.current_dir(&files.folder).args(["-d", place, "-n", "gateway", "-r", "-r", "-u", "-v"]);
    command.args(["-p", &free_port().to_string(), "-x", &format!("{LABEL}:32:context")]);
    if !arguments.contains(&"-V") {
        command.args(["-V", "tls1.3:"]);
    }
    Program::start(command.args(arguments))
}

/// Checks that a program has shown the same keying material, which it does in lines of pairs of digits.
fn shows(program: &Program, exported: &[u8]) {
    program.wait_for("Keying Material:");
    let digits: String = program.output().chars().filter(char::is_ascii_hexdigit).collect();
    assert!(digits.contains(&hex(exported).to_lowercase()), "{}", program.output());
}

/// Has a request sent back, which is longer than several records of 1500 octets.
fn get(stream: &mut Stream<TcpStream>) {
    let text = &text()[..8000];
    stream.send(format!("GET / HTTP/1.0\r\n{text}\r\n\r\n").as_bytes()).unwrap();
    let mut found = Vec::new();
    loop {
        let part = stream.receive().unwrap();
        if part.is_empty() {
            break;
        }
        found.extend(part);
    }
    let found = String::from_utf8(found).unwrap();
    assert!(found.contains(text), "{found}");
}

#[test]
#[ignore = "needs tstclnt: tests/run"]
fn its_client_agrees_with_our_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let place = database(&files, "sensor", "root");
    for suite in CipherSuite::ALL {
        for groups in ["P256,x25519", "x25519,P256"] {
            let mut setup = Setup::server(&pki);
            setup.clients = Some(vec!["sensor-7"]);
            // NSS knows RFC 8449.
            setup.limit = 2000;
            let at = Listener::new();
            let mut program = client(&files, &at, &place, Some("sensor"), &["-c", code(*suite), "-I", groups, "-e"]);
            let mut stream = at.serve(&mut setup, &program);
            assert_eq!(setup.seen.as_ref(), pki.sensor.chain.first());
            assert_eq!(stream.connection.record_size(), 16_384);
            talk(&mut stream, &mut program);
            stream.update_keys().unwrap();
            talk(&mut stream, &mut program);
            stream.close().unwrap();
            drop(stream);
            // What it prints itself it keeps back until it ends.
            let mut program = client(&files, &at, &place, Some("sensor"), &["-c", code(*suite), "-Q"]);
            let stream = at.serve(&mut setup, &program);
            assert!(program.end().0.success(), "{}", program.output());
            shows(&program, &stream.connection.export(LABEL.as_bytes(), b"context").unwrap());
        }
    }
}

#[test]
#[ignore = "needs selfserv: tests/run"]
fn our_client_agrees_with_its_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let place = database(&files, "gateway", "root");
    for suite in CipherSuite::ALL {
        for limit in [16_385, 1500] {
            let mut setup = Setup::client(&pki);
            setup.limit = limit;
            let mut program = server(&files, &place, &["-c", code(*suite)]);
            for is_resumed in [false, true] {
                setup.seen = None;
                let mut stream = call(&mut setup, &mut program);
                assert_eq!(setup.seen.is_none(), is_resumed);
                let exported = stream.connection.export(LABEL.as_bytes(), b"context").unwrap();
                stream.update_keys().unwrap();
                get(&mut stream);
                setup.session = stream.session.take();
                stream.close().unwrap();
                shows(&program, &exported);
            }
            program.wait_for("1 stateless resumes");
        }
    }
}

#[test]
#[ignore = "needs tstclnt: tests/run"]
fn each_hears_the_reason_of_the_other() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let (sensor, stranger) = (database(&files, "sensor", "root"), database(&files, "sensor", "other"));
    // A client takes any certificate of its database.
    let nobody = files.path("nobody").display().to_string();
    std::fs::create_dir(&nobody).unwrap();
    run(&files, "certutil", &["-N", "--empty-password", "-d", "sql:nobody"]);
    run(&files, "certutil", &["-A", "-n", "root", "-t", "CT,C,", "-i", "root.pem", "-d", "sql:nobody"]);
    let at = Listener::new();
    let program = client(&files, &at, "sql:nobody", None, &[]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::NoClientCertificate));
    program.wait_for("SSL_ERROR_RX_CERTIFICATE_REQUIRED_ALERT");
    let program = client(&files, &at, &sensor, Some("sensor"), &[]);
    let mut setup = Setup::server(&pki);
    setup.anchor = Ca::new("Another root", None).der;
    assert!(matches!(at.refuse(&mut setup, &program), Error::Refused(_)));
    program.wait_for("SSL_ERROR_UNKNOWN_CA_ALERT");
    let program = client(&files, &at, &sensor, Some("sensor"), &["-V", "tls1.2:tls1.2"]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::Version));
    program.wait_for("SSL_ERROR_PROTOCOL_VERSION_ALERT");
    let program = client(&files, &at, &sensor, Some("sensor"), &["-I", "x25519"]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::NoCommon("group")));
    program.wait_for("SSL_ERROR_NO_CYPHER_OVERLAP");

    // It refuses us.
    let program = client(&files, &at, &stranger, Some("sensor"), &[]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Alert(Alert::UnknownCa));
    let (gateway, stranger) = (database(&files, "gateway", "root"), database(&files, "gateway", "other"));
    let mut setup = Setup::client(&pki);
    setup.credential = None;
    let mut program = server(&files, &gateway, &[]);
    assert_eq!(call_in_vain(&mut setup, &mut program), Error::Alert(Alert::CertificateRequired));
    let mut program = server(&files, &stranger, &[]);
    assert_eq!(call_in_vain(&mut Setup::client(&pki), &mut program), Error::Alert(Alert::UnknownCa));
    let mut program = server(&files, &gateway, &["-V", "tls1.2:tls1.2"]);
    assert_eq!(call_in_vain(&mut Setup::client(&pki), &mut program), Error::Alert(Alert::ProtocolVersion));
}
