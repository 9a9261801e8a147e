//! Tests `gateway.audit_log`: a line for each refusal and each change of trust, whatever happens to the file.

use std::collections::BTreeSet;
use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use rcgen::{CertificateParams, DnType, KeyPair, SanType, SerialNumber};
use serde_json::{Value, json};

use super::pages::{get, metric, pages};
use super::peers::{OpensslClient, Program, echo, edgetrust};
use super::pki::{Pki, arg};
use super::serve::serve;

/// A gateway with an audit log.
struct Audited {
    pki: Pki,
    config: Value,
}

impl Audited {
    fn new() -> Self {
        let pki = Pki::new("Root");
        pki.issue("gateway", &["gateway.example"]);
        let config = json!({
            "security": {"tls": {"server": {
                "enabled": true, "cert_file": "gateway.pem", "key_file": "gateway.key",
                "mtls": {"enabled": true, "client_ca_files": ["ca.pem"], "allowed_client_cns": ["location-b"]},
            }}},
            "gateway": {
                "audit_log": "audit.log",
                "admin": {"listen": "127.0.0.1:0"},
                "tunnels": [{"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": echo().to_string()}],
            },
        });
        let audited = Self { pki, config };
        audited.write();
        audited
    }

    fn write(&self) {
        self.put("gateway.json", self.config.to_string().as_bytes());
    }

    /// Replaces a file as a whole.
    fn put(&self, name: &str, contents: &[u8]) {
        fs::write(self.pki.path("new"), contents).unwrap();
        fs::rename(self.pki.path("new"), self.pki.path(name)).unwrap();
    }

    fn file(&self) -> PathBuf {
        self.pki.path("audit.log")
    }

    fn run(&self) -> (Program, String) {
        let arguments = ["run", "--config", &arg(&self.pki.path("gateway.json")), "--watch-interval", "50ms"];
        let mut program = Program::start_quietly(&arguments.map(str::to_owned));
        program.wait_for_tunnel();
        let pages = pages(&program);
        (program, pages)
    }

    /// Waits for a line of an event that fits, and returns it.
    fn wait_for(&self, program: &Program, event: &str, fits: impl Fn(&Value) -> bool) -> Value {
        let mut found = None;
        program.wait_until(event, |_| {
            found = events(&self.file(), event).into_iter().rfind(&fits);
            found.is_some()
        });
        found.unwrap()
    }
}

/// Returns the lines of a file, each of which is an object with its time.
fn lines(file: &Path) -> Vec<Value> {
    let text = fs::read_to_string(file).unwrap_or_default();
    let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
    let lines: Vec<Value> = whole.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    for line in &lines {
        let time = line["time"].as_str().unwrap();
        assert!(time.len() == 24 && time.starts_with("20") && time.ends_with('Z'), "{time}");
    }
    lines
}

fn events(file: &Path, event: &str) -> Vec<Value> {
    lines(file).into_iter().filter(|line| line["event"] == event).collect()
}

/// Sends what is no TLS, and waits for the end.
fn knock(address: SocketAddr) {
    knock_from([127, 0, 0, 1].into(), address);
}

fn knock_from(source: Ipv4Addr, address: SocketAddr) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build().unwrap();
    let socket = runtime.block_on(async {
        let socket = tokio::net::TcpSocket::new_v4().unwrap();
        socket.bind((source, 0).into()).unwrap();
        socket.connect(address).await
    });
    // The gateway may have reset the connection by now.
    let Ok(socket) = socket else { return };
    let mut stream: TcpStream = socket.into_std().unwrap();
    stream.set_nonblocking(false).unwrap();
    // The gateway may reset the connection first.
    let _ = stream.write_all(b"GET / HTTP/1.0\r\n\r\n");
    let _ = stream.read_to_end(&mut Vec::new());
}

fn ask(program: &Program, credential: Option<(&Path, &Path)>) -> Option<String> {
    let files = credential.map(|(cert, key)| (arg(cert), arg(key)));
    let arguments = files.as_ref().map_or(vec![], |(cert, key)| vec!["-cert", cert, "-key", key]);
    OpensslClient::start(program.address, &arguments).ask("hello")
}

