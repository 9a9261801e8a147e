//! Tests `edgetrust probe`: each fault of a client tunnel is found, and laid at the right door.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::addresses::nowhere;
use super::mesh::{self, Mesh};
use super::peers::{PATIENCE, collect, echo, edgetrust};
use super::pki::{Pki, arg};
use super::serve::serve_before;
use super::tunnel_pair::NAMED;

/// The settings of a client tunnel that trusts a CA and shows a certificate.
fn tls(pki: &Pki, credential: Option<&(PathBuf, PathBuf)>) -> Value {
    let mut tls = json!({"ca_files": [arg(&pki.ca())], "use_system_roots": false});
    if let Some((cert, key)) = credential {
        tls["mtls"] = json!({"enabled": true, "cert_file": arg(cert), "key_file": arg(key)});
    }
    tls
}

/// Writes a configuration with the client tunnel `out`.
fn write(pki: &Pki, target: &str, tls: &Value) -> String {
    let tunnel = json!({
        "name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": target, "tls": tls,
        "server_name": NAMED[1],
    });
    let file = pki.path("probe.json");
    std::fs::write(&file, json!({"gateway": {"tunnels": [tunnel]}}).to_string()).unwrap();
    arg(&file)
}

/// A finished probe.
struct Probe {
    report: Value,
    code: Option<i32>,
}

impl Probe {
    fn of(config: &str, tunnel: &str, timeout: &str) -> Self {
        let output = edgetrust(&["probe", "--config", config, "--tunnel", tunnel, "--json", "--timeout", timeout]);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        let report = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| panic!("{error}: {said}"));
        Self { report, code: output.status.code() }
    }

    /// Probes the target with these settings.
    fn at(pki: &Pki, target: &str, tls: &Value) -> Self {
        Self::of(&write(pki, target, tls), "out", "20s")
    }

    fn steps(&self, step: &str) -> Vec<&Value> {
        self.report["steps"].as_array().unwrap().iter().filter(|one| one["step"] == step).collect()
    }

    /// Asserts that a step has this level, and says this.
    fn says(&self, step: &str, level: &str, what: &str) {
        let said = |one: &&Value| one["level"] == level && one["what"].as_str().unwrap().contains(what);
        assert!(self.steps(step).iter().any(said), "{step} {level} {what:?}: {:#}", self.report);
    }

    /// Asserts that this step alone fails, says this, and gives advice.
    fn fails(&self, step: &str, what: &str) {
        self.says(step, "error", what);
        let mut failed = self.report["steps"].as_array().unwrap().iter().filter(|one| one["level"] == "error");
        assert!(failed.all(|one| one["step"] == step && one["advice"].is_string()), "{:#}", self.report);
        assert_eq!((self.code, &self.report["holds"]), (Some(1), &json!(false)), "{:#}", self.report);
    }

    fn holds(&self) {
        assert_eq!((self.code, &self.report["holds"]), (Some(0), &json!(true)), "{:#}", self.report);
    }
}

/// An `openssl s_server`, stopped when dropped.
struct OpensslServer {
    child: Child,
    address: String,
}

impl OpensslServer {
    fn start((cert, key): &(PathBuf, PathBuf), more: &[&str]) -> Self {
        let mut child = Command::new("openssl")
            .args(["s_server", "-accept", "127.0.0.1:0", "-cert", &arg(cert), "-key", &arg(key)])
            .args(more)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let address = lines.find_map(|line| Some(line.strip_prefix("ACCEPT ")?.to_owned())).unwrap();
        // The server waits where nobody reads what it says.
        std::thread::spawn(move || lines.for_each(drop));
        Self { child, address }
    }
}

impl Drop for OpensslServer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts a TCP server that says this to each client, and reports what the first client has sent.
fn greets(greeting: &'static [u8]) -> (SocketAddr, Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, received) = channel();
    std::thread::spawn(move || {
        let mut stream: TcpStream = listener.accept()?.0;
        stream.write_all(greeting)?;
        let mut octets = Vec::new();
        // It may be reset.
        let _ = stream.read_to_end(&mut octets);
        drop(sender.send(octets));
        std::io::Result::Ok(())
    });
    (address, received)
}

