//! Tests the operator's pages.

use std::process::{Command, Stdio};

use serde_json::Value;

use super::peers::{OpensslClient, Program, edgetrust};
use super::pki::{Pki, arg, self_signed};
use super::serve::{let_in, serve};

/// Returns the address of the pages from the log.
pub fn pages(program: &Program) -> String {
    let line = program.wait_for("pages address=");
    line.split("address=").nth(1).unwrap().split(' ').next().unwrap().to_owned()
}

/// Returns the status code and text of a page.
pub fn get(pages: &str, path: &str, more: &[&str]) -> (String, String) {
    let output = Command::new("curl")
        .args(["--silent", "--max-time", "60", "--noproxy", "*", "--write-out", "\n%{http_code}"])
        .args(more)
        .arg(format!("http://{pages}{path}"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let said = String::from_utf8(output.stdout).unwrap();
    let (text, code) = said.rsplit_once('\n').unwrap();
    (code.to_owned(), text.to_owned())
}

/// Returns the sum of the samples that begin so: `name{tunnel="in"` is the sum over all other labels.
pub fn metric(pages: &str, name: &str) -> u64 {
    let (_, text) = get(pages, "/metrics", &[]);
    let lines: Vec<_> = text.lines().filter(|line| line.starts_with(name)).collect();
    assert!(!lines.is_empty(), "no {name} in {text}");
    lines.iter().map(|line| line.rsplit_once(' ').unwrap().1.parse::<u64>().unwrap()).sum()
}

#[test]
fn what_happens_is_counted() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b", "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    assert_eq!(get(&pages, "/healthz", &[]), ("200".to_owned(), "ok\n".to_owned()));
    assert_eq!(get(&pages, "/readyz", &[]), ("200".to_owned(), "ready\n".to_owned()));
    assert_eq!(get(&pages, "/else", &[]).0, "404");
    assert_eq!(get(&pages, "/metrics", &["--request", "POST"]).0, "405");

    let (cert, key) = pki.issue("location-b", &[]);
    let mut client = OpensslClient::start(program.address, &["-cert", &arg(&cert), "-key", &arg(&key)]);
    assert_eq!(client.ask("hello").as_deref(), Some("hello"));
    assert_eq!(metric(&pages, "edgetrust_sessions_open{tunnel=\"serve\""), 1);
    assert_eq!(metric(&pages, "edgetrust_connections_accepted_total{tunnel=\"serve\",rule=\"CN location-b\""), 1);
    let status: Value = serde_json::from_str(&get(&pages, "/status", &[]).1).unwrap();
    assert_eq!(status["tunnels"][0]["accepted_by_rule"]["CN location-b"], 1, "{status}");
    assert_eq!(metric(&pages, "edgetrust_bytes_total{tunnel=\"serve\",direction=\"up\"}"), 5);
    drop(client);
    program.wait_for("closed:");
    program.wait_until("still open", |_| metric(&pages, "edgetrust_sessions_open{tunnel=\"serve\"") == 0);
    assert_eq!(metric(&pages, "edgetrust_connections_accepted_total{tunnel=\"serve\""), 1);

    let (cert, key) = pki.issue("location-c", &[]);
    assert!(!let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    program.wait_for("refused:");
    program.wait_for("refused:");
    let refused = "edgetrust_connections_refused_total{tunnel=\"serve\",reason=\"peer\"}";
    program.wait_until("not counted", |_| metric(&pages, refused) == 2);

    // A bad file is reported until it is repaired.
    let good = std::fs::read(pki.path("gateway.pem")).unwrap();
    std::fs::write(pki.path("gateway.pem"), "garbage").unwrap();
    program.signal("HUP");
    program.wait_for("reload refused");
    assert_eq!(metric(&pages, "edgetrust_last_reload_refused"), 1);
    let status: Value = serde_json::from_str(&get(&pages, "/status", &[]).1).unwrap();
    assert!(status["reloads"]["last_refusal"].as_str().unwrap().contains("found no certificate"), "{status:#}");
    assert_eq!(status["reloads"]["last_taken"], Value::Null, "{status:#}");
    std::fs::write(pki.path("gateway.pem"), good).unwrap();
    program.signal("HUP");
    program.wait_for("reloaded");
    assert_eq!(metric(&pages, "edgetrust_last_reload_refused"), 0);
    let status: Value = serde_json::from_str(&get(&pages, "/status", &[]).1).unwrap();
    let (taken, now) = (&status["reloads"]["last_taken"], &status["now"]);
    assert!(
        taken.as_str().unwrap() <= now.as_str().unwrap() && taken.as_str() >= status["started"].as_str(),
        "{status:#}"
    );
    assert_eq!(metric(&pages, "edgetrust_connections_accepted_total{tunnel=\"serve\""), 1, "a reload forgets nothing");
}

#[test]
fn when_cas_pins_and_intermediates_end_is_told() {
    let (root, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    let end = time::OffsetDateTime::now_utc().replace_nanosecond(0).unwrap() + std::time::Duration::from_secs(864_000);
    let ca = root.intermediate_with("Location A CA", |params| {
        (params.not_before, params.not_after) = (end - std::time::Duration::from_secs(8_640_000), end);
    });
    let (cert, key) = ca.issue_chain("shown", &["gateway.example"]);
    let (pin, _) = self_signed(folder.path(), "location-b");
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--admin", "127.0.0.1:0"];
    let mut arguments: Vec<String> = fixed.iter().map(|text| (*text).to_owned()).collect();
    for (flag, file) in [("--cert", &cert), ("--key", &key), ("--cacert", &root.ca()), ("--cacert", &pin)] {
        arguments.extend([flag.to_owned(), arg(file)]);
    }
    arguments.extend(["--cacert".to_owned(), arg(&ca.ca()), "--known-intermediate".to_owned(), arg(&ca.ca())]);
    let program = Program::start(&arguments);
    let pages = pages(&program);
    let (_, text) = get(&pages, "/metrics", &[]);
    let value = |role: &str, subject: &str| {
        let labels = format!("{{role=\"{role}\",used_by=\"tunnel\",tunnel=\"serve\",subject=\"{subject}\",serial=");
        let name = format!("edgetrust_certificate_expiration_timestamp_seconds{labels}");
        let line = text.lines().find(|line| line.starts_with(&name)).unwrap_or_else(|| panic!("no {name} in {text}"));
        line.rsplit_once(' ').unwrap().1.parse::<i64>().unwrap()
    };
    let end = end.unix_timestamp();
    for role in ["ca", "known_intermediate", "intermediate"] {
        assert_eq!(value(role, "CN=Location A CA"), end, "{role}");
    }
    assert!(value("ca", "CN=Root") > end);
    assert!(value("pin", "CN=location-b") < end);
    let status: Value = serde_json::from_str(&get(&pages, "/status", &[]).1).unwrap();
    let told = status["tunnels"][0]["authorities"].as_array().unwrap();
    let soon = |subject: &str| told.iter().find(|one| one["subject"] == subject).unwrap()["ends_soon"].clone();
    assert_eq!((soon("CN=Location A CA"), soon("CN=Root")), (true.into(), false.into()), "{told:#?}");
}

#[test]
fn intermediates_that_peers_show_are_told_of_once_they_are_let_in() {
    let root = Pki::new("Root");
    let [ca, other] = ["Location B CA", "Location C CA"].map(|name| root.intermediate(name));
    let program = serve(&root, &["--cacert", &arg(&root.ca()), "--allow-cn", "location-b", "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let told = || {
        let (_, text) = get(&pages, "/metrics", &[]);
        let name = "edgetrust_certificate_expiration_timestamp_seconds{role=\"peer_intermediate\"";
        let lines = text.lines().filter(|line| line.starts_with(name)).map(str::to_owned);
        lines.collect::<Vec<_>>()
    };
    let is_let_in = |ca: &Pki, name: &str| {
        let (cert, key) = ca.issue_chain(name, &[]);
        let arguments = ["-cert", &arg(&cert), "-key", &arg(&key), "-cert_chain", &arg(&cert)];
        OpensslClient::start(program.address, &arguments).ask("hello").is_some()
    };
    // Nothing is recorded of a peer whose name is not on the list.
    assert!(!is_let_in(&other, "location-c"));
    assert_eq!(told(), Vec::<String>::new());
    assert!(is_let_in(&ca, "location-b") && is_let_in(&ca, "location-b"));
    let told = told();
    assert_eq!(told.len(), 1, "{told:?}");
    assert!(told[0].contains("tunnel=\"serve\"") && told[0].contains("subject=\"CN=Location B CA\""), "{told:?}");
}

#[test]
fn a_ca_that_ends_soon_is_warned_of_at_the_start() {
    let pki = Pki::new("Root");
    let now = time::OffsetDateTime::now_utc();
    let day = std::time::Duration::from_secs(24 * 3600);
    let ca = pki.intermediate_with("Location B CA", |params| {
        (params.not_before, params.not_after) = (now - day * 300, now + day);
    });
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let [cert, key, ca] = [cert, key, ca.ca()].map(|file| arg(&file));
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:9"];
    let program = Program::start_quietly(
        &[&fixed[..], &["--cert", &cert, "--key", &key, "--cacert", &ca]]
            .concat()
            .iter()
            .map(|text| (*text).to_owned())
            .collect::<Vec<_>>(),
    );
    let said = program.wait_for("CN=Location B CA ends at");
    assert!(said.contains("WARN"), "{said}");
}

#[test]
fn an_expired_certificate_is_not_ready() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue_with("gateway", &["gateway.example"], |params| {
        params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    });
    let arguments = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--target",
        "127.0.0.1:1",
        "--cert",
        &arg(&cert),
        "--key",
        &arg(&key),
        "--admin",
        "127.0.0.1:0",
    ];
    let program = Program::start(&arguments.map(str::to_owned));
    let pages = pages(&program);
    let (code, why) = get(&pages, "/readyz", &[]);
    assert_eq!(
        (code.as_str(), why.as_str()),
        ("503", "tunnel serve: its certificate expired at 2020-01-01T00:00:00Z\n")
    );
    assert_eq!(get(&pages, "/healthz", &[]).0, "200");
    let expires =
        metric(&pages, "edgetrust_certificate_expiration_timestamp_seconds{role=\"server\",used_by=\"tunnel\"");
    assert_eq!(expires, 1_577_836_800);
}

#[test]
fn a_taken_address_is_named() {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let output = edgetrust(&[
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--target",
        "127.0.0.1:1",
        "--cert",
        &arg(&cert),
        "--key",
        &arg(&key),
        "--admin",
        &address,
    ]);
    let said = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{said}");
    assert!(said.contains(&format!("cannot listen on {address}")), "{said}");
}
