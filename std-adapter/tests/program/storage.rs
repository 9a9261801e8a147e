//! Tests the storage of credentials: ownership of files, full disks, and the findings of `check`.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use edgetrust::core::store::{NewRecord, Slot, Store};
use edgetrust::core::x509::Certificate;
use edgetrust::program::FileMedium;
use pki_types::UnixTime;
use rcgen::CertificateParams;
use serde_json::{Value, json};

use super::peers::{Program, edgetrust, served_certificate};
use super::pki::{Pki, arg};

/// A gateway whose CA does not answer.
struct Site {
    pki: Pki,
    acme: Value,
    /// The files of a manual certificate and its key, beside `acme`.
    fallback: Option<(String, String)>,
}

impl Site {
    fn new() -> Self {
        let pki = Pki::new("Root");
        let acme = json!({
            "enabled": true, "directory_url": "https://127.0.0.1:1/directory", "domains": ["gateway.example"],
            "challenge_type": "tls-alpn-01", "storage_path": pki.path("acme"), "ca_bundle": pki.ca(),
        });
        Self { pki, acme, fallback: None }
    }

    fn storage(&self) -> PathBuf {
        self.pki.path("acme")
    }

    fn file(&self) -> String {
        let file = self.pki.path("gateway.json");
        let mut server = json!({"enabled": true, "mode": "acme", "acme": self.acme});
        if let Some((cert, key)) = &self.fallback {
            (server["cert_file"], server["key_file"]) = (json!(cert), json!(key));
        }
        let tunnel = json!({"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1"});
        let config = json!({"security": {"tls": {"server": server}}, "gateway": {"tunnels": [tunnel]}});
        fs::write(&file, config.to_string()).unwrap();
        arg(&file)
    }

    /// Stores a certificate of this PKI, as a gateway does; returns it as PEM.
    fn keep(&self, change: impl FnOnce(&mut CertificateParams)) -> String {
        let (cert, key) = self.pki.issue_with("gateway", &["gateway.example"], change);
        keep(&self.storage(), &cert, &key);
        fs::read_to_string(cert).unwrap()
    }

    fn check(&self, more: &[&str]) -> (Value, Vec<String>) {
        let output = edgetrust(&[&["check", "--json", "--config", &self.file()][..], more].concat());
        let report: Value = serde_json::from_slice(&output.stdout).unwrap();
        let text = |value: &Value| value.as_str().unwrap().to_owned();
        let findings = report["findings"].as_array().unwrap().iter();
        let findings = findings.map(|one| text(&one["level"]) + " " + &text(&one["what"])).collect();
        (report, findings)
    }
}

/// Stores a certificate as issued in the home of a credential.
pub fn keep(storage: &Path, cert: &Path, key: &Path) {
    fs::create_dir_all(storage).unwrap();
    fs::set_permissions(storage, fs::Permissions::from_mode(0o700)).unwrap();
    let chain = edgetrust::pem::read_certificates(cert).unwrap();
    let key = edgetrust::pem::read_private_key(key).unwrap();
    let validity = Certificate::from_der(&chain[0]).unwrap().validity();
    let mut store = Store::new(FileMedium::new(storage)).unwrap();
    let record = NewRecord {
        key: key.secret_der(),
        chain: &chain[0],
        not_before: validity.not_before,
        not_after: validity.not_after,
        time_seen: UnixTime::now().min(validity.not_after),
    };
    store.write(Slot::A, &record).unwrap();
    store.confirm(Slot::A).unwrap();
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().mode() & 0o777
}

fn said(output: &Output) -> String {
    String::from_utf8_lossy(&[&output.stdout[..], &output.stderr].concat()).into_owned()
}