#[test]
fn all_is_well_between_two_gateways_and_the_service_gets_no_octet() {
    let pki = Pki::new("Root");
    let (target, received) = collect();
    let own = pki.issue("location-b", &[]);
    let server = serve_before(&pki, &target.to_string(), &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b"]);
    let config = write(&pki, &server.address.to_string(), &tls(&pki, Some(&own)));
    let probe = Probe::of(&config, "out", "20s");
    probe.holds();
    assert_eq!(received.recv_timeout(PATIENCE).unwrap(), b"", "no octet reaches the service");
    probe.says("target", "ok", "whose name must be gateway.example");
    probe.says("connection", "ok", "answers");
    probe.says("handshake", "ok", "TLSv1.3 with 127.0.0.1:");
    probe.says("our-verdict", "ok", "accepted: it is gateway.example, issued by CN=Root; any trusted CA");
    probe.says("our-certificate", "ok", "valid until");
    probe.says("their-verdict", "ok", "accepted: it gave a ticket");
    probe.says("service", "ok", "stays open");

    // Scripts read these members.
    let report = &probe.report;
    for (member, value) in [("tunnel", json!("out")), ("version", json!("TLSv1.3")), ("alert", Value::Null)] {
        assert_eq!(report[member], value, "{member}");
    }
    assert_eq!(report["target"], report["address"]);
    for (certificate, cn) in [("server_certificate", "CN=gateway"), ("own_certificate", "CN=location-b")] {
        let certificate = &report[certificate];
        assert_eq!((&certificate["subject"], &certificate["issuer"]), (&json!(cn), &json!("CN=Root")));
        assert!(certificate["key"].as_str().unwrap().starts_with("sha256:"), "{certificate}");
        assert!(certificate["serial"].is_string() && certificate["not_after"].is_string(), "{certificate}");
    }
    assert_eq!(report["server_certificate"]["names"], "DNS=gateway.example");

    let server = serve_before(&pki, &echo().to_string(), &["--cacert", &arg(&pki.ca())]);
    write(&pki, &server.address.to_string(), &tls(&pki, Some(&own)));
    let Output { stdout, status, .. } = edgetrust(&["probe", "--config", &config, "--tunnel", "out"]);
    let table = String::from_utf8(stdout).unwrap();
    assert!(status.success() && table.ends_with("all holds\n"), "{table}");
    for said in
        ["tunnel out of ", "our verdict ", "their verdict ", "key's hash   sha256:", "valid until  ", "all holds"]
    {
        assert!(table.contains(said), "{said:?}: {table}");
    }
    let key = std::fs::read_to_string(own.1).unwrap();
    assert!(!table.contains(key.lines().nth(1).unwrap()));
}

#[test]
fn a_service_that_is_down_behind_a_gateway_is_found() {
    let pki = Pki::new("Root");
    let server = serve_before(&pki, &nowhere().to_string(), &["--cacert", &arg(&pki.ca())]);
    let own = pki.issue("location-b", &[]);
    let probe = Probe::at(&pki, &server.address.to_string(), &tls(&pki, Some(&own)));
    probe.fails("service", "ended by the server right after the handshake");
    probe.says("our-verdict", "ok", "accepted");
}

#[test]
fn a_name_that_is_not_found_and_a_closed_port() {
    let pki = Pki::new("Root");
    let probe = Probe::at(&pki, "no-such-host.invalid:8443", &tls(&pki, None));
    probe.fails("look-up", "no-such-host.invalid");
    probe.says("handshake", "skipped", "not tried");
    let probe = Probe::at(&pki, &nowhere().to_string(), &tls(&pki, None));
    probe.fails("connection", "Connection refused");
    probe.says("their-verdict", "skipped", "not tried");
}

#[test]
fn each_address_of_a_name_is_tried() {
    let pki = Pki::new("Root");
    let server = serve_before(&pki, &echo().to_string(), &[]);
    let probe = Probe::at(&pki, &format!("localhost:{}", server.address.port()), &tls(&pki, None));
    probe.holds();
    probe.says("look-up", "ok", "localhost has ");
    probe.says("connection", "ok", &format!("{} answers", server.address));
    probe.says("their-verdict", "ok", "it asks for no certificate");
    assert_eq!(probe.report["address"], server.address.to_string());
}

#[test]
fn a_server_without_tls_is_told_from_one_that_refuses() {
    let pki = Pki::new("Root");
    let nats = b"INFO {\"server_id\":\"NDJ\",\"nonce\":\"not-to-be-shown\"}\r\n";
    let (address, _received) = greets(nats);
    let probe = Probe::at(&pki, &address.to_string(), &tls(&pki, None));
    probe.fails("handshake", "what answers does not speak TLS: it begins with \"INFO {");
    assert!(!probe.report.to_string().contains("not-to-be-shown"));
    let probe = Probe::at(&pki, &echo().to_string(), &tls(&pki, None));
    probe.fails("handshake", "what answers does not speak TLS: it sends back what it is sent");
}

#[test]
fn a_silent_server_ends_the_probe_at_its_time_limit() {
    let pki = Pki::new("Root");
    let (address, _received) = greets(b"");
    let probe = Probe::of(&write(&pki, &address.to_string(), &tls(&pki, None)), "out", "300ms");
    probe.fails("handshake", "it accepts the connection and says nothing within 300ms");
}

#[test]
fn a_server_that_we_refuse_has_the_reason_of_the_log() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let server = serve_before(&pki, &echo().to_string(), &[]);
    let target = server.address.to_string();

    let config = write(&pki, &target, &tls(&pki, None));
    let text = std::fs::read_to_string(&config).unwrap().replace("gateway.example", "c.example");
    std::fs::write(&config, text).unwrap();
    let probe = Probe::of(&config, "out", "20s");
    probe.fails(
        "our-verdict",
        "refused: the peer is not let in: its certificate is not for the server name that was asked for: found",
    );
    probe.says("their-verdict", "skipped", "we refuse the server first");
    assert_eq!(probe.report["server_certificate"]["names"], "DNS=gateway.example");

    let probe = Probe::at(&other, &target, &tls(&other, None));
    probe.fails("our-verdict", "its issuer is neither a configured CA nor among the intermediates");
    assert_eq!(probe.report["server_certificate"]["issuer"], "CN=Root");

    let expired = pki.issue_with("expired", &["gateway.example"], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let server = OpensslServer::start(&expired, &[]);
    let probe = Probe::at(&pki, &server.address, &tls(&pki, None));
    probe.fails("our-verdict", "expired at 2021-01-01");
    assert_eq!(probe.report["server_certificate"]["not_after"], "2021-01-01T00:00:00Z");
}

#[test]
fn the_right_name_from_another_sites_ca_is_refused() {
    let root = Pki::new("Root");
    let (a, b) = (root.intermediate("CA a"), root.intermediate("CA b"));
    for (issuer, holds) in [(&a, true), (&b, false)] {
        let server =
            OpensslServer::start(&issuer.issue("gateway", &["gateway.example"]), &["-cert_chain", &arg(&issuer.ca())]);
        let mut tls = tls(&root, None);
        tls["server_issuers"] = json!([arg(&a.ca())]);
        let probe = Probe::at(&root, &server.address, &tls);
        assert_eq!(probe.report["server_certificate"]["shown"], 2);
        if holds {
            probe.holds();
            probe.says("our-verdict", "ok", "issued by CN=CA a; a CA that server_issuers names");
        } else {
            probe
                .fails("our-verdict", "its name may come from the named issuers only, and its issuer's key is sha256:");
        }
    }
}

#[test]
fn nobody_is_verified_is_said_loudly() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let server = serve_before(&other, &echo().to_string(), &[]);
    let mut tls = tls(&pki, None);
    tls["insecure_skip_verify"] = json!(true);
    let probe = Probe::at(&pki, &server.address.to_string(), &tls);
    probe.fails("our-verdict", "NOT VERIFIED: insecure_skip_verify: whoever answers is believed");
    assert_eq!(probe.report["server_certificate"]["issuer"], "CN=Other");
}

