//! Tests `pinned_certificates` and `--pin`: a certificate listed there is a pin, even with cA and keyCertSign.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::pages::{get, pages};
use super::peers::{OpensslClient, Program, echo, edgetrust, shell};
use super::pins::{admits, issued_by};
use super::pki::{Pki, arg};
use super::serve::{let_in, serve};

/// A certificate and its key.
type Pair = (PathBuf, PathBuf);

/// Creates a self-signed certificate with the right to issue, as many tools do for a peer.
fn self_signed_ca(folder: &Path, cn: &str) -> Pair {
    self_signed_for(folder, cn, "keyUsage=critical,keyCertSign,digitalSignature")
}

fn self_signed_for(folder: &Path, cn: &str, extension: &str) -> Pair {
    shell(
        folder,
        &format!(
            "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj /CN={cn} \
             -addext subjectAltName=DNS:{cn} -addext {extension} -keyout {cn}.key -out {cn}.pem"
        ),
    );
    (folder.join(format!("{cn}.pem")), folder.join(format!("{cn}.key")))
}

/// Starts a server tunnel that shows this certificate.
fn shows((cert, key): &Pair, more: &[&str]) -> Program {
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", &echo().to_string()].map(str::to_owned);
    let pair = ["--cert".to_owned(), arg(cert), "--key".to_owned(), arg(key)];
    let more = more.iter().map(|argument| (*argument).to_owned());
    Program::start(&fixed.into_iter().chain(pair).chain(more).collect::<Vec<_>>())
}

/// Starts a client tunnel to a server of this name.
fn connect(server: &Program, name: &str, more: &[&str]) -> Program {
    let target = server.address.to_string();
    let fixed = ["connect", "--listen", "127.0.0.1:0", "--target", &target, "--server-name", name];
    Program::start(&fixed.iter().chain(more).map(|argument| (*argument).to_owned()).collect::<Vec<_>>())
}

/// Returns whether the service behind this address echoes.
fn answers(address: SocketAddr) -> bool {
    let mut stream = TcpStream::connect(address).unwrap();
    let mut octets = [0; 5];
    stream.write_all(b"hello").is_ok() && stream.read_exact(&mut octets).is_ok() && &octets == b"hello"
}

#[test]
fn two_self_signed_cas_that_pin_each_other_talk() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.example", "b.example"].map(|name| self_signed_ca(folder.path(), name));
    let [a_cert, b_cert, b_key] = [&a.0, &b.0, &b.1].map(|file| arg(file));
    let own = ["--no-system-roots", "--cert", &b_cert, "--key", &b_key];
    let server = shows(&a, &["--pin", &b_cert]);
    let client = connect(&server, "a.example", &[&own[..], &["--pin", &a_cert]].concat());
    assert!(answers(client.address));
    // Listed among the CAs, each of them is a CA, which may not be a peer.
    let client = connect(&server, "a.example", &[&own[..], &["--cacert", &a_cert]].concat());
    assert!(!answers(client.address));
    client.wait_for("a CA certificate as a peer's own");
    let server = shows(&a, &["--cacert", &b_cert]);
    let client = connect(&server, "a.example", &[&own[..], &["--pin", &a_cert]].concat());
    assert!(!answers(client.address));
    server.wait_for("a CA certificate as a peer's own");
}

#[test]
fn what_a_pinned_ca_issued_is_refused_though_it_is_among_the_cas_too() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let [a, b] = ["a.example", "b.example"].map(|name| self_signed_ca(folder.path(), name));
    let rogue = issued_by(folder.path(), "a.example", "b.example", "rogue");
    let [a_cert, b_cert] = [&a.0, &b.0].map(|file| arg(file));
    for cas in [&[][..], &["--cacert", &a_cert], &["--cacert", &a_cert, "--known-intermediate", &a_cert]] {
        let pins = ["--pin", &a_cert, "--pin", &b_cert];
        let program = serve(&pki, &[&pins[..], cas, &["--allow-dns", "b.example"]].concat());
        assert!(admits(&program, &pki, &b), "{cas:?}");
        assert!(!admits(&program, &pki, &rogue), "{cas:?}");
        program.wait_for("a configured certificate that vouches for itself alone");
        let server = shows(&rogue, &[]);
        let client = connect(&server, "b.example", &[&pins[..], cas, &["--no-system-roots"]].concat());
        assert!(!answers(client.address), "{cas:?}");
        client.wait_for("a configured certificate that vouches for itself alone");
    }
}