/// Returns a command that runs a script with its own mounts, or `None` if this machine does not allow that.
fn with_mounts(script: &str, arguments: &[&str]) -> Option<Command> {
    let allowed = Command::new("unshare").args(["-rm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]).output();
    if !allowed.is_ok_and(|output| output.status.success()) {
        eprintln!("skipped: this machine lets nobody mount");
        return None;
    }
    let mut command = Command::new("unshare");
    command.args(["-rm", "sh", "-ec", script, env!("CARGO_BIN_EXE_edgetrust")]).args(arguments).env("NO_COLOR", "1");
    Some(command)
}

#[test]
fn folders_and_files_are_for_their_owner_alone_whatever_the_umask() {
    for umask in ["000", "022", "077", "777"] {
        let site = Site::new();
        let script = format!("umask {umask}; exec \"$0\" \"$@\"");
        let arguments = ["acme", "obtain", "--config", &site.file()];
        let output = Command::new("sh").args(["-c", &script, env!("CARGO_BIN_EXE_edgetrust")]).args(arguments).output();
        // The CA does not answer, but the attempt has already stored its files.
        assert_eq!(output.unwrap().status.code(), Some(1));
        assert_eq!(mode(&site.storage()), 0o700, "umask {umask}");
        let files: Vec<_> = fs::read_dir(site.storage()).unwrap().map(|entry| entry.unwrap().path()).collect();
        assert!(files.iter().any(|file| file.ends_with("account.json")), "{files:?}");
        for file in files {
            assert_eq!(mode(&file), 0o600, "umask {umask}: {}", file.display());
        }
    }
}

#[test]
fn what_is_not_ours_alone_is_refused_by_name() {
    let refused = |site: &Site, reason: &str| {
        for command in [&["run"][..], &["acme", "obtain"]] {
            let output = edgetrust(&[command, &["--config", &site.file()]].concat());
            assert!(!output.status.success() && said(&output).contains(reason), "expected {reason}: {}", said(&output));
        }
    };
    let site = Site::new();
    site.keep(|_| {});
    let slot = site.storage().join("slot-b");
    fs::write(&slot, "").unwrap();
    fs::set_permissions(&slot, fs::Permissions::from_mode(0o666)).unwrap();
    refused(&site, "slot-b: cannot be used: mode 666 lets others write");
    fs::remove_file(&slot).unwrap();
    let outside = site.pki.path("outside");
    fs::write(&outside, "theirs").unwrap();
    symlink(&outside, &slot).unwrap();
    refused(&site, "slot-b: cannot be used: found a link");
    fs::remove_file(&slot).unwrap();
    fs::write(&slot, "").unwrap();
    // Only root can change the owner of a file.
    if chown(&slot, Some(65_534), None).is_ok() {
        refused(&site, "slot-b: cannot be used: it is owned by user 65534, expected user 0");
    }
    fs::remove_file(&slot).unwrap();
    fs::set_permissions(site.storage(), fs::Permissions::from_mode(0o777)).unwrap();
    refused(&site, "acme: cannot be used: mode 777 lets others write");
    assert_eq!(fs::read_to_string(&outside).unwrap(), "theirs");
}

#[test]
fn a_configuration_that_is_refused_leaves_nothing_behind() {
    let site = Site::new();
    // The certificate is that of the first tunnel; the second one is at fault.
    let missing = json!({"enabled": true, "cert_file": "missing.pem", "key_file": "missing.key"});
    let server = json!({"enabled": true, "mode": "acme", "acme": site.acme});
    let tunnel = |name: &str, tls: &Value| json!({"name": name, "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1", "tls": tls});
    let file = site.pki.path("refused.json");
    let config = json!({"gateway": {"tunnels": [tunnel("in", &server), tunnel("other", &missing)]}});
    fs::write(&file, config.to_string()).unwrap();
    let output = edgetrust(&["run", "--config", &arg(&file)]);
    assert!(!output.status.success() && said(&output).contains("missing.pem"), "{}", said(&output));
    assert!(!site.storage().exists(), "a folder was made while the configuration was read");
    // One that is accepted makes it.
    let program = Program::start(&["run", "--config", &site.file()].map(str::to_owned));
    program.wait_for("ordering a certificate");
    assert!(site.storage().join("lock").exists());
}

#[test]
fn on_a_full_disk_an_attempt_ends_with_the_reason() {
    let site = Site::new();
    fs::create_dir(site.storage()).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=16k,mode=700 tmpfs {0}; dd if=/dev/zero of={0}/fill bs=4k 2>&- || true; exec \"$0\" \"$@\"",
        site.storage().display()
    );
    let Some(mut command) = with_mounts(&script, &["acme", "obtain", "--config", &site.file()]) else { return };
    let output = command.output().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("gateway.example: "), "{}", said(&output));
    assert!(said(&output).contains("cannot be written: No space left on device"), "{}", said(&output));
}

