//! Tests the report of a running gateway: `/status`, `/events` and `edgetrust status`.

use std::io::{BufRead, BufReader, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use super::addresses::nowhere;
use super::admin::start;
use super::pages::{get, pages};
use super::peers::{OpensslClient, PATIENCE, Program, echo, edgetrust};
use super::pki::{Pki, arg};
use super::serve::{let_in, serve};

fn status(pages: &str) -> Value {
    serde_json::from_str(&get(pages, "/status", &[]).1).unwrap()
}

/// Returns the exit code and the text of `edgetrust status`.
fn said(pages: &str, more: &[&str]) -> (i32, String) {
    let output = edgetrust(&[&["status", "--admin", pages], more].concat());
    (output.status.code().unwrap(), String::from_utf8(output.stdout).unwrap())
}

/// A gateway with a configuration file, that lets in `location-b`.
fn gateway(pki: &Pki, target: &str) -> (Program, String) {
    let program = start(pki, target, &json!({"listen": "127.0.0.1:0"}));
    let pages = pages(&program);
    (program, pages)
}

#[test]
fn sessions_the_configuration_and_refusals_are_reported() {
    let (pki, echo) = (Pki::new("Root"), echo());
    let (program, pages) = gateway(&pki, &echo.to_string());
    let (cert, key) = pki.issue("location-b", &[]);
    let mut client = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key)]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    let report = status(&pages);
    let session = &report["sessions"]["newest"][0];
    assert_eq!(report["sessions"]["open"], 1, "{report:#}");
    assert_eq!((&session["peer"], &session["rule"]), (&json!("CN=location-b"), &json!("CN location-b")), "{session}");
    assert_eq!(
        (&session["tunnel"], &session["bytes_up"], &session["bytes_down"]),
        (&json!("feed"), &json!(5), &json!(5))
    );
    assert!(session["remote"].as_str().unwrap().starts_with("127.0.0.1:"), "{session}");
    let [since, now, until] =
        [&session["since"], &report["now"], &session["until"]].map(|time| time.as_str().unwrap().to_owned());
    assert!(since <= now && now < until, "{since} {now} {until}");
    let text = std::fs::read(pki.path("gateway.json")).unwrap();
    let digest: String = Sha256::digest(&text).iter().map(|octet| format!("{octet:02x}")).collect();
    assert_eq!(report["configuration"]["sha256"], json!(digest), "{report:#}");
    assert_eq!((&report["alarms"], &report["ready"]), (&json!([]), &json!(true)));

    // The same on one screen.
    let (code, screen) = said(&pages, &[]);
    assert_eq!(code, 0, "{screen}");
    let row =
        |word: &str| screen.lines().find(|line| line.contains(word)).unwrap_or_else(|| panic!("{screen}")).to_owned();
    assert!(screen.starts_with("all is well · ready"), "{screen}");
    assert!(row("CN=location-b").contains("5 B"), "{screen}");
    assert!(row("gateway.json").contains(&digest[..12]), "{screen}");
    assert!(!screen.contains("REFUSALS"), "{screen}");
    let (_, text) = said(&pages, &["--json"]);
    assert_eq!(serde_json::from_str::<Value>(&text).unwrap()["sessions"], report["sessions"]);

    // A peer that is not on the list, under a configured CA, is an alarm; nothing is broken.
    let (cert, key) = pki.issue("location-c", &[]);
    assert!(!let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    program.wait_until("no refusal", |_| status(&pages)["alarms"][0]["name"] == "PeersRefused");
    let (code, screen) = said(&pages, &["alarms", "refusals"]);
    assert_eq!(code, 0, "{screen}");
    assert!(screen.contains("CN=location-c") && screen.contains("warning PeersRefused"), "{screen}");
    assert!(!screen.contains("TUNNELS"), "{screen}");

    // A refused reload is an error, and the digest stays that of the configuration in force.
    std::fs::write(pki.path("gateway.json"), "{").unwrap();
    program.signal("HUP");
    program.wait_for("reload refused");
    let (code, screen) = said(&pages, &[]);
    assert_eq!(code, 1, "{screen}");
    assert!(screen.contains("1 ERROR") && screen.contains("ERROR ReloadRefused"), "{screen}");
    assert_eq!(status(&pages)["configuration"]["sha256"], json!(digest));
    drop(client);
    program.wait_until("still open", |_| status(&pages)["sessions"] == json!({"open": 0, "newest": []}));
}

#[test]
fn without_a_gateway_the_address_is_named() {
    let free = nowhere().to_string();
    let output = edgetrust(&["status", "--admin", &free]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains(&format!("the gateway's pages at {free}: ")) && error.contains("refused"), "{error}");
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("gateway.json");
    std::fs::write(&file, "{}").unwrap();
    let output = edgetrust(&["status", "--config", &arg(&file)]);
    let error = String::from_utf8(output.stderr).unwrap();
    assert!(error.contains("gateway.admin.listen: found none"), "{error}");
}