#[test]
fn a_pinned_intermediate_issues_for_nobody_though_its_ca_is_configured() {
    let pki = Pki::new("Root");
    let below = pki.intermediate("Location B CA");
    let (cert, key) = below.issue("location-b", &[]);
    let [root, pin, cert, key] = [&pki.ca(), &below.ca(), &cert, &key].map(|file| arg(file));
    let sent = ["-cert", &cert, "-key", &key, "-cert_chain", &pin];
    let comes_with_it = |program: &Program| OpensslClient::start(program.address, &sent).ask("hello").is_some();
    let known = serve(&pki, &["--cacert", &root, "--known-intermediate", &pin]);
    assert!(let_in(&known, &pki, Some((&cert, &key))) && comes_with_it(&known));
    let pinned = serve(&pki, &["--cacert", &root, "--known-intermediate", &pin, "--pin", &pin]);
    assert!(!let_in(&pinned, &pki, Some((&cert, &key))) && !comes_with_it(&pinned));
    pinned.wait_for("a configured certificate that vouches for itself alone");
}

#[test]
fn the_name_of_a_pinned_server_counts_without_any_ca() {
    let folder = tempfile::tempdir().unwrap();
    let a = self_signed_ca(folder.path(), "a.example");
    let server = shows(&a, &[]);
    let pin = ["--pin", &arg(&a.0), "--no-system-roots"];
    assert!(answers(connect(&server, "a.example", &pin).address));
    let client = connect(&server, "b.example", &pin);
    assert!(!answers(client.address));
    client.wait_for("not for the server name that was asked for: found a.example, expected b.example");
}

#[test]
fn every_certificate_of_a_file_is_a_pin_and_a_changed_file_is_taken_up() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let [b, c, d] = ["b.example", "c.example", "d.example"].map(|name| self_signed_ca(folder.path(), name));
    let file = folder.path().join("pins.pem");
    let write = |pairs: [&Pair; 2]| {
        let text: String = pairs.iter().map(|pair| std::fs::read_to_string(&pair.0).unwrap()).collect();
        std::fs::write(&file, text).unwrap();
    };
    write([&b, &c]);
    let program = serve(&pki, &["--pin", &arg(&file), "--watch-interval", "50ms"]);
    assert_eq!([&b, &c, &d].map(|peer| admits(&program, &pki, peer)), [true, true, false]);
    write([&c, &d]);
    program.wait_for("reloaded cause=changed: ");
    assert_eq!([&b, &c, &d].map(|peer| admits(&program, &pki, peer)), [false, true, true]);
}

#[test]
fn a_session_ends_when_its_pin_is_taken_out() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let [b, c] = ["b.example", "c.example"].map(|name| self_signed_ca(folder.path(), name));
    let file = folder.path().join("pins.pem");
    std::fs::copy(&b.0, &file).unwrap();
    let program = serve(&pki, &["--pin", &arg(&file), "--watch-interval", "50ms"]);
    let mut session = OpensslClient::start(program.address, &["-cert", &arg(&b.0), "-key", &arg(&b.1)]);
    assert_eq!(session.ask("before").as_deref(), Some("before"));
    std::fs::copy(&c.0, &file).unwrap();
    program.wait_for("closed: the peer's certificate: a CA certificate as a peer's own");
    assert_eq!(session.ask("after"), None);
}

/// RFC 8446 section 4.2.4: clients choose among their certificates by the issuer.
#[test]
fn clients_are_asked_for_a_certificate_of_the_pins_issuer() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other Root"));
    let (pin, _) = other.issue("location-b", &[]);
    let program = serve(&pki, &["--pin", &arg(&pin)]);
    let address = program.address.to_string();
    for version in ["-tls1_2", "-tls1_3"] {
        let command = format!("openssl s_client -connect {address} {version} </dev/null 2>/dev/null || true");
        let said = String::from_utf8_lossy(&shell(Path::new("."), &command).stdout).into_owned();
        let (_, names) = said.split_once("Acceptable client certificate CA names").unwrap_or_else(|| panic!("{said}"));
        assert!(names.contains("Other Root") && !names.contains("location-b"), "{version}: {said}");
    }
}