#[test]
fn a_folder_that_cannot_be_written_to_is_served_from_and_somebody_told() {
    let site = Site::new();
    let kept = site.keep(|_| {});
    let script = format!(
        "exec unshare -rm sh -ec 'mount --bind {0} {0}; mount -o remount,bind,ro {0}; exec \"$0\" \"$@\"' \"$0\" \"$@\"",
        site.storage().display()
    );
    if with_mounts("", &[]).is_none() {
        return;
    }
    let arguments = [&script, env!("CARGO_BIN_EXE_edgetrust"), "run", "--config", &site.file()].map(str::to_owned);
    let mut program = Program::start_shell(&arguments);
    let line = program.wait_for("nothing new can be kept");
    assert!(line.contains("Read-only file system"), "{line}");
    program.wait_for("the new certificate cannot be kept: the one before stays");
    program.wait_for_tunnel();
    let served = served_certificate(program.address, &[]);
    assert!(kept.replace("\r\n", "\n").starts_with(served.trim_end()), "{served}");
}

#[test]
fn renew_says_what_the_running_gateways_attempt_came_to() {
    let site = Site::new();
    site.keep(|_| {});
    let arguments = ["run", "--config", &site.file()].map(str::to_owned);
    let _program = Program::start(&arguments);
    let output = edgetrust(&["acme", "renew", "--config", &site.file()]);
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("gateway.example: the running gateway: "), "{}", said(&output));
    assert!(said(&output).contains("Connection refused"), "{}", said(&output));
}

#[test]
fn renew_ends_when_the_running_gateway_does() {
    // A CA that accepts connections and stays silent.
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut site = Site::new();
    site.acme["directory_url"] = json!(format!("https://{}/directory", silent.local_addr().unwrap()));
    site.keep(|_| {});
    let program = Program::start(&["run", "--config", &site.file()].map(str::to_owned));
    let file = site.file();
    let renew = std::thread::spawn(move || edgetrust(&["acme", "renew", "--config", &file]));
    program.wait_for("a renewal was asked for");
    drop(program);
    let output = renew.join().unwrap();
    assert_eq!(output.status.code(), Some(1), "{}", said(&output));
    assert!(said(&output).contains("ended before it had renewed"), "{}", said(&output));
    assert!(!site.storage().join("renew.request").exists());
}

