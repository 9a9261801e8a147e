//! Tests devices that renew through the gateway: curl and openssl play the device, step-ca is the CA.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::ca::{StepCa, free_port};
use super::pebble::Pebble;
use super::peers::{OpensslClient, Program, echo, edgetrust};

pub(super) const NAMES: &str = "DNS:sensor-7.mesh.test";

/// A gateway with an EST server, and devices beside it, in one folder.
pub(super) struct Location {
    folder: TempDir,
    pub(super) program: Program,
    pub(super) est: SocketAddr,
    pub(super) pages: SocketAddr,
}

/// The HTTP response to a device.
#[derive(Debug)]
pub(super) struct Answer {
    pub(super) code: u16,
    pub(super) headers: String,
    pub(super) body: String,
}

impl Answer {
    /// Returns what curl got, or `None` if the TLS handshake failed.
    pub(super) fn of(curl: &mut Command) -> Option<Self> {
        let output = curl.output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (headers, body) = text.split_once("\r\n\r\n")?;
        let code = headers.split(' ').nth(1)?.parse().ok()?;
        Some(Self { code, headers: headers.to_ascii_lowercase(), body: body.to_owned() })
    }

    /// Asserts a refusal with this status and a reason that contains this text.
    pub(super) fn refuses(&self, code: u16, reason: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.headers.contains("text/plain") && self.body.contains(reason), "{reason}: {self:?}");
    }
}

pub(super) fn acme(ca: &StepCa) -> Value {
    json!({"directory_url": ca.directory(), "ca_bundle": ca.root_file(), "http_listen": ca.http.to_string()})
}

pub(super) fn config(ca: &StepCa, mut acme: Value, folder: &Path, allowed: &[&str]) -> Value {
    let file = |name: &str| folder.join(name);
    acme["storage_path"] = json!(file("acme-devices"));
    let mut config = json!({
        "security": {"tls": {"server": {
            "enabled": true, "cert_file": file("gateway.pem"), "key_file": file("gateway.key"),
            "mtls": {"enabled": true, "client_ca_files": [ca.root_file()]},
        }}},
        "gateway": {
            "admin": {"listen": "127.0.0.1:0"},
            "tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()}],
            "est": {"listen": "127.0.0.1:0", "acme": acme},
            "audit_log": file("audit.log"),
        },
    });
    // Without a list, every device of these CAs is admitted; with an empty one, none is.
    if !allowed.is_empty() {
        config["security"]["tls"]["server"]["mtls"]["allowed_client_dns"] = json!(allowed);
    }
    config
}

impl Location {
    /// Starts a gateway that admits these DNS names. There are two devices: `sensor-7`, which it admits, and
    /// `stranger`.
    fn new(ca: &StepCa, acme: Value, allowed: &[&str]) -> Self {
        Self::with(ca, acme, allowed, &[])
    }

    /// Starts it with more arguments.
    fn with(ca: &StepCa, acme: Value, allowed: &[&str], more: &[&str]) -> Self {
        Self::of(ca, |folder| config(ca, acme, folder, allowed), more)
    }

