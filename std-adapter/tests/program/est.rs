//! Tests the EST server without a CA: admission, `cacerts`, `csrattrs`, and refusals before an order. openssl and curl
//! play the device.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use super::pages::{get, pages};
use super::peers::{Program, echo, edgetrust};
use super::pki::{Pki, arg};

pub const DEVICE: &str = "sensor-7.a.example";
pub const POST: [&str; 4] = ["-H", "Content-Type: application/pkcs10", "--data-binary", "@new.b64"];

/// A location with a root, a CA below it, and a gateway.
pub struct Location {
    root: Pki,
    pub ca: Pki,
    pub program: Program,
    pub est: SocketAddr,
    pub pages: String,
}

/// The HTTP response to a device.
#[derive(Debug)]
pub struct Answer {
    pub code: u16,
    /// The header lines, unchanged.
    headers: String,
    body: String,
}

impl Answer {
    pub fn refuses(&self, code: u16, reason: &str) {
        assert_eq!(self.code, code, "{self:?}");
        assert!(self.body.contains(reason), "{reason}: {self:?}");
    }
}

/// Returns a configuration whose ACME directory is down: a request that reaches the order gets a 503.
fn config(root: &Pki, ca: &Pki, allowed: &[&str]) -> Value {
    let mut config = json!({
        "security": {"tls": {"server": {
            "enabled": true, "cert_file": ca.path("gateway.pem"), "key_file": ca.path("gateway.key"),
            "mtls": {"enabled": true, "client_ca_files": [ca.ca()]},
        }}},
        "gateway": {
            "admin": {"listen": "127.0.0.1:0"},
            "tunnels": [
                {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()},
            ],
            "est": {"listen": "127.0.0.1:0", "acme": {
                "directory_url": "https://127.0.0.1:1/directory", "ca_bundle": root.ca(),
                "http_listen": "127.0.0.1:1", "storage_path": root.path("acme-devices"),
            }},
        },
    });
    // Without a list, every device of these CAs is admitted; with an empty one, none is.
    if !allowed.is_empty() {
        config["security"]["tls"]["server"]["mtls"]["allowed_client_dns"] = json!(allowed);
    }
    config
}

impl Location {
    pub fn new() -> Self {
        Self::with(|_, _, _| {})
    }

    pub fn with(change: impl FnOnce(&Pki, &Pki, &mut Value)) -> Self {
        let root = Pki::new("Mesh Root");
        let ca = root.intermediate("Location A CA");
        ca.issue_chain("gateway", &["gateway.a.example", "127.0.0.1"]);
        ca.issue(DEVICE, &[DEVICE]);
        let mut file = config(&root, &ca, &[]);
        change(&root, &ca, &mut file);
        std::fs::write(ca.path("gateway.json"), file.to_string()).unwrap();
        let arguments = ["run", "--config", &arg(&ca.path("gateway.json")), "--watch-interval", "50ms"];
        let program = Program::start_tunnels(&arguments.map(str::to_owned), 1);
        let pages = pages(&program);
        let line = program.wait_for("est: listening address=");
        let est = line.split_once("address=").unwrap().1.trim().parse().unwrap();
        Self { root, ca, program, est, pages }
    }