#[test]
fn lines_tell_two_credentials_of_one_name_apart_and_call_an_expired_one_expired() {
    let site = Site::new();
    site.keep(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let mut other = site.acme.clone();
    other["storage_path"] = json!(site.pki.path("client"));
    let server = json!({"enabled": true, "mode": "acme", "acme": site.acme});
    (other["challenge_type"], other["http_listen"]) = (json!("http-01"), json!("127.0.0.1:1"));
    let client = json!({"ca_files": [site.pki.ca()], "mode": "acme", "mtls": {"enabled": true, "acme": other}});
    let tunnels = json!([
        {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:1", "tls": server},
        {"name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": "127.0.0.1:1",
         "server_name": "gateway.example", "tls": client},
    ]);
    let file = site.pki.path("two.json");
    fs::write(&file, json!({"gateway": {"tunnels": tunnels}}).to_string()).unwrap();
    let program = Program::start_in(&["run", "--config", &arg(&file)].map(str::to_owned), &[]);
    let shown = program.wait_for("certificate is shown");
    assert!(shown.contains("an expired certificate is shown"), "{shown}");
    assert!(shown.contains(&format!("storage_path={}", site.storage().display())), "{shown}");
    let mut places = [site.storage(), site.pki.path("client")].map(|place| format!("storage_path={}", place.display()));
    for _ in 0..2 {
        let line = program.wait_for("ordering a certificate");
        assert!(line.contains("credential=gateway.example"), "{line}");
        let place = places.iter_mut().find(|place| !place.is_empty() && line.contains(place.as_str()));
        place.unwrap_or_else(|| panic!("{line}")).clear();
    }
}

#[test]
fn what_run_would_renew_is_a_warning() {
    let site = Site::new();
    site.keep(|params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let (report, findings) = site.check(&[]);
    assert_eq!(report["errors"], 0, "{findings:#?}");
    let expired = findings.iter().filter(|finding| finding.contains("2020-01-01")).collect::<Vec<_>>();
    // The tunnel has the same section, and each finding is reported once.
    assert_eq!(expired.len(), 1, "{findings:#?}");
    assert!(expired[0].starts_with("warning ") && expired[0].ends_with("`run` renews it"), "{findings:#?}");
}

#[test]
fn a_kept_certificate_must_lead_to_the_configured_roots() {
    let mut site = Site::new();
    site.keep(|_| {});
    let (report, findings) = site.check(&[]);
    assert_eq!(report["errors"], 0, "{findings:#?}");
    let other = Pki::new("Other Root");
    site.acme["issuer_bundle"] = json!(other.ca());
    let (report, findings) = site.check(&[]);
    // `run` repairs it, so the finding must not keep the unit from starting.
    assert_eq!(report["errors"], 0, "{findings:#?}");
    let found = findings.iter().filter(|one| one.contains("peers would not accept it")).collect::<Vec<_>>();
    assert!(
        matches!(found[..], [one] if one.starts_with("warning ") && one.contains("`run` renews it")),
        "{findings:#?}"
    );
    let program = Program::start(&["run", "--config", &site.file()].map(str::to_owned));
    program.wait_for("ordering a certificate");
}

#[test]
fn a_fallback_that_has_ended_is_a_warning() {
    let mut site = Site::new();
    site.keep(|_| {});
    let (cert, key) = site.pki.issue_with("fallback", &["gateway.example"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    site.fallback = Some((arg(&cert), arg(&key)));
    let (report, findings) = site.check(&[]);
    assert_eq!(report["errors"], 0, "{findings:#?}");
    let ended = |one: &String| one.starts_with("warning ") && one.contains("expired at 2020-01-01");
    assert!(findings.iter().any(ended), "{findings:#?}");
    Program::start(&["run", "--config", &site.file()].map(str::to_owned));
}

#[test]
fn online_names_that_do_not_resolve_are_said_once() {
    let mut site = Site::new();
    site.acme["directory_url"] = json!("https://ca.invalid:9000/directory");
    site.acme["domains"] = json!(["gateway.invalid"]);
    let (_, findings) = site.check(&["--online"]);
    for (level, name) in [("error ", "ca.invalid: does not resolve"), ("warning ", "gateway.invalid: does not resolve")]
    {
        let lines = findings.iter().filter(|one| one.contains(name)).collect::<Vec<_>>();
        assert!(matches!(lines[..], [line] if line.starts_with(level)), "{name}: {findings:#?}");
    }
}

#[test]
fn a_directory_is_told_who_asks() {
    let mut site = Site::new();
    let (cert, key) = site.pki.issue("localhost", &["localhost"]);
    let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
    site.acme["directory_url"] = json!(format!("https://localhost:{port}/directory"));
    let mut server = Command::new("openssl")
        .args(["s_server", "-quiet", "-accept", &format!("127.0.0.1:{port}")])
        .args(["-cert", &arg(&cert), "-key", &arg(&key)])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (mut answer, asked) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let seen = std::thread::spawn(move || {
        let lines = BufReader::new(asked).lines().map_while(Result::ok);
        let request: Vec<String> = lines.take_while(|line| !line.trim().is_empty()).collect();
        let _ = answer.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
        request
    });
    while std::net::TcpStream::connect_timeout(&([127, 0, 0, 1], port).into(), Duration::from_secs(1)).is_err() {
        std::thread::sleep(Duration::from_millis(10));
    }
    site.check(&["--online"]);
    server.kill().unwrap();
    server.wait().unwrap();
    let request = seen.join().unwrap();
    assert!(request.iter().any(|line| line.to_lowercase().starts_with("user-agent: edgetrust/")), "{request:?}");
}