    /// Starts a gateway of this configuration.
    pub(super) fn of(ca: &StepCa, config: impl FnOnce(&Path) -> Value, more: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let write = |name: &str, (certificate, key): (String, String)| {
            std::fs::write(folder.path().join(format!("{name}.pem")), certificate).unwrap();
            std::fs::write(folder.path().join(format!("{name}.key")), key).unwrap();
        };
        std::fs::copy(ca.root_file(), folder.path().join("root.pem")).unwrap();
        write("gateway", ca.root.server(&["127.0.0.1"]));
        write("sensor-7", ca.root.device("sensor-7.mesh.test", &["sensor-7.mesh.test"]));
        write("sensor-8", ca.root.device("sensor-8.mesh.test", &["sensor-8.mesh.test"]));
        write("nameless", ca.root.device("nameless", &[]));
        std::fs::write(folder.path().join("gateway.json"), config(folder.path()).to_string()).unwrap();
        let file = folder.path().join("gateway.json").display().to_string();
        let arguments = [&["run", "--config", &file, "--watch-interval", "50ms"], more].concat();
        let arguments: Vec<String> = arguments.into_iter().map(str::to_owned).collect();
        let program = Program::start_tunnels(&arguments, 1);
        let address = |line: String| line.split_once("address=").unwrap().1.trim().parse().unwrap();
        let pages = address(program.wait_for("pages address="));
        let est = address(program.wait_for("est: listening address="));
        Self { folder, program, est, pages }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    pub(super) fn openssl(&self, arguments: &str) -> String {
        let output =
            Command::new("openssl").current_dir(self.folder.path()).args(arguments.split(' ')).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a request for a new key, `new.key`, as base64 to `new.b64`.
    pub(super) fn request(&self, subject: &str, more: &str) {
        let key = "ec -pkeyopt ec_paramgen_curve:P-256";
        self.request_with(key, subject, more);
    }

    pub(super) fn request_with(&self, key: &str, subject: &str, more: &str) {
        let names = if more.is_empty() { String::new() } else { format!(" -addext subjectAltName={more}") };
        self.openssl(&format!(
            "req -new -newkey {key} -noenc -keyout new.key -outform DER -out new.csr -subj {subject}{names}"
        ));
        self.openssl("base64 -in new.csr -out new.b64");
    }

    pub(super) fn curl(&self, device: Option<&str>, operation: &str) -> Command {
        self.curl_at(self.est, device, operation)
    }

    pub(super) fn curl_at(&self, server: SocketAddr, device: Option<&str>, operation: &str) -> Command {
        let mut curl = Command::new("curl");
        let url = format!("https://{server}/.well-known/est/{operation}");
        curl.current_dir(self.folder.path()).args([
            "-s",
            "--noproxy",
            "*",
            "-D",
            "-",
            "-H",
            "Expect:",
            &url,
            "--cacert",
        ]);
        curl.arg(self.folder.path().join("root.pem"));
        if let Some(device) = device {
            curl.args(["--cert", &format!("{device}.pem"), "--key", &format!("{device}.key")]);
        }
        curl
    }

    /// Returns the response, or `None` if the TLS handshake failed.
    fn ask(&self, device: Option<&str>, operation: &str, more: &[&str]) -> Option<Answer> {
        Answer::of(self.curl(device, operation).args(more))
    }

    pub(super) fn reenroll(&self, device: &str) -> Answer {
        self.ask(Some(device), "simplereenroll", &POST).expect("an answer")
    }

    /// Returns the certificates of a response as PEM.
    pub(super) fn certificates(&self, answer: &Answer) -> String {
        assert_eq!(answer.code, 200, "{answer:?}");
        assert!(answer.headers.contains("content-type: application/pkcs7-mime; smime-type=certs-only"), "{answer:?}");
        assert!(answer.headers.contains("content-transfer-encoding: base64"), "{answer:?}");
        std::fs::write(self.path("answer.b64"), &answer.body).unwrap();
        self.openssl("base64 -d -in answer.b64 -out answer.p7");
        self.openssl("pkcs7 -inform DER -in answer.p7 -print_certs")
    }

    pub(super) fn page(&self, path: &str) -> String {
        let url = format!("http://{}{path}", self.pages);
        let shown = Command::new("curl").args(["-s", "--noproxy", "*", &url]).output().unwrap();
        String::from_utf8(shown.stdout).unwrap()
    }

    /// Returns whether the tunnel admits a device.
    pub(super) fn lets_in(&self, device: &str) -> bool {
        let [certificate, key] =
            ["pem", "key"].map(|kind| self.path(&format!("{device}.{kind}")).display().to_string());
        let arguments = ["-cert", &certificate, "-key", &key, "-cert_chain", &certificate];
        OpensslClient::start(self.program.tunnel("in"), &arguments).ask("hello").is_some()
    }
}

pub(super) const POST: [&str; 4] = ["-H", "Content-Type: application/pkcs10", "--data-binary", "@new.b64"];

pub(super) fn location(ca: &StepCa) -> Location {
    Location::new(ca, acme(ca), &["sensor-7.mesh.test"])
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_device_renews_and_renews_again() {
    let ca = StepCa::start();
    let location = location(&ca);
    let anchors = location.certificates(&location.ask(Some("sensor-7"), "cacerts", &[]).unwrap());
    // Nothing was issued yet, and the configuration names the root alone.
    assert_eq!(anchors.matches("BEGIN CERTIFICATE").count(), 2, "{anchors}");
    assert!(anchors.contains(ca.root.pem.trim()), "{anchors}");
    let issuer = std::fs::read_to_string(ca.folder.path().join("int.crt")).unwrap();
    assert!(anchors.contains(issuer.trim()), "{anchors}");

    for round in 1..=2 {
        location.request("/CN=sensor-7.mesh.test", NAMES);
        let pem = location.certificates(&location.reenroll("sensor-7"));
        assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 1, "the certificate alone: {pem}");
        std::fs::write(location.path("new.pem"), format!("{pem}{issuer}")).unwrap();
        let shown = location.openssl("x509 -in new.pem -noout -subject -ext subjectAltName,extendedKeyUsage");
        assert!(shown.contains("sensor-7.mesh.test") && shown.contains("Client Authentication"), "{shown}");
        location.openssl("verify -purpose sslclient -CAfile root.pem -untrusted new.pem new.pem");
        assert_eq!(
            location.openssl("x509 -in new.pem -noout -pubkey"),
            location.openssl("pkey -in new.key -pubout"),
            "of the key that never left the device"
        );
        // From now on the device shows the new certificate, at the tunnel and here.
        for kind in ["pem", "key"] {
            std::fs::copy(location.path(&format!("new.{kind}")), location.path(&format!("sensor-7.{kind}"))).unwrap();
        }
        assert!(location.lets_in("sensor-7"));
        let line = location.program.wait_for("est: a certificate was issued");
        assert!(line.contains("peer=CN=sensor-7.mesh.test,DNS=sensor-7.mesh.test"), "{line}");
        let metrics = location.page("/metrics");
        let count = format!("edgetrust_est_requests_total{{result=\"issued\"}} {round}\n");
        assert!(metrics.contains(&count), "{metrics}");
    }
    let serial = location.openssl("x509 -in new.pem -noout -serial");
    let enrolled = || -> Vec<Value> {
        let log = std::fs::read_to_string(location.path("audit.log")).unwrap();
        // A line that is being written has no end yet.
        let lines = log.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        lines
            .map(|line| serde_json::from_str::<Value>(line).unwrap())
            .filter(|line| line["event"] == "device_enrolled")
            .collect()
    };
    location.program.wait_until("two lines of the audit log", |_| enrolled().len() == 2);
    let enrolled = enrolled();
    let recorded = enrolled[1]["serial"].as_str().unwrap().to_uppercase();
    assert_eq!(format!("serial={recorded}\n"), serial);
    assert!(enrolled[1]["peer"].as_str().unwrap().starts_with("CN=sensor-7.mesh.test"), "{}", enrolled[1]);
    assert_eq!(enrolled[1]["rule"], "DNS sensor-7.mesh.test");
    let status: Value = serde_json::from_str(&location.page("/status")).unwrap();
    assert_eq!(status["est"]["requests"]["issued"], 2, "{status}");
    assert_eq!(status["est"]["requests"]["cacerts"], 1, "{status}");
    assert_eq!(status["est"]["address"], location.est.to_string());
    assert_eq!(status["est"]["last_error"], Value::Null);
    // Without line breaks, and with the header that RFC 8951 removed.
    location.request("/CN=sensor-7.mesh.test", NAMES);
    location.openssl("base64 -A -in new.csr -out new.b64");
    let encoding = ["-H", "Content-Transfer-Encoding: base64"];
    let answer = location.ask(Some("sensor-7"), "simplereenroll", &[&POST[..], &encoding].concat()).unwrap();
    location.certificates(&answer);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_device_gets_its_own_names_for_its_own_key_and_nothing_else() {
    let ca = StepCa::start();
    let location = location(&ca);
    let device = Some("sensor-7");
    for (subject, names, reason) in [
        ("/CN=gateway.mesh.test", NAMES, "its subject is not the certificate's"),
        ("/CN=sensor-7.mesh.test", "DNS:gateway.mesh.test", "name 1 of its subjectAltName is not in the certificate's"),
        ("/CN=sensor-7.mesh.test", "DNS:sensor-7.mesh.test,DNS:gateway.mesh.test", "name 2 of its subjectAltName"),
        ("/CN=sensor-7.mesh.test", "", "it has no subjectAltName"),
    ] {
        location.request(subject, names);
        location.reenroll("sensor-7").refuses(403, reason);
    }
    location.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout new.key -outform DER -out new.csr -subj /CN=sensor-7.mesh.test -addext subjectAltName=DNS:sensor-7.mesh.test -addext basicConstraints=CA:TRUE");
    location.openssl("base64 -in new.csr -out new.b64");
    location.reenroll("sensor-7").refuses(403, "may issue others");
    location.request_with("ec -pkeyopt ec_paramgen_curve:P-384", "/CN=sensor-7.mesh.test", NAMES);
    location.reenroll("sensor-7").refuses(403, "its key is of another kind, expected P-256");
    // The last octets are of the signature.
    location.request("/CN=sensor-7.mesh.test", NAMES);
    let mut forged = std::fs::read(location.path("new.csr")).unwrap();
    *forged.last_mut().unwrap() ^= 1;
    std::fs::write(location.path("new.csr"), forged).unwrap();
    location.openssl("base64 -in new.csr -out new.b64");
    location.reenroll("sensor-7").refuses(400, "its signature was not made by the key in it");
    std::fs::write(location.path("new.b64"), "AAAA").unwrap();
    location.reenroll("sensor-7").refuses(400, "the body is no certification request: at byte 0");
    std::fs::write(location.path("new.b64"), "no base64!").unwrap();
    location.reenroll("sensor-7").refuses(400, "the body is not base64");
    std::fs::write(location.path("new.b64"), "A".repeat(20_000)).unwrap();
    location.reenroll("sensor-7").refuses(413, "longer than 16384 octets");
    let answer = location.ask(device, "simplereenroll", &["--data-binary", "@new.b64"]).unwrap();
    answer.refuses(415, "expected application/pkcs10");
    location.ask(device, "simpleenroll", &POST).unwrap().refuses(403, "devices come here with a certificate");
    location.ask(device, "serverkeygen", &POST).unwrap().refuses(404, "/.well-known/est/simplereenroll");
    let answer = location.ask(device, "simplereenroll", &[]).unwrap();
    answer.refuses(405, "POST");
    assert!(answer.headers.contains("allow: post"), "{answer:?}");
    let status: Value = serde_json::from_str(&location.page("/status")).unwrap();
    let requests = &status["est"]["requests"];
    assert_eq!((&requests["issued"], &requests["refused"]), (&json!(0), &json!(7)), "{status}");
    assert_eq!(status["est"]["last_error"], Value::Null, "mistakes of a device are no fault of the server: {status}");
    // The device could still renew its own names.
    location.request("/CN=sensor-7.mesh.test", NAMES);
    location.certificates(&location.reenroll("sensor-7"));
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn nobody_is_let_in_without_a_certificate_that_the_rules_allow() {
    let ca = StepCa::start();
    let location = location(&ca);
    location.request("/CN=sensor-8.mesh.test", "DNS:sensor-8.mesh.test");
    assert!(location.ask(None, "simplereenroll", &POST).is_none());
    location.program.wait_for("est: refused: the peer showed no certificate");
    assert!(location.ask(Some("sensor-8"), "simplereenroll", &POST).is_none());
    location.program.wait_for("est: refused: the peer is not let in: its names are not on the allow list");
    assert!(location.ask(Some("sensor-8"), "cacerts", &[]).is_none());
    location.program.wait_for("est: refused: the peer is not let in: its names are not on the allow list");
    let metrics = location.page("/metrics");
    assert!(metrics.contains("edgetrust_est_requests_total{result=\"not_admitted\"} 3\n"), "{metrics}");
    // The rules can change while it runs, and with no list each device of these CAs is let in.
    std::fs::write(location.path("gateway.json"), config(&ca, acme(&ca), location.folder.path(), &[]).to_string())
        .unwrap();
    location.program.wait_for("reloaded");
    location.certificates(&location.reenroll("sensor-8"));
    location.request("/CN=nameless", "");
    location.reenroll("nameless").refuses(403, "without which ACME cannot order");
    // It ends when it is told to.
    location.program.signal("TERM");
    location.program.wait_for("drained");
    assert_eq!(location.program.wait(), Some(0));
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn names_that_lead_elsewhere_are_shown_by_a_hook() {
    let ca = StepCa::start();
    let folder = tempfile::tempdir().unwrap();
    let (hook, management) = (folder.path().join("dns"), ca.names.management);
    let script = format!(
        "#!/bin/sh\n[ $1 = present ] || exit 0\n\
         exec curl -sf --noproxy '*' -d '{{\"host\":\"'$2'.\",\"value\":\"'$3'\"}}' http://{management}/set-txt\n"
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    let mut section = acme(&ca);
    section.as_object_mut().unwrap().remove("http_listen");
    section["challenge_type"] = json!("dns-01");
    section["dns_hook"] = json!(hook);
    let location = Location::new(&ca, section, &["sensor-7.mesh.test"]);
    location.request("/CN=sensor-7.mesh.test", NAMES);
    location.certificates(&location.reenroll("sensor-7"));
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn it_moves_and_goes_with_the_configuration() {
    let ca = StepCa::start();
    // The sandbox has the ports of the start.
    let mut location = Location::with(&ca, acme(&ca), &["sensor-7.mesh.test"], &["--no-sandbox"]);
    let write = |location: &Location, change: &dyn Fn(&mut Value)| {
        let mut file = config(&ca, acme(&ca), location.folder.path(), &["sensor-7.mesh.test"]);
        change(&mut file);
        std::fs::write(location.path("gateway.json"), file.to_string()).unwrap();
    };
    // All or nothing: an address in use leaves everything unchanged.
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    write(&location, &|file| file["gateway"]["est"]["listen"] = json!(address));
    location
        .program
        .wait_for("reload refused, the last good configuration stays: gateway.est: listen: cannot listen on");
    location.request("/CN=sensor-7.mesh.test", NAMES);
    location.certificates(&location.reenroll("sensor-7"));
    let address = free_port(Ipv4Addr::LOCALHOST);
    write(&location, &|file| file["gateway"]["est"]["listen"] = json!(address.to_string()));
    location.program.wait_for("est: listening address=");
    location.program.wait_for("est: no longer listening address=");
    let before = std::mem::replace(&mut location.est, address);
    location.certificates(&location.reenroll("sensor-7"));
    location.program.wait_until("the address before is free", |_| TcpListener::bind(before).is_ok());
    write(&location, &|file| drop(file["gateway"].as_object_mut().unwrap().remove("est")));
    location.program.wait_for("est: no longer listening address=");
    location.program.wait_for("reloaded");
    assert!(location.ask(Some("sensor-7"), "cacerts", &[]).is_none());
    assert!(!location.page("/metrics").contains("edgetrust_est_"));
    let status: Value = serde_json::from_str(&location.page("/status")).unwrap();
    assert_eq!(status["est"], Value::Null);
}

/// A pending request, aborted when this is dropped.
struct UnderWay(Child);

impl Drop for UnderWay {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn without_its_ca_it_says_when_to_ask_again_and_a_device_asks_once_at_a_time() {
    let mut ca = StepCa::start();
    let location = location(&ca);
    location.request("/CN=sensor-7.mesh.test", NAMES);
    ca.kill();
    let answer = location.reenroll("sensor-7");
    answer.refuses(503, "Connection refused");
    assert!(answer.headers.contains("retry-after: 60"), "{answer:?}");
    {
        // A server that accepts connections and stays silent replaces the CA.
        let silent = TcpListener::bind(ca.address).unwrap();
        let mut curl = location.curl(Some("sensor-7"), "simplereenroll");
        let first = UnderWay(curl.args(POST).stdout(Stdio::null()).spawn().unwrap());
        let asked = silent.accept().unwrap();
        let answer = location.reenroll("sensor-7");
        answer.refuses(503, "another request of this device is being answered");
        assert!(answer.headers.contains("retry-after: "), "{answer:?}");
        // A device that has disconnected needs no certificate.
        drop(first);
        drop((asked, silent));
    }
    ca.restart();
    location.program.wait_until("the device gets its certificate", |_| location.reenroll("sensor-7").code == 200);
    let metrics = location.page("/metrics");
    assert!(!metrics.contains("edgetrust_est_requests_total{result=\"unavailable\"} 0\n"), "{metrics}");
    // A CA that has lost its database does not know the account: another one is created.
    ca.wipe();
    location.certificates(&location.reenroll("sensor-7"));
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn check_knows_the_section() {
    let ca = StepCa::start();
    let location = location(&ca);
    let file = location.path("gateway.json").display().to_string();
    let shown = edgetrust(&["check", "--online", "--config", &file]);
    let shown = String::from_utf8(shown.stdout).unwrap();
    let section = shown.split("gateway.est\n").nth(1).expect("a part about it");
    for part in
        ["clients with the DNS name sensor-7.mesh.test", "certificates for devices from", "the directory answers"]
    {
        assert!(section.contains(part), "{part}: {shown}");
    }
    // Another folder, since an account belongs to one process and one section.
    let mut both = config(&ca, acme(&ca), location.folder.path(), &[]);
    let mut section = both["gateway"]["est"]["acme"].clone();
    section["enabled"] = json!(true);
    section["domains"] = json!(["gateway.mesh.test"]);
    both["security"]["tls"]["server"]["mode"] = json!("acme");
    both["security"]["tls"]["server"]["acme"] = section;
    std::fs::write(location.path("both.json"), both.to_string()).unwrap();
    let refused = edgetrust(&["run", "--config", &location.path("both.json").display().to_string()]);
    let said = String::from_utf8(refused.stderr).unwrap();
    assert!(!refused.status.success() && said.contains("acme.storage_path"), "{said}");
}

#[test]
#[ignore = "needs pebble: tests/run"]
fn nonces_are_rejected_and_a_certificate_for_servers_is_none_for_a_device() {
    let pebble = Pebble::start(&json!({}), &[("PEBBLE_WFE_NONCEREJECT", "50")]);
    let acme = json!({
        "directory_url": format!("https://{}/dir", pebble.address), "ca_bundle": pebble.file("root.crt"),
        "issuer_bundle": pebble.file("issuer.crt"), "http_listen": pebble.http.to_string(),
    });
    // Its root alone.
    let ca = StepCa::stopped("24h");
    let location = Location::new(&ca, acme, &["sensor-7.mesh.test"]);
    for _ in 0..5 {
        // Each order comes to its end, resumed at every rejected nonce: a certificate, but not one that the device could use.
        location.request("/CN=sensor-7.mesh.test", NAMES);
        let reason = "peers would not accept it as a client's: the peer's certificate: its extended key usage";
        location.reenroll("sensor-7").refuses(403, reason);
    }
    let status: Value = serde_json::from_str(&location.page("/status")).unwrap();
    assert_eq!(status["est"]["requests"]["refused"], 5, "{status}");
}