/// Returns the hash of a certificate's key, as `inspect` shows it.
fn key_hash(cert: &Path) -> String {
    let output = edgetrust(&["inspect", "--json", &arg(cert)]);
    let shown: Value = serde_json::from_slice(&output.stdout).unwrap();
    shown[0]["key_sha256"].as_str().unwrap().to_owned()
}

#[test]
fn a_gateway_that_refuses_us_says_why_by_its_alert() {
    let pki = Pki::new("Root");
    let (own, ca) = (pki.issue("location-b", &[]), arg(&pki.ca()));
    let denied = key_hash(&own.0);
    for (more, credential, alert) in [
        (vec!["--allow-cn", "location-c"], Some(&own), "access_denied"),
        (vec!["--deny-key", &denied], Some(&own), "certificate_revoked"),
        (vec![], None, "certificate_required"),
    ] {
        let server = serve_before(&pki, &echo().to_string(), &[&["--cacert", &ca], &more[..]].concat());
        let probe = Probe::at(&pki, &server.address.to_string(), &tls(&pki, credential));
        probe.fails("their-verdict", &format!("refused by the alert {alert}"));
        probe.says("our-verdict", "ok", "accepted");
        assert_eq!((&probe.report["alert"], &probe.report["version"]), (&json!(alert), &json!("TLSv1.3")));
        let said = if credential.is_some() { "our certificate was shown" } else { "no certificate was shown" };
        probe.says("their-verdict", "error", said);
    }
}