/// Returns the SHA-256 of a certificate's SubjectPublicKeyInfo, and its serial number as OpenSSL shows it.
fn key_and_serial(cert: &Path) -> (String, String) {
    let ders = edgetrust::pem::read_certificates(cert).unwrap();
    let certificate = edgetrust::core::x509::Certificate::from_der(&ders[0]).unwrap();
    let key = edgetrust::core::x509::KeyHash::of(&certificate.subject_public_key_info()).to_string();
    let serial = Command::new("openssl").args(["x509", "-noout", "-serial", "-in", &arg(cert)]).output().unwrap();
    let serial = String::from_utf8(serial.stdout).unwrap().trim().replace("serial=", "").to_lowercase();
    (key.trim_start_matches("sha256:").to_owned(), serial)
}

#[test]
fn each_refusal_says_who_what_and_why() {
    let mut audited = Audited::new();
    let (stolen, stolen_key) = audited.pki.issue("stolen", &[]);
    let (denied, _) = key_and_serial(&stolen);
    audited.config["security"]["tls"]["denied_keys"] = json!([format!("sha256:{denied}")]);
    audited.write();
    let (program, _) = audited.run();
    let (other, other_key) = audited.pki.issue_with("location-c", &["c.example"], |params| {
        // Its encoding begins with an octet that makes it positive.
        params.serial_number = Some(SerialNumber::from(vec![0xab, 0, 1]));
    });
    let (expired, expired_key) = audited.pki.issue_with("location-b", &[], |params| {
        params.not_after = time::OffsetDateTime::now_utc() - Duration::from_secs(3600);
    });
    let strange = Pki::new("Other");
    let (unknown, unknown_key) = strange.issue("location-b", &[]);
    let pairs = [(&unknown, &unknown_key), (&expired, &expired_key), (&stolen, &stolen_key), (&other, &other_key)];
    let credentials = [None].into_iter().chain(pairs.map(|(cert, key)| Some((&**cert, &**key))));
    let cases = [
        ("the peer showed no certificate", false),
        ("its issuer is neither a configured CA nor among the intermediates", false),
        ("expired at ", false),
        ("its key is denied", false),
        ("the peer is not let in: ", true),
    ];
    for (count, (credential, (reason, verified))) in credentials.zip(cases).enumerate() {
        assert_eq!(ask(&program, credential), None);
        program.wait_until(reason, |_| events(&audited.file(), "refused").len() > count);
        let line = events(&audited.file(), "refused").pop().unwrap();
        assert_eq!((&line["at"], &line["tunnel"], &line["kind"]), (&json!("tunnel"), &json!("in"), &json!("peer")));
        assert!(line["reason"].as_str().unwrap().contains(reason), "{reason}: {line}");
        assert_eq!(line["verified"], json!(verified), "{line}");
        assert!(line["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{line}");
        if let Some((cert, _)) = credential {
            let (key, serial) = key_and_serial(cert);
            assert_eq!((&line["spki_sha256"], &line["serial"]), (&json!(key), &json!(serial)), "{line}");
            assert!(line["subject"].as_str().unwrap().starts_with("CN="), "{line}");
            assert!(line["issuer"].is_string(), "{line}");
        }
    }
    assert_eq!(events(&audited.file(), "refused")[4]["names"], "DNS=c.example");
    knock(program.address);
    audited.wait_for(&program, "refused", |line| line["kind"] == "handshake");
    // Whoever is let in is no refusal.
    let (cert, key) = audited.pki.issue("location-b", &[]);
    assert_eq!(ask(&program, Some((&cert, &key))).as_deref(), Some("hello"));
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    let names: Vec<_> = lines(&audited.file()).iter().map(|line| line["event"].as_str().unwrap().to_owned()).collect();
    assert_eq!(names.iter().filter(|name| *name == "refused").count(), 6);
    assert_eq!((names.first().unwrap().as_str(), names.last().unwrap().as_str()), ("started", "stopped"));
    assert_eq!(fs::metadata(audited.file()).unwrap().permissions().mode() & 0o777, 0o640);
}

#[test]
fn hostile_names_stay_in_their_line_and_are_cut() {
    let audited = Audited::new();
    let (program, _) = audited.run();
    let forged = "x\",\"event\":\"started\"}\n{\"time\":\"2026-01-01T00:00:00.000Z\",\"event\":\"stopped\"}\r\n";
    let hostile = ["\u{1b}]0;owned\u{7}\u{0}\u{9b}2J\u{202e}\u{2028}", &"é".repeat(1000), forged, &"\"\\".repeat(1000)];
    for (count, name) in hostile.into_iter().enumerate() {
        let mut params = CertificateParams::new(Vec::<String>::new()).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let uri = format!("x:{}", "y".repeat(2000));
        params.subject_alt_names = vec![SanType::URI(uri.as_str().try_into().unwrap()); 8];
        let key = KeyPair::generate().unwrap();
        let cert = params.self_signed(&key).unwrap();
        audited.put("hostile.pem", cert.pem().as_bytes());
        audited.put("hostile.key", key.serialize_pem().as_bytes());
        assert_eq!(ask(&program, Some((&audited.pki.path("hostile.pem"), &audited.pki.path("hostile.key")))), None);
        program.wait_until("the refusal", |_| events(&audited.file(), "refused").len() > count);
    }
    let text = fs::read(audited.file()).unwrap();
    assert!(text.iter().all(|octet| *octet == b'\n' || (b' '..=b'~').contains(octet)));
    let refused = events(&audited.file(), "refused");
    assert_eq!((refused.len(), events(&audited.file(), "started").len()), (hostile.len(), 1));
    assert_eq!(events(&audited.file(), "stopped"), Vec::<Value>::new());
    for line in refused {
        assert!(line.to_string().len() < 2000, "{line}");
        assert!(line["subject"].as_str().unwrap().chars().count() <= 162, "{line}");
    }
}

#[test]
fn each_change_of_trust_is_a_line() {
    let mut audited = Audited::new();
    let (program, pages) = audited.run();
    let file = audited.file();
    let digest = |audited: &Audited| {
        let text = fs::read(audited.pki.path("gateway.json")).unwrap();
        edgetrust::core::mesh::Digest::of(&text).to_string()
    };
    let first = audited.wait_for(&program, "configuration", |_| true);
    assert_eq!((&first["cause"], &first["digest"]), (&json!("start"), &json!(digest(&audited))));
    let (key, serial) = key_and_serial(&audited.pki.path("gateway.pem"));
    let own = audited.wait_for(&program, "certificate_added", |line| line["role"] == "own");
    assert_eq!((&own["spki_sha256"], &own["serial"], &own["used_by"]), (&json!(key), &json!(serial), &json!(["in"])));
    assert!(own["not_after"].as_str().unwrap().ends_with('Z'), "{own}");
    let ca = audited.wait_for(&program, "certificate_added", |line| line["role"] == "ca");
    assert_eq!(ca["subject"], "CN=Root");
    // The same again changes nothing but that it was loaded.
    program.signal("HUP");
    audited.wait_for(&program, "configuration", |line| line["cause"] == "SIGHUP");
    // A denial, a CA and a list of revoked certificates come, and a certificate is renewed.
    let denied = format!("sha256:{}", "ab".repeat(32));
    audited.pki.revocation_list();
    let other = Pki::new("Second Root");
    fs::copy(other.ca(), audited.pki.path("second.pem")).unwrap();
    audited.config["security"]["tls"]["denied_keys"] = json!([denied]);
    audited.config["security"]["tls"]["server"]["mtls"]["client_ca_files"] = json!(["ca.pem", "second.pem"]);
    audited.config["gateway"]["crl_files"] = json!(["ca.crl"]);
    audited.write();
    let key_added = audited.wait_for(&program, "denied_key_added", |_| true);
    assert_eq!(key_added["key"], json!(denied));
    let list = audited.wait_for(&program, "crl_added", |_| true);
    assert_eq!(list["issuer"], "CN=Root");
    audited.wait_for(&program, "certificate_added", |line| line["subject"] == "CN=Second Root");
    let loaded = audited.wait_for(&program, "configuration", |line| line["digest"] == json!(digest(&audited)));
    assert!(loaded["cause"].as_str().unwrap().contains("gateway.json"), "{loaded}");
    let (renewed, renewed_key) = audited.pki.issue("renewed", &["gateway.example"]);
    fs::rename(renewed_key, audited.pki.path("gateway.key")).unwrap();
    fs::rename(renewed, audited.pki.path("gateway.pem")).unwrap();
    audited.wait_for(&program, "certificate_added", |line| line["subject"] == "CN=renewed");
    audited.wait_for(&program, "certificate_removed", |line| line["spki_sha256"] == json!(key));
    // A session whose rule goes, ends with a line.
    let (cert, key) = audited.pki.issue("location-b", &[]);
    let mut session = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key)]);
    assert_eq!(session.ask("hello").as_deref(), Some("hello"));
    audited.config["security"]["tls"]["server"]["mtls"]["allowed_client_cns"] = json!(["location-z"]);
    audited.config["security"]["tls"]["denied_keys"] = json!([]);
    audited.write();
    let ended = audited.wait_for(&program, "session_ended", |_| true);
    assert_eq!((&ended["peer"], &ended["rule"]), (&json!("CN=location-b"), &json!("CN location-b")), "{ended}");
    audited.wait_for(&program, "denied_key_removed", |line| line["key"] == json!(denied));
    // What is refused changes nothing but what it denies.
    let before = lines(&file).len();
    audited.config["security"]["tls"]["denied_keys"] = json!([denied]);
    audited.config["gateway"]["tunnels"][0]["listen"] = json!("192.0.2.1:0");
    audited.write();
    let refused = audited.wait_for(&program, "configuration_refused", |_| true);
    assert!(refused["reason"].as_str().unwrap().contains("192.0.2.1:0"), "{refused}");
    program.wait_until("the denial", |_| {
        lines(&file)[before..].iter().any(|line| line["event"] == "denied_key_added" && line["key"] == json!(denied))
    });
    let status: Value = serde_json::from_str(&get(&pages, "/status", &[]).1).unwrap();
    assert_eq!(status["audit_log"]["lines"], json!(lines(&file).len()));
    assert_eq!((&status["audit_log"]["lines_lost"], &status["audit_log"]["fault"]), (&json!(0), &Value::Null));
}