    pub fn openssl(&self, arguments: &str) -> String {
        let folder = self.ca.path("");
        let output = Command::new("openssl").current_dir(folder).args(arguments.split(' ')).output().unwrap();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "openssl {arguments}: {said}");
        String::from_utf8(output.stdout).unwrap()
    }

    /// Writes a device's request for its own name and further names.
    pub fn request(&self, name: &str, more: &str) {
        self.request_of(name, &format!("DNS:{name}{more}"));
    }

    /// Writes a request for a common name and a subjectAltName in openssl's notation.
    pub fn request_of(&self, cn: &str, names: &str) {
        let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout new.key -outform DER -out new.csr";
        self.openssl(&format!("req -new {key} -subj /CN={cn} -addext subjectAltName={names}"));
        self.openssl("base64 -in new.csr -out new.b64");
    }

    pub fn ask(&self, device: &str, operation: &str, more: &[&str]) -> Answer {
        self.try_asking(device, operation, more).expect("an answer")
    }

    /// Returns the response, or `None` if the TLS handshake failed.
    pub fn try_asking(&self, device: &str, operation: &str, more: &[&str]) -> Option<Answer> {
        let output = Command::new("curl")
            .current_dir(self.ca.path(""))
            .args(["--silent", "--max-time", "60", "--noproxy", "*", "--dump-header", "-", "-H", "Expect:"])
            .args(["--cacert", &arg(&self.root.ca()), "--cert", &format!("{device}.pem")])
            .args(["--key", &format!("{device}.key"), &format!("https://{}/.well-known/est/{operation}", self.est)])
            .args(more)
            .output()
            .unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        let (headers, body) = text.split_once("\r\n\r\n")?;
        let code = headers.split(' ').nth(1).unwrap().parse().unwrap();
        Some(Answer { code, headers: headers.to_owned(), body: body.to_owned() })
    }

    /// Returns the certificates of `cacerts` as PEM.
    fn cacerts(&self) -> String {
        self.cacerts_with(&[])
    }

    /// Returns the same for a device that cannot verify its gateway yet.
    fn cacerts_without_verifying(&self) -> String {
        self.cacerts_with(&["--insecure"])
    }

    fn cacerts_with(&self, more: &[&str]) -> String {
        let answer = self.ask(DEVICE, "cacerts", more);
        assert_eq!(answer.code, 200, "{answer:?}");
        std::fs::write(self.ca.path("answer.b64"), &answer.body).unwrap();
        // Tools from before RFC 8951 expect lines, with a line break at the end.
        self.openssl("base64 -d -in answer.b64 -out answer.p7");
        self.openssl("pkcs7 -inform DER -in answer.p7 -print_certs")
    }
}

fn has(pem: &str, file: &Path) -> bool {
    pem.contains(std::fs::read_to_string(file).unwrap().trim())
}

#[test]
fn cacerts_holds_the_whole_chain_of_a_location() {
    for known in [true, false] {
        // If no list names the location's CA, it comes from the gateway's own chain.
        let location = Location::with(|root, ca, file| {
            file["security"]["tls"]["server"]["mtls"]["client_ca_files"] = json!([root.ca()]);
            if known {
                file["gateway"]["known_intermediates"] = json!([ca.ca()]);
                ca.issue("gateway", &["gateway.a.example", "127.0.0.1"]);
            }
            ca.issue_chain(DEVICE, &[DEVICE]);
        });
        let shown = if known { location.cacerts_without_verifying() } else { location.cacerts() };
        assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 2, "{shown}");
        assert!(has(&shown, &location.root.ca()) && has(&shown, &location.ca.ca()), "{shown}");
    }
}

#[test]
fn cacerts_tells_no_certificate_of_another_ca_and_none_that_is_pinned() {
    let location = Location::with(|_, ca, file| {
        let (pinned, _) = ca.issue("pinned", &["pinned.a.example"]);
        let stranger = Pki::new("Other Root").intermediate("Other CA");
        std::fs::copy(stranger.ca(), ca.path("other.pem")).unwrap();
        file["security"]["tls"]["server"]["mtls"]["client_ca_files"] = json!([ca.ca(), pinned]);
        file["gateway"]["known_intermediates"] = json!([ca.path("other.pem")]);
    });
    let shown = location.cacerts();
    assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 2, "{shown}");
    assert!(has(&shown, &location.root.ca()) && has(&shown, &location.ca.ca()), "{shown}");
}

#[test]
fn cacerts_tells_no_ca_that_is_pinned() {
    let location = Location::with(|root, ca, file| {
        let pinned = root.intermediate("sensor-8.a.example");
        std::fs::copy(pinned.ca(), ca.path("pinned.pem")).unwrap();
        let mtls = &mut file["security"]["tls"]["server"]["mtls"];
        mtls["pinned_certificates"] = json!([ca.path("pinned.pem")]);
        mtls["client_ca_files"] = json!([ca.ca(), ca.path("pinned.pem")]);
        file["gateway"]["known_intermediates"] = json!([ca.path("pinned.pem")]);
    });
    let shown = location.cacerts();
    assert_eq!(shown.matches("BEGIN CERTIFICATE").count(), 2, "{shown}");
    assert!(has(&shown, &location.root.ca()) && has(&shown, &location.ca.ca()), "{shown}");
    location.program.signal("HUP");
    location.program.wait_for("reloaded");
    assert_eq!(location.cacerts(), shown);
}

