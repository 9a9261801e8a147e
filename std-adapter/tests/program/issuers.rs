//! Tests rules that are bound to the CA of one site, and keys that are denied.

use std::io::{Read, Write};
use std::path::{Path, PathBuf};
use std::time::Duration;

use edgetrust::core::x509::{Certificate, KeyHash};
use serde_json::{Value, json};

use super::peers::{OpensslClient, Program, echo, edgetrust};
use super::pki::{Pki, arg};
use super::serve::serve;
use super::strangers::told;

/// Returns the hash of the first certificate's key in a file.
fn key_hash(file: &Path) -> String {
    let ders = edgetrust::pem::read_certificates(file).unwrap();
    KeyHash::of(&Certificate::from_der(&ders[0]).unwrap().subject_public_key_info()).to_string()
}

/// Two sites below one root, and a gateway that both reach.
struct Mesh {
    root: Pki,
    a: Pki,
    b: Pki,
    file: PathBuf,
}

impl Mesh {
    fn new() -> Self {
        let root = Pki::new("Root");
        let (a, b) = (root.intermediate("CA a"), root.intermediate("CA b"));
        let file = root.path("gateway.json");
        Self { root, a, b, file }
    }

    fn write(&self, rules: &Value, denied: &Value, limits: &Value) {
        let config = json!({
            "security": {"tls": {"denied_keys": denied}},
            "gateway": {"limits": limits, "tunnels": [{
                "name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string(),
                "tls": {"enabled": true, "cert_file": arg(&self.root.path("gateway.pem")),
                    "key_file": arg(&self.root.path("gateway.key")),
                    "mtls": {"enabled": true, "client_ca_files": [arg(&self.root.ca())], "allowed_clients": rules}},
            }]},
        });
        std::fs::write(&self.file, config.to_string()).unwrap();
    }

    fn run(&self, rules: &Value, denied: &Value, limits: &Value) -> Program {
        self.root.issue("gateway", &["gateway.example"]);
        self.write(rules, denied, limits);
        // Files of other folders are named later.
        let arguments = ["run", "--config", &arg(&self.file), "--watch-interval", "50ms", "--no-sandbox"];
        Program::start(&arguments.map(str::to_owned))
    }
}

fn client(program: &Program, (cert, key): &(PathBuf, PathBuf)) -> OpensslClient {
    OpensslClient::start(program.address, &["-cert", &arg(cert), "-cert_chain", &arg(cert), "-key", &arg(key)])
}

#[test]
fn the_ca_of_a_sister_site_cannot_use_a_name_that_is_bound_to_another() {
    let mesh = Mesh::new();
    let (honest, forged) = (mesh.b.issue_chain("location-b", &[]), mesh.a.issue_chain("location-b", &[]));
    let unbound = json!([{"cn": "location-b"}]);
    let program = mesh.run(&unbound, &json!([]), &json!({}));
    assert_eq!(client(&program, &forged).ask("x").as_deref(), Some("x"), "any CA below the root issues any name");

    let by_file = json!([{"cn": "location-b", "issuers": [arg(&mesh.b.ca())]}]);
    let by_hash = json!([{"cn": "location-b", "issuers": [key_hash(&mesh.b.ca())]}]);
    for rules in [by_file, by_hash] {
        mesh.write(&rules, &json!([]), &json!({}));
        program.wait_for("reloaded");
        let mut admitted = client(&program, &honest);
        assert_eq!(admitted.ask("x").as_deref(), Some("x"));
        assert_eq!(client(&program, &forged).ask("x"), None);
        let refused =
            program.wait_for("refused: the peer is not let in: its name may come from the named issuers only");
        assert!(refused.contains(&key_hash(&mesh.a.ca())), "{refused}");
        mesh.write(&unbound, &json!([]), &json!({}));
        program.wait_for("reloaded");
    }
}