#[test]
fn no_line_is_lost_while_the_file_is_renamed_under_load() {
    let audited = Audited::new();
    let (program, pages) = audited.run();
    let (mut files, address) = (vec![], program.address);
    let count = |file: &Path| events(file, "refused").len();
    std::thread::scope(|scope| {
        // Each has an address of its own, so that none is folded.
        let knock_from = move |block: u8| (1..=100).for_each(|one| knock_from([127, 1, block, one].into(), address));
        let knocking: Vec<_> = (0..4).map(|block| scope.spawn(move || knock_from(block))).collect();
        for rotation in 0..5 {
            program.wait_until("more refusals", |_| {
                count(&audited.file()) > 20 || knocking.iter().all(|one| one.is_finished())
            });
            let old = audited.pki.path(&format!("audit.log.{rotation}"));
            fs::rename(audited.file(), &old).unwrap();
            program.signal("HUP");
            files.push(old);
            program.wait_until("a new file", |_| !events(&audited.file(), "configuration").is_empty());
        }
    });
    files.push(audited.file());
    assert_eq!(metric(&pages, "edgetrust_audit_lines_lost_total"), 0);
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    let refused: Vec<_> = files.iter().flat_map(|file| events(file, "refused")).collect();
    let remote = |line: &Value| line["remote"].as_str().unwrap().rsplit_once(':').unwrap().0.to_owned();
    let remotes: BTreeSet<_> = refused.iter().map(remote).collect();
    assert_eq!((refused.len(), remotes.len()), (400, 400));
    assert!(files.iter().filter(|file| count(file) > 0).count() > 1);
}