#[test]
fn the_verdict_of_tls_1_2_ends_the_handshake() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let own = pki.issue("location-b", &[]);
    let server = pki.issue("gateway", &["gateway.example"]);
    let required = ["-tls1_2", "-Verify", "1", "-verify_return_error", "-CAfile"];
    for (credential, ca, alert) in [(Some(&own), other.ca(), "unknown_ca"), (None, pki.ca(), "handshake_failure")] {
        let server = OpensslServer::start(&server, &[&required[..], &[&arg(&ca)]].concat());
        let probe = Probe::at(&pki, &server.address, &tls(&pki, credential));
        probe.fails("their-verdict", &format!("refused by the alert {alert}"));
        probe.says("our-verdict", "ok", "as far as the handshake went: it is gateway.example, issued by CN=Root");
        assert_eq!((&probe.report["alert"], &probe.report["version"]), (&json!(alert), &json!("TLSv1.2")));
    }
    let server = OpensslServer::start(&server, &[&required[..], &[&arg(&pki.ca())]].concat());
    let probe = Probe::at(&pki, &server.address, &tls(&pki, Some(&own)));
    probe.holds();
    probe.says("their-verdict", "ok", "accepted: it has finished the handshake with our certificate");
}

#[test]
fn a_server_that_accepts_and_says_nothing_leaves_its_verdict_open() {
    let pki = Pki::new("Root");
    let own = pki.issue("location-b", &[]);
    let server = pki.issue("gateway", &["gateway.example"]);
    let quiet = ["-tls1_3", "-num_tickets", "0", "-Verify", "1", "-verify_return_error", "-CAfile", &arg(&pki.ca())];
    let credential = tls(&pki, Some(&own));
    let quiet_one = OpensslServer::start(&server, &quiet);
    let probe = Probe::of(&write(&pki, &quiet_one.address, &credential), "out", "2s");
    probe.holds();
    probe.says("their-verdict", "warning", "no refusal of our certificate within 2s; more is not known");

    // The first data is a verdict.
    let mut speaks = OpensslServer::start(&server, &quiet);
    speaks.child.stdin.as_mut().unwrap().write_all(b"hello\n").unwrap();
    let probe = Probe::at(&pki, &speaks.address, &credential);
    probe.holds();
    probe.says("their-verdict", "ok", "accepted: it sent data");
}