#[test]
fn pages_tell_that_it_is_a_pin() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let b = arg(&self_signed_ca(folder.path(), "b.example").0);
    let program = serve(&pki, &["--pin", &b, "--cacert", &b, "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let (_, text) = get(&pages, "/metrics", &[]);
    let ends = text.lines().filter(|line| line.starts_with("edgetrust_certificate_expiration_timestamp_seconds{"));
    let lines: Vec<_> = ends.filter(|line| line.contains("subject=\"CN=b.example\"")).collect();
    assert!(matches!(lines[..], [line] if line.contains("role=\"pin\"")), "{lines:#?}");
    let status: Value = serde_json::from_str(&get(&pages, "/status", &[]).1).unwrap();
    let told = status["tunnels"][0]["authorities"].as_array().unwrap();
    assert!(matches!(&told[..], [one] if one["role"] == "pin" && one["subject"] == "CN=b.example"), "{told:#?}");
}

/// Returns the configuration of a location that pins others in its server tunnel and in its client tunnel.
fn location(own: &Pair, pins: &[&Path], target: &str) -> Value {
    let pins: Vec<String> = pins.iter().map(|pin| arg(pin)).collect();
    let pair = json!({"enabled": true, "cert_file": arg(&own.0), "key_file": arg(&own.1)});
    let mut server = pair.clone();
    server["mtls"] = json!({"enabled": true, "pinned_certificates": pins});
    json!({
        "security": {"tls": {
            "server": server,
            "client": {"pinned_certificates": pins, "use_system_roots": false, "mtls": pair},
        }},
        "gateway": {"tunnels": [
            {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()},
            {"name": "to", "mode": "client", "listen": "127.0.0.1:0", "target": target, "server_name": "b.example"},
        ]},
    })
}

fn written(folder: &Path, name: &str, config: &Value) -> String {
    let file = folder.join(name);
    std::fs::write(&file, config.to_string()).unwrap();
    arg(&file)
}

#[test]
fn two_locations_that_pin_each_other_in_their_files_talk() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.example", "b.example"].map(|name| self_signed_ca(folder.path(), name));
    let run = |name: &str, config: &Value| {
        let file = written(folder.path(), name, config);
        Program::start_tunnels(&["run", "--config", &file].map(str::to_owned), 2)
    };
    let at_b = run("b.json", &location(&b, &[&a.0], "127.0.0.1:1"));
    let at_a = run("a.json", &location(&a, &[&b.0], &at_b.tunnel("in").to_string()));
    assert!(answers(at_a.tunnel("to")));
}

/// Returns the findings of `check` as `level what`, and the whole report.
fn check(file: &str) -> (Vec<String>, Value) {
    let report: Value =
        serde_json::from_slice(&edgetrust(&["check", "--effective", "--json", "--config", file]).stdout).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let findings = report["findings"].as_array().unwrap().iter();
    (findings.map(|finding| format!("{} {}", text(finding, "level"), text(finding, "what"))).collect(), report)
}