/// Tests that repeats within a second are one line, with a count.
#[test]
fn repeats_of_a_second_are_folded_with_their_count() {
    let audited = Audited::new();
    let (program, _) = audited.run();
    for _ in 0..200 {
        knock(program.address);
    }
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    let refused = events(&audited.file(), "refused");
    assert_eq!(refused.iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum::<u64>(), 200);
    assert!(refused.len() < 100, "{}", refused.len());
}

#[test]
fn a_full_disk_loses_lines_raises_an_alarm_and_stops_nothing() {
    let audited = Audited::new();
    symlink("/dev/full", audited.file()).unwrap();
    let (program, pages) = audited.run();
    let (cert, key) = audited.pki.issue("location-b", &[]);
    for _ in 0..3 {
        knock(program.address);
    }
    assert_eq!(ask(&program, Some((&cert, &key))).as_deref(), Some("hello"));
    program.wait_until("lines are counted", |_| metric(&pages, "edgetrust_audit_lines_lost_total") > 3);
    assert_eq!(metric(&pages, "edgetrust_audit_log_fails"), 1);
    let alarms = get(&pages, "/status", &[]).1;
    assert!(alarms.contains("AuditLinesLost") && alarms.contains("No space left on device"), "{alarms}");
    // The disk has room again: the file says how many lines are missing.
    fs::remove_file(audited.file()).unwrap();
    program.signal("HUP");
    let lost = audited.wait_for(&program, "lines_lost", |_| true);
    program.wait_until("the alarm ends", |_| metric(&pages, "edgetrust_audit_log_fails") == 0);
    assert_eq!(lost["lines"], json!(metric(&pages, "edgetrust_audit_lines_lost_total")));
    assert!(!get(&pages, "/status", &[]).1.contains("AuditLinesLost"));
    knock(program.address);
    audited.wait_for(&program, "refused", |_| true);
}