#[test]
fn versions_without_anything_in_common_are_an_alert_of_the_handshake() {
    let pki = Pki::new("Root");
    let server = OpensslServer::start(&pki.issue("gateway", &["gateway.example"]), &["-tls1_2"]);
    let mut tls = tls(&pki, None);
    tls["min_version"] = json!("1.3");
    let probe = Probe::at(&pki, &server.address, &tls);
    probe.fails("handshake", "the server ends it with the alert protocol_version (70)");
}

#[test]
fn our_own_certificate_has_its_faults_too() {
    let pki = Pki::new("Root");
    let server = serve_before(&pki, &echo().to_string(), &[]);
    let own = pki.issue_with("location-b", &[], |params| {
        params.not_before = rcgen::date_time_ymd(2020, 1, 1);
        params.not_after = rcgen::date_time_ymd(2021, 1, 1);
    });
    let probe = Probe::at(&pki, &server.address.to_string(), &tls(&pki, Some(&own)));
    probe.fails("our-certificate", "expired at 2021-01-01T00:00:00Z, and it is ");
}

#[test]
fn a_certificate_that_acme_has_not_obtained_yet_is_missing_and_nothing_is_written() {
    let pki = Pki::new("Root");
    let server = serve_before(&pki, &echo().to_string(), &["--cacert", &arg(&pki.ca())]);
    let mut tls = tls(&pki, None);
    let home = pki.path("acme");
    tls["mode"] = json!("acme");
    tls["mtls"] = json!({"enabled": true});
    tls["acme"] = json!({
        "enabled": true, "directory_url": "https://localhost:1/acme", "email": "a@example.org",
        "domains": ["b.example"], "http_listen": "127.0.0.1:0", "storage_path": arg(&home),
    });
    let probe = Probe::at(&pki, &server.address.to_string(), &tls);
    probe.fails("their-verdict", "refused by the alert certificate_required");
    probe.says("our-certificate", "warning", "none yet: `edgetrust run` obtains one");
    assert!(!home.exists(), "the folder is made by whoever keeps something in it");
}

#[test]
fn a_tunnel_that_cannot_be_tried_is_wrong_use() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let client = json!({
        "name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": "a.example:1", "tls": tls(&pki, None),
    });
    let server = json!({
        "name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1",
        "tls": {"enabled": true, "cert_file": arg(&cert), "key_file": arg(&key)},
    });
    let file = arg(&pki.path("two.json"));
    std::fs::write(&file, json!({"gateway": {"tunnels": [client, server]}}).to_string()).unwrap();
    let none = arg(&pki.path("none.json"));
    for (file, tunnel, said) in [
        (&file, "ou", "found no tunnel \"ou\", expected one of the client tunnels: \"out\""),
        (&file, "in", "found the server tunnel \"in\", expected a client tunnel; `edgetrust check --config "),
        (&none, "out", "none.json: cannot be read"),
    ] {
        let output = edgetrust(&["probe", "--config", file, "--tunnel", tunnel]);
        let text = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{text}");
        assert!(text.contains(said), "{text}");
    }
}

#[test]
fn a_tunnel_of_a_mesh_leads_where_the_mesh_says_or_lacks_a_link() {
    let mesh = Mesh::new();
    mesh.write(&json!([{"service": "feed", "from": ["b"], "to": ["a"]}]), &[]);
    let _a = mesh.run("a", &mesh.server(), 1);
    let probe = Probe::of(&arg(&mesh.config("b", &mesh::client())), "feed-to-a", "20s");
    probe.holds();
    probe.says("target", "ok", "whose name must be gateway.a.example; by the mesh: the gateway of site a for feed");
    probe.says("our-verdict", "ok", "issued by CN=CA a; a CA of site a, as the mesh says");
    probe.says("their-verdict", "ok", "accepted");

    let probe = Probe::of(&arg(&mesh.config("c", &mesh::client())), "feed-to-a", "20s");
    probe.fails("target", "the tunnel is left out: ");
    probe.says("look-up", "skipped", "not tried");
}