#[test]
fn when_those_that_devices_are_verified_by_end_is_told() {
    let location = Location::with(|root, ca, file| {
        let (pinned, _) = ca.issue("pinned", &["pinned.a.example"]);
        file["security"]["tls"]["server"]["mtls"]["client_ca_files"] = json!([root.ca(), pinned]);
        file["gateway"]["known_intermediates"] = json!([ca.ca()]);
    });
    let (_, text) = get(&location.pages, "/metrics", &[]);
    let ends = |issued: rcgen::CertificateParams| issued.not_after.unix_timestamp().to_string();
    for (role, subject) in [
        ("ca", "CN=Mesh Root"),
        ("pin", "CN=pinned"),
        ("known_intermediate", "CN=Location A CA"),
        ("intermediate", "CN=Location A CA"),
    ] {
        let name = "edgetrust_certificate_expiration_timestamp_seconds";
        let line = format!("{name}{{role=\"{role}\",used_by=\"est\",subject=\"{subject}\",serial=\"");
        let line = text.lines().find(|found| found.starts_with(&line)).unwrap_or_else(|| panic!("no {line} in {text}"));
        assert_eq!(line.rsplit_once(' ').unwrap().1, ends(rcgen::CertificateParams::default()), "{line}");
    }
}

#[test]
fn answers_have_the_fields_and_lines_that_clients_from_before_rfc_8951_expect() {
    let location = Location::new();
    for (operation, kind) in
        [("cacerts", "application/pkcs7-mime; smime-type=certs-only"), ("csrattrs", "application/csrattrs")]
    {
        let answer = location.ask(DEVICE, operation, &[]);
        assert!(answer.headers.contains(&format!("\r\nContent-Type: {kind}\r\n")), "{answer:?}");
        assert!(answer.headers.contains("\r\nContent-Transfer-Encoding: base64"), "{answer:?}");
        let lines: Vec<_> = answer.body.split('\n').collect();
        let (last, whole) = lines.split_last().unwrap();
        assert!(last.is_empty() && whole.iter().all(|line| (1..=64).contains(&line.len())), "{answer:?}");
        assert!(whole[..whole.len() - 1].iter().all(|line| line.len() == 64), "{answer:?}");
    }
}

#[test]
fn csrattrs_says_what_a_request_is_to_hold() {
    let location = Location::new();
    let answer = location.ask(DEVICE, "csrattrs", &[]);
    std::fs::write(location.ca.path("answer.b64"), &answer.body).unwrap();
    location.openssl("base64 -d -in answer.b64 -out answer.der");
    let shown = location.openssl("asn1parse -inform DER -in answer.der");
    for part in
        ["Extension Request", "X509v3 Subject Alternative Name", "id-ecPublicKey", "prime256v1", "ecdsa-with-SHA256"]
    {
        assert!(shown.contains(part), "{part}: {shown}");
    }
    // The device's own name, as the certificate has it: a GeneralNames with one dNSName.
    let names = format!("30{:02X}82{:02X}", DEVICE.len() + 2, DEVICE.len());
    let hex: String = DEVICE.bytes().map(|octet| format!("{octet:02X}")).collect();
    assert!(shown.contains(&format!("[HEX DUMP]:{names}{hex}")), "{shown}");
    location.ask(DEVICE, "csrattrs", &["-d", ""]).refuses(405, "GET");
}

#[test]
fn requests_that_clients_make_of_their_certificates_are_taken() {
    let location = Location::new();
    for more in [
        " -addext basicConstraints=critical,CA:FALSE",
        " -addext basicConstraints=CA:FALSE",
        " -addext subjectKeyIdentifier=hash",
        " -addext authorityKeyIdentifier=DER:30:06:80:04:01:02:03:04",
        " -addext keyUsage=critical,digitalSignature,keyEncipherment,keyAgreement",
        " -addext extendedKeyUsage=clientAuth,serverAuth",
        " -addext basicConstraints=CA:FALSE -addext subjectKeyIdentifier=hash -addext keyUsage=digitalSignature -addext extendedKeyUsage=clientAuth",
    ] {
        location.request(DEVICE, more);
        // The request gets as far as the CA, which is down.
        let answer = location.ask(DEVICE, "simplereenroll", &POST);
        answer.refuses(503, "Connection refused");
    }
    for (more, reason) in [
        (" -addext basicConstraints=critical,CA:TRUE", "may issue others"),
        (" -addext keyUsage=keyCertSign", "may issue others"),
        (" -addext extendedKeyUsage=codeSigning", "purpose 1 of its extendedKeyUsage"),
        (" -addext nameConstraints=permitted;DNS:a.example", "extension 2 that it asks for"),
    ] {
        location.request(DEVICE, more);
        location.ask(DEVICE, "simplereenroll", &POST).refuses(403, reason);
    }
}