#[test]
fn connections_over_a_limit_are_folded_with_their_count() {
    let mut audited = Audited::new();
    audited.config["gateway"]["limits"] = json!({"handshakes_per_second": 1});
    audited.write();
    let (program, pages) = audited.run();
    for _ in 0..200 {
        knock(program.address);
    }
    assert_eq!(metric(&pages, "edgetrust_audit_lines_lost_total"), 0);
    program.signal("TERM");
    assert_eq!(program.wait(), Some(0));
    let refused = events(&audited.file(), "refused");
    let (limit, others): (Vec<_>, Vec<_>) = refused.into_iter().partition(|line| line["kind"] == "limit");
    let counted: u64 = limit.iter().map(|line| line["count"].as_u64().unwrap_or(1)).sum();
    assert_eq!(counted + others.len() as u64, 200, "each connection counts once");
    assert!(limit.len() < 100, "{}", limit.len());
}

#[test]
fn a_file_that_cannot_be_opened_refuses_the_start_and_the_reload() {
    let mut audited = Audited::new();
    let nowhere = audited.pki.path("nowhere/audit.log");
    let run = |audited: &Audited, command: &str| {
        let output = edgetrust(&[command, "--config", &arg(&audited.pki.path("gateway.json"))]);
        let said = String::from_utf8([output.stdout, output.stderr].concat()).unwrap();
        (output.status.code(), said)
    };
    let (code, said) = run(&audited, "check");
    assert!(code == Some(0) && said.contains("audit.log: can be written") && !audited.file().exists(), "{said}");
    let (program, _) = audited.run();
    audited.config["gateway"]["audit_log"] = json!(nowhere);
    audited.write();
    let line = program.wait_for("reload refused");
    assert!(line.contains("gateway.audit_log: ") && line.contains("nowhere/audit.log: cannot be opened"), "{line}");
    knock(program.address);
    audited.wait_for(&program, "refused", |_| true);
    drop(program);
    for command in ["run", "check"] {
        let (code, said) = run(&audited, command);
        assert!(code != Some(0) && said.contains("nowhere/audit.log: cannot be opened for writing: No such"), "{said}");
    }
    // A start that is refused for another reason stands in the log.
    audited.config["gateway"]["audit_log"] = json!("audit.log");
    audited.config["gateway"]["tunnels"][0]["listen"] = json!("192.0.2.1:1");
    audited.write();
    assert_eq!(run(&audited, "run").0, Some(2));
    let stopped = events(&audited.file(), "stopped").pop().unwrap();
    assert!(stopped["reason"].as_str().unwrap().contains("192.0.2.1:1"), "{stopped}");
}

/// `serve` and `connect` take the same by flags: an audit log, revocation lists, and pages at a Unix socket.
#[test]
fn flags_are_like_keys() {
    let pki = Pki::new("Root");
    let (log, socket) = (pki.path("audit.log"), pki.path("admin.sock"));
    let at_socket = format!("unix:{}", arg(&socket));
    let (ca, list) = (arg(&pki.ca()), arg(&pki.revocation_list()));
    let more = ["--cacert", &ca, "--crl", &list, "--audit-log", &arg(&log), "--admin", &at_socket];
    let program = serve(&pki, &more);
    program.wait_for("pages address=unix:");
    assert_eq!(ask(&program, None), None);
    program.wait_until("the refusal", |_| events(&log, "refused").len() == 1);
    assert_eq!(events(&log, "crl_added").len(), 1);
    let output = std::process::Command::new("curl")
        .args(["--silent", "--max-time", "60", "--unix-socket", &arg(&socket), "http://localhost/metrics"])
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    assert!(
        said.contains("edgetrust_crl_expiration_timestamp_seconds{") && said.contains("edgetrust_audit_lines_total")
    );
    let connect = ["connect", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--server-name", "x.example"];
    let more = ["--no-system-roots", "--cacert", &ca, "--crl", &list, "--audit-log", &arg(&pki.path("connect.log"))];
    let connect = Program::start(&[&connect[..], &more].concat().into_iter().map(str::to_owned).collect::<Vec<_>>());
    connect.wait_until("its log", |_| events(&pki.path("connect.log"), "crl_added").len() == 1);
    let refused = edgetrust(&["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--admin", "localhost:1"]);
    assert!(String::from_utf8_lossy(&refused.stderr).contains("expected ADDRESS:PORT or unix:PATH"), "{refused:?}");
}
