//! Tests admission by chains, pinned certificates and resumed sessions, including the cases of SemStreams' own tests.

use std::process::{Command, Stdio};

use super::peers::{OpensslClient, Program, http};
use super::pki::{Pki, arg, self_signed};
use super::serve::{issued, let_in, serve, serve_before};

#[test]
fn a_pinned_self_signed_pair_trusts_each_other() {
    let (pki, folder) = (Pki::new("Root"), tempfile::tempdir().unwrap());
    // Two sites without a CA: each is the other's trust anchor.
    let (cert, key) = self_signed(folder.path(), "location-b");
    let program = serve(&pki, &["--cacert", &arg(&cert), "--allow-cn", "location-b"]);
    assert!(let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    let elsewhere = tempfile::tempdir().unwrap();
    let (twin, twin_key) = self_signed(elsewhere.path(), "location-b");
    assert!(!let_in(&program, &pki, Some((&arg(&twin), &arg(&twin_key)))), "the same name, another key");
}

#[test]
fn a_chain_may_come_with_the_client_or_be_known() {
    let pki = Pki::new("Root");
    let intermediate = pki.intermediate("Location B CA");
    let (leaf, leaf_key) = issued(&intermediate, "alone", &[]);
    let (chain, chain_key) = intermediate.issue_chain("with-chain", &[]);
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    assert!(!let_in(&program, &pki, Some((&leaf, &leaf_key))));
    assert!(let_in_with_chain(&program, &pki, &arg(&chain), &arg(&chain_key)));
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--known-intermediate", &arg(&intermediate.ca())]);
    assert!(let_in(&program, &pki, Some((&leaf, &leaf_key))));
    let (other, other_key) = issued(&Pki::new("Other").intermediate("Location B CA"), "alone", &[]);
    assert!(!let_in(&program, &pki, Some((&other, &other_key))), "a known intermediate is no anchor of its name");
}

/// Returns whether a client with a chain is admitted: `-cert` sends the leaf alone, `-cert_chain` the rest of the
/// file.
fn let_in_with_chain(program: &Program, pki: &Pki, chain: &str, key: &str) -> bool {
    let ca = arg(&pki.ca());
    ["-tls1_2", "-tls1_3"].iter().all(|version| {
        let arguments = [version, "-CAfile", &ca, "-cert", chain, "-key", key, "-cert_chain", chain];
        OpensslClient::start(program.address, &arguments).ask("hello").is_some()
    })
}

#[test]
fn an_intermediate_can_be_the_anchor() {
    let pki = Pki::new("Root");
    let (b, c) = (pki.intermediate("Location B CA"), pki.intermediate("Location C CA"));
    let program = serve(&pki, &["--cacert", &arg(&b.ca())]);
    let (cert, key) = issued(&b, "location-b", &[]);
    assert!(let_in(&program, &pki, Some((&cert, &key))));
    let (cert, key) = issued(&c, "location-c", &[]);
    assert!(!let_in(&program, &pki, Some((&cert, &key))));
}

#[test]
fn a_ca_is_no_client() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    let (cert, key) = pki.issue_with("sub-ca", &[], |params| {
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Constrained(0));
    });
    assert!(!let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    program.wait_for("a CA certificate as a peer's own");
}

#[test]
fn not_yet_valid_is_refused() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    let (cert, key) = pki.issue_with("early", &[], |params| params.not_before = rcgen::date_time_ymd(2300, 1, 1));
    assert!(!let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    program.wait_for("valid only from 2300-01-01T00:00:00Z");
}

/// Runs `curl` against a gateway; returns its exit code and output.
fn curl(program: &Program, arguments: &[&str]) -> (Option<i32>, String) {
    let port = program.address.port();
    let output = Command::new("curl")
        .args(["--silent", "--show-error", "--max-time", "60", "--noproxy", "*"])
        .args(["--resolve", &format!("gateway.example:{port}:127.0.0.1")])
        .args(arguments)
        .arg(format!("https://gateway.example:{port}/"))
        .stdin(Stdio::null())
        .output()
        .unwrap();
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

#[test]
fn curl_speaks_http_through_the_gateway() {
    let pki = Pki::new("Root");
    let (ca, target) = (arg(&pki.ca()), http("hello from the service").to_string());
    let program = serve_before(&pki, &target, &["--cacert", &ca]);
    let (cert, key) = issued(&pki, "location-b", &[]);
    for version in ["--tlsv1.3", "--tls-max=1.2"] {
        let version: Vec<&str> = version.split('=').collect();
        let with = [&["--cacert", &ca, "--cert", &cert, "--key", &key][..], &version].concat();
        assert_eq!(curl(&program, &with), (Some(0), "hello from the service".to_owned()), "{version:?}");
        let without = [&["--cacert", &ca][..], &version].concat();
        let (code, answer) = curl(&program, &without);
        assert_ne!(code, Some(0));
        assert_eq!(answer, "");
    }
}

/// Returns whether `openssl s_client` resumed the session of a file, or `None` if it was refused.
pub fn resumed(program: &Program, version: &str, session: &[&str], client: (&str, &str)) -> Option<bool> {
    let mut child = Command::new("openssl")
        .args(["s_client", "-connect", &program.address.to_string(), version, "-cert", client.0, "-key", client.1])
        .args(session)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    // A line of Q ends the client after the previous line's answer, when the ticket has arrived.
    std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"hello\n").unwrap();
    let mut lines =
        std::io::BufRead::lines(std::io::BufReader::new(child.stdout.take().unwrap())).map_while(Result::ok);
    let mut reused = None;
    for line in lines.by_ref() {
        match line.get(..5) {
            Some("New, ") => reused = Some(false),
            Some("Reuse") => reused = Some(true),
            Some("hello") => {
                std::io::Write::write_all(child.stdin.as_mut().unwrap(), b"Q\n").unwrap();
                for _ in lines.by_ref() {}
                child.wait().unwrap();
                return reused;
            }
            _ => {}
        }
    }
    child.wait().unwrap();
    None
}

#[test]
fn a_session_is_resumed_until_trust_changes() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let folder = tempfile::tempdir().unwrap();
    let trusted = arg(&folder.path().join("trusted.pem"));
    let (cert, key) = issued(&pki, "location-b", &[]);
    for version in ["-tls1_2", "-tls1_3"] {
        std::fs::copy(pki.ca(), &trusted).unwrap();
        let program = serve(&pki, &["--cacert", &trusted, "--watch-interval", "0s"]);
        let session = arg(&folder.path().join("session"));
        let client = (cert.as_str(), key.as_str());
        assert_eq!(resumed(&program, version, &["-sess_out", &session], client), Some(false));
        assert_eq!(resumed(&program, version, &["-sess_in", &session, "-sess_out", &session], client), Some(true));
        std::fs::copy(other.ca(), &trusted).unwrap();
        program.signal("HUP");
        program.wait_for("reloaded");
        assert_eq!(resumed(&program, version, &["-sess_in", &session], client), None, "{version}");
        program.wait_for("its issuer is neither");
    }
}
