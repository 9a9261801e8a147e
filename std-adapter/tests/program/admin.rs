//! Tests who may read the pages: over mutual TLS with an allow list of their own, at a Unix socket, and after a reload.

use std::process::{Command, Stdio};

use serde_json::{Value, json};

use super::pages::{get, pages};
use super::peers::{Program, echo, edgetrust};
use super::pki::{Pki, arg};

/// Writes the configuration of a gateway with these pages, and returns its file.
fn write(pki: &Pki, target: &str, admin: &Value) -> String {
    let (cert, key) = (pki.path("gateway.pem"), pki.path("gateway.key"));
    let config = json!({
        "security": {"tls": {"server": {
            "enabled": true, "cert_file": arg(&cert), "key_file": arg(&key),
            "mtls": {"enabled": true, "client_ca_files": [arg(&pki.ca())], "allowed_client_cns": ["location-b"]},
        }}},
        "gateway": {
            "tunnels": [{"name": "feed", "mode": "server", "listen": "127.0.0.1:0", "target": target}],
            "admin": admin,
        },
    });
    let file = pki.path("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    arg(&file)
}

/// Starts a gateway with these pages.
pub fn start(pki: &Pki, target: &str, admin: &Value) -> Program {
    pki.issue("gateway", &["gateway.example"]);
    let file = write(pki, target, admin);
    Program::start(&["run".to_owned(), "--config".to_owned(), file])
}

/// Returns the code of `/status` over TLS, "000" without an answer.
fn asked(pki: &Pki, pages: &str, client: Option<(&str, &str)>) -> String {
    let port = pages.rsplit_once(':').unwrap().1;
    let mut curl = Command::new("curl");
    curl.args([
        "--silent",
        "--max-time",
        "60",
        "--noproxy",
        "*",
        "--output",
        "/dev/null",
        "--write-out",
        "%{http_code}",
    ]);
    curl.args(["--connect-to", &format!("gateway.example:{port}:127.0.0.1:{port}"), "--cacert", &arg(&pki.ca())]);
    if let Some((cert, key)) = client {
        curl.args(["--cert", cert, "--key", key]);
    }
    let output = curl.arg(format!("https://gateway.example:{port}/status")).stdin(Stdio::null()).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

#[test]
fn over_mutual_tls_only_those_on_their_own_list_read() {
    let (pki, target) = (Pki::new("Root"), echo().to_string());
    let issued = |name: &str| {
        let (cert, key) = pki.issue(name, &[]);
        (arg(&cert), arg(&key))
    };
    let [operator, peer] = ["operator", "location-b"].map(issued);
    let tls = |cns: &[&str]| json!({"listen": "127.0.0.1:0", "hosts": ["gateway.example"], "tls": {"mtls": {"allowed_client_cns": cns}}});
    let program = start(&pki, &target, &tls(&["operator"]));
    let pages = pages(&program);
    assert_eq!(asked(&pki, &pages, Some((&operator.0, &operator.1))), "200");
    // A peer of the tunnels is no reader.
    assert_eq!(asked(&pki, &pages, Some((&peer.0, &peer.1))), "000");
    program.wait_for("pages: refused: the peer is not let in");
    assert_eq!(asked(&pki, &pages, None), "000");
    let port = pages.rsplit_once(':').unwrap().1;
    assert_ne!(get(&format!("127.0.0.1:{port}"), "/status", &[]).0, "200", "no plaintext");

    // The command asks in the same way.
    let ca = arg(&pki.ca());
    let status = |more: &[&str]| edgetrust(&[&["status", "--config", &arg(&pki.path("gateway.json"))], more].concat());
    let said = String::from_utf8(status(&[]).stderr).unwrap();
    assert!(said.contains("the pages ask for a certificate: expected --cert"), "{said}");
    let admin = ["status", "--admin", &pages, "--server-name", "gateway.example", "--cacert", &ca];
    let output = edgetrust(&[&admin[..], &["--cert", &operator.0, "--key", &operator.1]].concat());
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("all is well"), "{:?}", output.stderr);
    let output = edgetrust(&[&admin[..], &["--cert", &peer.0, "--key", &peer.1]].concat());
    assert_eq!(output.status.code(), Some(2));

    // A reload changes the readers at the same port.
    write(&pki, &target, &tls(&["location-b"]));
    program.signal("HUP");
    program.wait_for("reloaded");
    assert_eq!(asked(&pki, &pages, Some((&peer.0, &peer.1))), "200");
    assert_eq!(asked(&pki, &pages, Some((&operator.0, &operator.1))), "000");
}

#[test]
fn at_a_unix_socket_those_read_who_may_open_it() {
    let (pki, target) = (Pki::new("Root"), echo().to_string());
    let socket = pki.path("admin.sock");
    let listen = format!("unix:{}", arg(&socket));
    let program = start(&pki, &target, &json!({"listen": listen}));
    program.wait_for("pages address=unix:");
    let said = Command::new("curl")
        .args(["--silent", "--max-time", "60", "--unix-socket", &arg(&socket), "http://localhost/healthz"])
        .output()
        .unwrap();
    assert_eq!(String::from_utf8(said.stdout).unwrap(), "ok\n");
    let output = edgetrust(&["status", "--config", &arg(&pki.path("gateway.json"))]);
    assert!(String::from_utf8(output.stdout).unwrap().starts_with("all is well"), "{:?}", output.stderr);
}

#[test]
fn a_target_that_accepts_nothing_is_not_ready_where_that_is_asked_for() {
    let pki = Pki::new("Root");
    let free = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let target = free.local_addr().unwrap().to_string();
    let program = start(&pki, &target, &json!({"listen": "127.0.0.1:0", "check_targets": true}));
    let pages = pages(&program);
    assert_eq!(get(&pages, "/readyz", &[]), ("200".to_owned(), "ready\n".to_owned()));
    drop(free);
    let expected = format!("tunnel feed: its target {target} does not accept: ");
    program.wait_until("still ready", |_| {
        let (code, text) = get(&pages, "/readyz", &[]);
        code == "503" && text.starts_with(&expected)
    });
    assert_eq!(get(&pages, "/healthz", &[]).0, "200");
    let _listens = std::net::TcpListener::bind(&target).unwrap();
    program.wait_until("not ready", |_| get(&pages, "/readyz", &[]).0 == "200");
}