#[test]
fn check_says_what_is_pinned_and_why_a_pin_is_of_no_use() {
    let folder = tempfile::tempdir().unwrap();
    let [a, b] = ["a.example", "b.example"].map(|name| self_signed_ca(folder.path(), name));
    let has = |findings: &[String], what: &str| findings.iter().any(|finding| finding.contains(what));
    let mut config = location(&a, &[&b.0], "127.0.0.1:1");
    config["security"]["tls"]["server"]["mtls"]["client_ca_files"] = json!([arg(&b.0)]);
    let (findings, report) = check(&written(folder.path(), "a.json", &config));
    assert!(has(&findings, "CN=b.example is a pin, which vouches for itself alone"), "{findings:#?}");
    assert!(!has(&findings, "a CA, which can issue") && report["errors"] == 0, "{findings:#?}");
    assert!(!has(&findings, "can issue b.example"), "{findings:#?}");
    let roles = report["certificates"].as_array().unwrap().iter().map(|one| one["role"].as_str().unwrap());
    assert!(roles.clone().count() > 0 && roles.clone().all(|role| role == "pin"), "{report:#}");
    for (tunnel, setting, source) in [
        (0, "tls.mtls.pinned_certificates", "security.tls.server.mtls"),
        (1, "tls.pinned_certificates", "security.tls.client"),
    ] {
        let settings = report["effective"][tunnel]["settings"].as_array().unwrap();
        let expected = json!({"setting": setting, "value": [arg(&b.0)], "source": source});
        assert!(settings.contains(&expected), "{settings:#?}");
    }
    // A server's certificate in the list of clients, and the other way round.
    let only = |name: &str, purpose: &str| self_signed_for(folder.path(), name, &format!("extendedKeyUsage={purpose}"));
    let (server, client) = (only("server.example", "serverAuth"), only("client.example", "clientAuth"));
    for (pin, part) in [(&server, "security.tls.server"), (&client, "security.tls.client")] {
        let (_, report) = check(&written(folder.path(), "a.json", &location(&a, &[&pin.0], "127.0.0.1:1")));
        let of_part = report["findings"].as_array().unwrap().iter().filter(|finding| finding["subject"] == part);
        let found: Vec<_> = of_part.map(|finding| finding["what"].as_str().unwrap().to_owned()).collect();
        let why = "can let nobody in: its extended key usage does not allow this purpose";
        assert!(has(&found, why) && has(&found, "0 usable pins of 1"), "{part}: {found:#?}");
        assert_eq!(report["errors"].as_u64(), Some(1), "{report:#}");
    }
}

#[test]
fn verify_judges_pins_as_a_gateway_does() {
    let folder = tempfile::tempdir().unwrap();
    let (a, _) = self_signed_ca(folder.path(), "a.example");
    let (rogue, _) = issued_by(folder.path(), "a.example", "b.example", "rogue");
    let verdict = |anchors: &[&str], leaf: &Path, name: &str| {
        let more = ["--leaf", &arg(leaf), "--purpose", "server", "--name", name];
        edgetrust(&[&["verify"], anchors, &more].concat()).status.code()
    };
    let a_cert = arg(&a);
    let (pin, ca) = (["--pin", a_cert.as_str()], ["--ca", a_cert.as_str()]);
    assert_eq!(verdict(&pin, &a, "a.example"), Some(0));
    assert_eq!(verdict(&pin, &a, "b.example"), Some(1));
    assert_eq!(verdict(&pin, &rogue, "b.example"), Some(1));
    assert_eq!(verdict(&[pin, ca].concat(), &rogue, "b.example"), Some(1));
    assert_eq!(verdict(&ca, &a, "a.example"), Some(1));
    assert_eq!(verdict(&ca, &rogue, "b.example"), Some(0));
}

#[test]
fn flags_that_need_a_ca_or_a_pin_say_so() {
    let server = ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", "c", "--key", "k"];
    let client = ["connect", "--listen", "127.0.0.1:0", "--target", "a.example:1"];
    for (arguments, expected) in [
        ([&server[..], &["--client-auth", "required"]].concat(), "needs --cacert or --pin"),
        ([&server[..], &["--allow-cn", "b"]].concat(), "--allow-cn needs --cacert or --pin"),
        ([&client[..], &["--no-system-roots"]].concat(), "--pin <FILE>"),
    ] {
        let output = edgetrust(&arguments);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && said.contains(expected), "{arguments:?}: {said}");
    }
}

#[test]
fn a_pin_that_ends_a_chain_as_sent_is_no_issuer() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let a = self_signed_ca(folder.path(), "a.example");
    let (cert, key) = issued_by(folder.path(), "a.example", "b.example", "rogue");
    let program = serve(&pki, &["--pin", &arg(&a.0), "--cacert", &arg(&pki.ca())]);
    let [cert, key, above] = [&cert, &key, &a.0].map(|file| arg(file));
    let arguments = ["-cert", &cert, "-key", &key, "-cert_chain", &above];
    assert_eq!(OpensslClient::start(program.address, &arguments).ask("hello"), None);
    program.wait_for("a configured certificate that vouches for itself alone");
}