#[test]
fn an_issuer_that_is_no_ca_is_refused_by_name() {
    let mesh = Mesh::new();
    let (leaf, _) = mesh.b.issue("location-b", &[]);
    mesh.root.issue("gateway", &["gateway.example"]);
    for (file, said) in [
        (arg(&leaf), "certificate 1 is no CA's, so it cannot have issued any: expected the certificates of issuers"),
        (arg(&mesh.root.path("none.pem")), "none.pem: cannot be read"),
        (arg(&mesh.root.path("gateway.key")), "gateway.key: found no certificate but PRIVATE KEY on line 1"),
    ] {
        mesh.write(&json!([{"cn": "location-b", "issuers": [file]}]), &json!([]), &json!({}));
        let output = edgetrust(&["run", "--config", &arg(&mesh.file)]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(!output.status.success() && text.contains(said), "{text}");
        assert!(text.contains("tunnel in: allowed_clients: CN location-b: "), "{text}");
        let output = edgetrust(&["check", "--config", &arg(&mesh.file)]);
        assert_eq!(output.status.code(), Some(1), "check and run agree");
    }
}

#[test]
fn a_server_must_come_from_the_named_issuer() {
    let mesh = Mesh::new();
    let [by_a, by_b] = [&mesh.a, &mesh.b].map(|pki| {
        let (cert, key) = pki.issue_chain("gateway", &["gateway.example"]);
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", &echo().to_string()].map(str::to_owned);
        let files = ["--cert".to_owned(), arg(&cert), "--key".to_owned(), arg(&key)];
        Program::start(&[&fixed[..], &files].concat())
    });
    let answers = |server: &Program, more: &[&str]| {
        let fixed = ["connect", "--listen", "127.0.0.1:0", "--server-name", "gateway.example", "--no-system-roots"];
        let trust = ["--cacert", &arg(&mesh.root.ca()), "--target", &server.address.to_string()].map(str::to_owned);
        let more: Vec<String> = more.iter().map(|argument| (*argument).to_owned()).collect();
        let client = Program::start(&[&fixed.map(str::to_owned)[..], &trust, &more].concat());
        let mut stream = std::net::TcpStream::connect(client.address).unwrap();
        let mut octets = [0; 5];
        let answered = stream.write_all(b"hello").is_ok() && stream.read_exact(&mut octets).is_ok();
        (answered, client)
    };
    let (file, hash) = (arg(&mesh.b.ca()), key_hash(&mesh.b.ca()));
    for issuer in [&file, &hash] {
        assert!(answers(&by_b, &["--server-issuer", issuer]).0, "{issuer}");
        let (answered, client) = answers(&by_a, &["--server-issuer", issuer]);
        assert!(!answered, "{issuer}");
        let refused = client.wait_for("its name may come from the named issuers only");
        assert!(refused.contains(&key_hash(&mesh.a.ca())), "{refused}");
    }
    let (answered, client) = answers(&by_b, &["--deny-key", &hash]);
    assert!(!answered);
    client.wait_for(&format!("its key is denied: {hash}"));
}

#[test]
fn a_denied_key_ends_its_sessions_at_once_and_no_others() {
    let mesh = Mesh::new();
    let rules = json!([{"cn": "location-a"}, {"cn": "location-b"}, {"cn": "location-c"}]);
    let limits = json!({"expired_grace": "1h"});
    let program = mesh.run(&rules, &json!([]), &limits);
    let (a, b, c) = (
        mesh.a.issue_chain("location-a", &[]),
        mesh.b.issue_chain("location-b", &[]),
        mesh.b.issue_chain("location-c", &[]),
    );
    let mut sessions = [&a, &b, &c].map(|files| {
        let mut session = client(&program, files);
        assert_eq!(session.ask("hello").as_deref(), Some("hello"));
        session
    });
    let mut denied = vec![json!({"key": key_hash(&b.0), "reason": "laptop stolen"})];
    mesh.write(&rules, &json!(denied), &limits);
    let line = program.wait_for(&format!("closed: the peer's certificate: its key is denied: {}", key_hash(&b.0)));
    assert!(line.contains("peer=CN=location-b"), "{line}");
    assert_eq!(sessions[1].ask("hello"), None);
    assert_eq!([0, 2].map(|place| sessions[place].ask("still").is_some()), [true, true]);
    assert_eq!(client(&program, &b).ask("x"), None, "nor a new connection");
    program.wait_for("refused: the peer's certificate: its key is denied");

    // The CA's key: everybody that it vouches for.
    denied.push(json!(key_hash(&mesh.b.ca())));
    mesh.write(&rules, &json!(denied), &limits);
    let line = program.wait_for(&format!("its key is denied: {}", key_hash(&mesh.b.ca())));
    assert!(line.contains("closed") && line.contains("peer=CN=location-c"), "{line}");
    assert_eq!(sessions[2].ask("hello"), None);
    assert_eq!(sessions[0].ask("still").as_deref(), Some("still"));

    // And back: a denial that is taken out no longer holds.
    mesh.write(&rules, &json!([]), &limits);
    program.wait_until("the denial is gone", |program| client(program, &b).ask("x").is_some());
}

#[test]
fn the_grace_of_an_expired_peer_ends_with_its_key_or_its_rule() {
    let mesh = Mesh::new();
    let (rules, fewer) = (json!([{"cn": "location-b"}, {"cn": "location-c"}]), json!([{"cn": "location-b"}]));
    let limits = json!({"expired_grace": "1h"});
    let program = mesh.run(&rules, &json!([]), &limits);
    let [b, c] = ["location-b", "location-c"].map(|cn| {
        let short = |params: &mut rcgen::CertificateParams| {
            params.not_after = time::OffsetDateTime::now_utc() + Duration::from_secs(10);
        };
        mesh.root.issue_with(cn, &[], short)
    });
    let mut sessions = [&b, &c].map(|files| client(&program, files));
    for session in &mut sessions {
        assert_eq!(session.ask("hello").as_deref(), Some("hello"));
    }
    // A new connection tells that the certificate has expired.
    while client(&program, &c).ask("hello").is_some() {}
    for session in &mut sessions {
        assert_eq!(session.ask("in the grace").as_deref(), Some("in the grace"));
    }
    mesh.write(&fewer, &json!([]), &limits);
    let line = program.wait_for("closed: the peer is not let in: its names are not on the allow list");
    assert!(line.contains("peer=CN=location-c"), "{line}");
    assert_eq!(sessions[0].ask("in the grace").as_deref(), Some("in the grace"));
    mesh.write(&fewer, &json!([key_hash(&mesh.root.ca())]), &limits);
    let line = program.wait_for("its key is denied");
    assert!(line.contains("closed") && line.contains("peer=CN=location-b"), "{line}");
}

#[test]
fn a_pin_is_denied_too_and_the_peer_is_told() {
    let pki = Pki::new("Root");
    let (cert, key) = super::pki::self_signed(pki.ca().parent().unwrap(), "location-b");
    let program = serve(&pki, &["--pin", &arg(&cert), "--deny-key", &key_hash(&cert)]);
    let said = told(&program, "-tls1_3", (&arg(&cert), &arg(&key)));
    assert!(said.contains("alert certificate revoked"), "{said}");
    program.wait_for("refused: the peer's certificate: its key is denied");
}

#[test]
fn check_says_which_names_are_bound_to_no_issuer() {
    let mesh = Mesh::new();
    mesh.root.issue("gateway", &["gateway.example"]);
    let (b, root, b_hash) = (arg(&mesh.b.ca()), arg(&mesh.root.ca()), key_hash(&mesh.b.ca()));
    let rules = json!([
        {"cn": "location-b", "issuers": [b, b_hash]}, {"cn": "location-c"}, {"dns": "d.example", "issuers": [root]},
    ]);
    let denied = json!([
        {"key": key_hash(&mesh.a.ca()), "reason": "laptop stolen", "until": "2026-01-01T00:00:00Z"},
        {"key": b_hash, "until": "2126-01-01T00:00:00Z"},
    ]);
    mesh.write(&rules, &denied, &json!({}));
    let output = edgetrust(&["check", "--config", &arg(&mesh.file)]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    for said in [
        &format!("clients with the common name location-b, issued by CN=CA b or the key {b_hash}"),
        "any CA under CN=Root can issue location-c: name constraints bind a common name only where it has a dot; \
         allowed_clients binds each name to its issuers",
        "DNS name d.example: CN=Root is a CA of CAs, and counts only for certificates that it signs itself",
        "common name location-b: nothing can come from CN=CA b, whose key is denied",
        &format!("{} (laptop stolen): the denial ended at 2026-01-01T00:00:00Z", key_hash(&mesh.a.ca())),
        &format!("{b_hash} is denied until 2126-01-01T00:00:00Z"),
    ] {
        assert!(text.contains(said), "{said}\n{text}");
    }
    assert_eq!(output.status.code(), Some(1), "{text}");
    mesh.write(&json!([{"cn": "location-b", "issuers": [b]}]), &json!([]), &json!({}));
    let output = edgetrust(&["check", "--config", &arg(&mesh.file)]);
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success() && !text.contains("can issue location"), "{text}");
    let effective = edgetrust(&["check", "--effective", "--json", "--config", &arg(&mesh.file)]);
    let shown: Value = serde_json::from_slice(&effective.stdout).unwrap();
    assert!(shown.to_string().contains(&json!([{"cn": "location-b", "issuers": [b]}]).to_string()), "{shown}");
}

#[test]
fn a_gateway_that_shows_a_denied_key_says_so() {
    let mesh = Mesh::new();
    let (cert, _) = mesh.root.issue("gateway", &["gateway.example"]);
    let program = mesh.run(&json!([{"cn": "location-b"}]), &json!([]), &json!({}));
    // `run` has issued it anew.
    mesh.write(&json!([{"cn": "location-b"}]), &json!([key_hash(&cert)]), &json!({}));
    let line = program.wait_for("which this gateway shows, has a denied key");
    assert!(line.contains("ERROR") && line.contains("CN=gateway") && line.contains(&key_hash(&cert)), "{line}");
}