#[test]
fn requests_for_a_foreign_host_read_nothing() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    for path in ["/", "/status", "/metrics", "/healthz", "/events"] {
        let (code, text) = get(&pages, path, &["--header", "Host: evil.example"]);
        assert_eq!(code, "421", "{path}");
        assert!(text.contains("found the host \"evil.example\", expected an IP address"), "{text}");
    }
    let port = pages.rsplit_once(':').unwrap().1;
    assert_eq!(get(&pages, "/healthz", &["--header", &format!("Host: localhost:{port}")]).0, "200");
    let (code, page) = get(&pages, "/", &["--include"]);
    assert_eq!(code, "200");
    assert!(
        page.to_ascii_lowercase().contains("content-security-policy: default-src 'none'; script-src 'sha256-"),
        "{page}"
    );
}

/// Connects to the pages and sends a part of a request, or nothing.
fn stalled(pages: &str, part: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(pages).unwrap();
    stream.write_all(part).unwrap();
    stream
}

#[test]
fn slow_askers_delay_nobody() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let mut stalled: Vec<_> = (0..100).map(|n| stalled(&pages, &b"GET /status HTTP/1.1\r\nHost: "[..n % 28])).collect();
    assert_eq!(get(&pages, "/healthz", &[]).0, "200");
    // The oldest was displaced, well before its own time limit; the newest waits on.
    let (last, first) = (stalled.pop().unwrap(), &mut stalled[0]);
    first.set_read_timeout(Some(PATIENCE)).unwrap();
    let read = first.read(&mut [0; 1]);
    assert!(
        matches!(&read, Ok(0)) || read.as_ref().is_err_and(|error| error.kind() == ErrorKind::ConnectionReset),
        "{read:?}"
    );
    last.set_nonblocking(true).unwrap();
    assert_eq!((&last).read(&mut [0; 1]).unwrap_err().kind(), ErrorKind::WouldBlock);
}

/// A listener to `/events`.
struct Events {
    child: Child,
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Events {
    fn listen(pages: &str) -> Self {
        let mut child = Command::new("curl")
            .args(["--silent", "--no-buffer", "--max-time", "120", "--noproxy", "*", &format!("http://{pages}/events")])
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap()).lines();
        Self { child, lines }
    }

    /// Waits for a report of which `is` holds.
    fn wait_for(&mut self, is: impl Fn(&Value) -> bool) -> Value {
        let began = Instant::now();
        for line in self.lines.by_ref() {
            let line = line.unwrap();
            if let Some(text) = line.strip_prefix("data: ") {
                let report: Value = serde_json::from_str(text).unwrap();
                if is(&report) {
                    return report;
                }
            }
            assert!(began.elapsed() < PATIENCE, "the last line: {line}");
        }
        panic!("the stream has ended");
    }
}

impl Drop for Events {
    fn drop(&mut self) {
        // It may have ended by itself.
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

#[test]
fn events_tell_of_changes() {
    let (pki, echo) = (Pki::new("Root"), echo());
    let (program, pages) = gateway(&pki, &echo.to_string());
    let mut events = Events::listen(&pages);
    let first = events.wait_for(|_| true);
    assert_eq!(first["sessions"]["open"], 0);
    let (cert, key) = pki.issue("location-b", &[]);
    let mut client = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key)]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    let report = events.wait_for(|report| report["sessions"]["open"] == 1);
    assert_eq!(report["sessions"]["newest"][0]["peer"], "CN=location-b");
    drop(client);
    events.wait_for(|report| report["sessions"]["open"] == 0);
    // Eight may listen; further ones are sent to /status, and a place that is given up is free again.
    let others: Vec<_> = (0..7)
        .map(|_| {
            let mut events = Events::listen(&pages);
            events.wait_for(|_| true);
            events
        })
        .collect();
    let (code, text) = get(&pages, "/events", &[]);
    assert_eq!((code.as_str(), text.as_str()), ("503", "too many listeners: ask /status\n"));
    drop(others);
    program.wait_until("no place is free", |_| get(&pages, "/events", &["--max-time", "2"]).0 == "200");
}

/// curl tells an answer without its last chunk from a whole one: exit code 18.
#[test]
fn streams_of_events_end_whole_at_a_reload_and_at_the_end() {
    let (pki, echo) = (Pki::new("Root"), echo());
    let (program, pages) = gateway(&pki, &echo.to_string());
    for signal in ["HUP", "TERM"] {
        let mut events = Events::listen(&pages);
        events.wait_for(|_| true);
        program.signal(signal);
        assert_eq!(events.child.wait().unwrap().code(), Some(0), "SIG{signal}");
    }
    assert_eq!(program.wait(), Some(0));
}

#[test]
fn a_watched_gateway_that_goes_and_comes_back_is_shown() {
    let (pki, echo) = (Pki::new("Root"), echo());
    let (program, pages) = gateway(&pki, &echo.to_string());
    let watch = ["status", "--admin", &pages, "--watch", "--interval", "50ms"].map(str::to_owned);
    let mut child = Command::new(env!("CARGO_BIN_EXE_edgetrust")).args(watch).stdout(Stdio::piped()).spawn().unwrap();
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map(Result::unwrap);
    assert!(lines.any(|line| line.starts_with("all is well")));
    drop(program);
    assert!(lines.any(|line| line.starts_with("NO ANSWER: the gateway's pages at")));
    // Its reader leaves.
    drop(lines);
    let began = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(began.elapsed() < PATIENCE, "it goes on without a reader");
        std::thread::sleep(Duration::from_millis(20));
    }
}
