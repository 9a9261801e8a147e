//! The likeliest mistakes of somebody who is new to it: each message names the place, what was found and what to do.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;

use super::peers::{Program, edgetrust};
use super::pki::{Pki, arg};

const CONFIGURATION: &str = r#"{
  "security": {"tls": {"server": {
    "enabled": true, "cert_file": "a.pem", "key_file": "a.key",
    "mtls": {"enabled": true, "client_ca_files": ["ca.pem"], "allowed_client_dns": ["b.example"]}
  }}},
  "gateway": {"tunnels": [
    {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": "127.0.0.1:8081"}
  ]}
}
"#;

fn pki() -> Pki {
    let pki = Pki::new("Root");
    pki.issue("a", &["a.example"]);
    std::fs::set_permissions(pki.path("a.key"), std::fs::Permissions::from_mode(0o600)).unwrap();
    pki
}

/// Runs a command with the configuration changed; returns its code and what it says.
fn said(pki: &Pki, command: &str, from: &str, to: &str) -> (i32, String) {
    assert!(CONFIGURATION.contains(from), "{from}");
    let file = pki.path("gateway.json");
    std::fs::write(&file, CONFIGURATION.replacen(from, to, 1)).unwrap();
    let output = edgetrust(&[command, "--config", &arg(&file)]);
    let said = [&output.stdout[..], &output.stderr].map(|text| String::from_utf8_lossy(text).into_owned()).concat();
    (output.status.code().unwrap(), said)
}

#[test]
fn what_cannot_be_read_is_named_with_its_place_and_the_remedy() {
    let pki = pki();
    for (from, to, expected) in [
        (
            "\"cert_file\"",
            "\"cert_fle\"",
            ":3:22: security.tls.server.cert_fle: found \"cert_fle\", expected a known key; did you mean \"cert_file\"?",
        ),
        ("\"a.pem\", ", "\"a.pem\" ", ":3:43: security.tls.server: found \"key_file\", expected , or }"),
        ("\"127.0.0.1:8081\"}", "\"127.0.0.1:8081\",}", "expected a key in quotes: remove the comma before it"),
        ("\"b.example\"]", "\"b.example\", ]", "expected text in quotes: remove the comma before it"),
        ("8081\"}\n  ]}\n}\n", "8081\"}", ": found the end of the file, expected , or ]"),
        (
            "\"server\", \"listen\"",
            "\"sever\", \"listen\"",
            "gateway.tunnels[0].mode: found \"sever\", expected \"server\" or \"client\"",
        ),
        ("127.0.0.1:0", "8443", "gateway.tunnels[0].listen: found \"8443\", expected ADDRESS:PORT"),
        ("127.0.0.1:8081", "10.0.0.5:8081", "expected a loopback address or unix:PATH, or allow_remote_plaintext true"),
    ] {
        for command in ["check", "run"] {
            let (code, said) = said(&pki, command, from, to);
            assert!(code == 2 && said.contains(expected), "{command}, {to}: {said}");
        }
    }
}

#[test]
fn files_that_do_not_fit_are_named() {
    let pki = pki();
    pki.issue("b", &["b.example"]);
    for (from, to, expected) in [
        (
            "\"a.pem\", \"key_file\": \"a.key\"",
            "\"a.key\", \"key_file\": \"a.pem\"",
            "a.key: found no certificate but PRIVATE KEY on line 1, expected PEM with BEGIN CERTIFICATE",
        ),
        ("a.key", "b.key", "b.key: the private key does not match the first certificate of"),
        ("ca.pem", "root.pem", "root.pem: cannot be read: No such file"),
    ] {
        for (command, expected_code) in [("check", 1), ("run", 2)] {
            let (code, said) = said(&pki, command, from, to);
            assert!(code == expected_code && said.contains(expected), "{command}, {to}: {code}, {said}");
        }
    }
    std::fs::set_permissions(pki.path("a.key"), std::fs::Permissions::from_mode(0o644)).unwrap();
    let (_, said) = said(&pki, "check", "a.key", "a.key");
    assert!(said.contains("a.key: mode 644 lets others use the private key, expected 600"), "{said}");
}

#[test]
fn a_port_that_is_taken_is_named() {
    let pki = pki();
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    let (code, said) = said(&pki, "run", "127.0.0.1:0", &address);
    let expected = format!("tunnel in: cannot listen on {address}: Address already in use");
    assert!(code == 2 && said.contains(&expected), "{code}, {said}");
}

/// A gateway starts with such a certificate, since another may come by a reload, and says that peers refuse it.
#[test]
fn an_own_certificate_out_of_its_time_is_warned_of_at_the_start() {
    for (years, in_check, in_log) in [
        ((2020, 2021), "expired at 2021-01-01T00:00:00Z, and it is ", "expired at 2021-01-01T00:00:00Z, and it is "),
        (
            (4000, 4001),
            "is not valid before 4000-01-01T00:00:00Z, and it is ",
            "valid only from 4000-01-01T00:00:00Z, and it is ",
        ),
    ] {
        let pki = pki();
        pki.issue_with("a", &["a.example"], |params| {
            params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
            params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        });
        let (code, said) = said(&pki, "check", "a.pem", "a.pem");
        assert!(code == 1 && said.contains(in_check), "{said}");
        let file = arg(&pki.path("gateway.json"));
        let program = Program::start_quietly(&["run".to_owned(), "--config".to_owned(), file]);
        let line = program.wait_for(in_log);
        assert!(line.contains("WARN") && line.contains("a.pem: ") && line.contains(": peers refuse it"), "{line}");
    }
}

#[test]
fn a_gateway_without_pages_is_told_how_to_have_them() {
    let (code, said) = said(&pki(), "status", "a.pem", "a.pem");
    assert!(code == 2 && said.contains(r#"such as "admin": {"listen": "127.0.0.1:9090"} in "gateway""#), "{said}");
}

/// A file that does not parse is when the running gateway is asked.
#[test]
fn a_status_whose_file_is_broken_names_the_way_without_it() {
    let (code, said) = said(&pki(), "status", "\"cert_file\"", "\"cert_fle\"");
    assert!(code == 2 && said.contains("; --admin ADDRESS asks the running gateway without this file"), "{said}");
}