#[test]
fn no_device_gets_a_name_of_the_gateway() {
    let location = Location::with(|root, ca, file| {
        let tunnels = file["gateway"]["tunnels"].as_array_mut().unwrap();
        tunnels[0]["sni"] = json!(["feed.a.example"]);
        let acme = json!({"enabled": true, "directory_url": "https://127.0.0.1:1/directory",
            "domains": ["ordered.a.example"], "ca_bundle": root.ca(), "http_listen": "127.0.0.1:1",
            "storage_path": ca.path("acme")});
        tunnels.push(json!({"name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": "127.0.0.1:1",
            "server_name": "gateway.b.example",
            "tls": {"ca_files": [root.ca()], "mtls": {"enabled": true, "acme": acme}, "mode": "acme"}}));
    });
    let own = ["gateway.a.example", "GATEWAY.a.example", "*.a.example", "feed.a.example", "ordered.a.example"];
    for (number, name) in own.iter().enumerate() {
        let device = format!("device-{number}");
        location.ca.issue_with(&device, &[name], |params| {
            params.distinguished_name = rcgen::DistinguishedName::new();
            params.distinguished_name.push(rcgen::DnType::CommonName, *name);
        });
        location.request(name, "");
        location.ask(&device, "simplereenroll", &POST).refuses(403, "is the gateway's own name");
    }
    // A common name of the gateway is one of its names too.
    location.ca.issue_with("device", &["sensor-8.a.example"], |params| {
        params.distinguished_name = rcgen::DistinguishedName::new();
        params.distinguished_name.push(rcgen::DnType::CommonName, "gateway");
    });
    let key = "-newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout new.key -outform DER -out new.csr";
    location.openssl(&format!("req -new {key} -subj /CN=gateway -addext subjectAltName=DNS:sensor-8.a.example"));
    location.openssl("base64 -in new.csr -out new.b64");
    location.ask("device", "simplereenroll", &POST).refuses(403, "is the gateway's own name");
}

#[test]
fn long_fields_are_refused_and_not_repeated() {
    let location = Location::new();
    location.request(DEVICE, "");
    let long = "x".repeat(5_000);
    for (more, code, reason) in [
        (vec!["-H".to_owned(), format!("Content-Type: application/{long}")], 431, "content-type: found 5012 octets"),
        (vec!["-H".to_owned(), format!("Authorization: Basic {long}")], 431, "authorization: found 5006 octets"),
    ] {
        let mut arguments: Vec<&str> = more.iter().map(String::as_str).collect();
        arguments.extend(["--data-binary", "@new.b64"]);
        let answer = location.ask(DEVICE, "simplereenroll", &arguments);
        answer.refuses(code, reason);
        assert!(answer.body.len() < 200, "{answer:?}");
        let line = location.program.wait_for("est: refused: ");
        assert!(line.contains(reason) && line.len() < 500, "{line}");
    }
    location.ask(DEVICE, &long, &[]).refuses(414, "the path has 5017 octets");
    let line = location.program.wait_for("est: refused: ");
    assert!(line.len() < 700, "{line}");
    // A text of usual length is repeated, up to the length that identifies it.
    let kind = format!("Content-Type: {}", "y".repeat(900));
    let answer = location.ask(DEVICE, "simplereenroll", &["-H", &kind, "--data-binary", "@new.b64"]);
    answer.refuses(415, "expected application/pkcs10");
    assert!(answer.body.len() < 200, "{answer:?}");
}

/// A device that sends several requests over one connection.
pub struct Connection {
    child: Child,
    answers: BufReader<ChildStdout>,
}

impl Connection {
    pub fn open(location: &Location) -> Self {
        let mut child = Command::new("openssl")
            .current_dir(location.ca.path(""))
            .args(["s_client", "-quiet", "-no_ign_eof", "-connect", &location.est.to_string()])
            .args(["-cert", &format!("{DEVICE}.pem"), "-key", &format!("{DEVICE}.key")])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let answers = BufReader::new(child.stdout.take().unwrap());
        Self { child, answers }
    }

    /// Returns status and header lines of the response to a GET, or `None` if the connection has ended.
    pub fn get(&mut self, operation: &str) -> Option<(u16, Vec<String>)> {
        let request = format!("GET /.well-known/est/{operation} HTTP/1.1\r\nHost: gateway.a.example\r\n\r\n");
        let input = self.child.stdin.as_mut().unwrap();
        input.write_all(request.as_bytes()).and_then(|()| input.flush()).ok()?;
        let mut lines = Vec::new();
        loop {
            let mut line = String::new();
            if self.answers.read_line(&mut line).unwrap() == 0 {
                return None;
            }
            match line.trim_end() {
                "" => break,
                line => lines.push(line.to_ascii_lowercase()),
            }
        }
        let length = lines.iter().find_map(|line| line.strip_prefix("content-length: ")).unwrap().parse().unwrap();
        self.answers.read_exact(&mut vec![0; length]).unwrap();
        Some((lines[0].split(' ').nth(1).unwrap().parse().unwrap(), lines))
    }

    /// Returns whether the gateway has closed the connection.
    fn ended(&mut self) -> bool {
        self.answers.read(&mut [0; 1]).unwrap() == 0
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn a_connection_takes_one_request_after_the_other() {
    let location = Location::new();
    let mut connection = Connection::open(&location);
    for operation in ["cacerts", "csrattrs", "cacerts"] {
        assert_eq!(connection.get(operation).unwrap().0, 200, "{operation}");
    }
}

#[test]
fn a_reload_counts_for_the_next_request_of_a_connection_that_stays() {
    let location = Location::new();
    let mut connection = Connection::open(&location);
    assert_eq!(connection.get("cacerts").unwrap().0, 200);
    let file = config(&location.root, &location.ca, &["another.a.example"]);
    std::fs::write(location.ca.path("gateway.json"), file.to_string()).unwrap();
    location.program.wait_for("reloaded");
    let (code, headers) = connection.get("cacerts").unwrap();
    assert_eq!(code, 403);
    assert!(headers.iter().any(|line| line == "connection: close"), "{headers:?}");
    location.program.wait_for("est: refused: no longer let in: the peer is not let in");
    assert!(connection.ended());
}

#[test]
fn a_server_that_goes_ends_connections_on_which_nothing_is_asked() {
    let location = Location::new();
    let mut connection = Connection::open(&location);
    assert_eq!(connection.get("cacerts").unwrap().0, 200);
    let mut file = config(&location.root, &location.ca, &[]);
    file["gateway"].as_object_mut().unwrap().remove("est");
    std::fs::write(location.ca.path("gateway.json"), file.to_string()).unwrap();
    location.program.wait_for("est: no longer listening");
    assert!(connection.ended());
}

#[test]
fn check_says_where_devices_of_other_locations_are_admitted() {
    let location = Location::new();
    let shown = |file: &Value| {
        std::fs::write(location.ca.path("checked.json"), file.to_string()).unwrap();
        let output = edgetrust(&["check", "--config", &arg(&location.ca.path("checked.json"))]);
        let text = String::from_utf8(output.stdout).unwrap();
        text.split("gateway.est\n").nth(1).expect("a part about it").to_owned()
    };
    // The location's CA has pathLenConstraint 0 (RFC 5280 section 4.2.1.9): no CA may be below it.
    let mut file = config(&location.root, &location.ca, &[]);
    assert!(!shown(&file).contains("every CA below"), "{}", shown(&file));
    file["security"]["tls"]["server"]["mtls"]["client_ca_files"] = json!([location.root.ca()]);
    file["gateway"]["est"]["chain_in_answer"] = json!(true);
    let said = shown(&file);
    assert!(said.contains("devices of every CA below CN=Mesh Root are admitted"), "{said}");
    assert!(said.contains("chain_in_answer: answers hold intermediates"), "{said}");
}
