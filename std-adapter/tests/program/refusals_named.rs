//! Tests that a refusal names the peer's certificate, in the log and at `/status`.

use std::path::PathBuf;
use std::process::Command;

use serde_json::Value;

use super::pages::{get, pages};
use super::peers::{OpensslClient, Program};
use super::pki::{Pki, arg};
use super::serve::{issued, let_in, serve};

/// Returns the SHA-256 of the SubjectPublicKeyInfo, computed by openssl.
pub fn key_hash(cert: &str) -> String {
    let commands = format!(
        "openssl x509 -in '{cert}' -noout -pubkey | openssl pkey -pubin -outform DER | openssl dgst -sha256 -r"
    );
    let output = Command::new("sh").args(["-ec", &commands]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

fn refusals(pages: &str) -> Vec<Value> {
    let status: Value = serde_json::from_str(&get(pages, "/status", &[]).1).unwrap();
    status["refusals"].as_array().unwrap().clone()
}

#[test]
fn a_refused_certificate_is_named_in_the_log_and_on_the_page() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let more = ["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b", "--admin", "127.0.0.1:0"];
    let program = serve(&pki, &[&more[..], &["--log-format", "text"]].concat());
    let pages = pages(&program);
    for (issuer, root, cn, why) in [
        (&pki, "Root", "location-c", "not on the allow list"),
        (&other, "Other", "location-b", "its issuer is neither a configured CA"),
    ] {
        let (cert, key) = issued(issuer, cn, &["c.example"]);
        assert!(!let_in(&program, &pki, Some((&cert, &key))));
        let hash = key_hash(&cert);
        for _version in ["1.2", "1.3"] {
            let line = program.wait_for(why);
            for said in [&format!("CN={cn}"), "DNS=c.example", &format!("CN={root}"), "serial=", &hash] {
                assert!(line.contains(said), "{said}: {line}");
            }
        }
        let all = refusals(&pages);
        let last = &all[0];
        assert_eq!(last["count"], 2, "{last}");
        assert_eq!((&last["tunnel"], &last["kind"]), (&"serve".into(), &"peer".into()));
        assert!(last["reason"].as_str().unwrap().contains(why), "{last}");
        let certificate = &last["certificate"];
        assert_eq!(certificate["subject"], format!("CN={cn}"));
        assert_eq!(certificate["issuer"], format!("CN={root}"));
        assert_eq!(certificate["spki_sha256"], hash);
    }
}

#[test]
fn a_long_name_is_cut_and_its_control_characters_are_escaped() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b", "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let names: Vec<_> = (0..500).map(|number| format!("{number}.example")).collect();
    let names: Vec<_> = names.iter().map(String::as_str).collect();
    let (cert, key) = pki.issue_with("hostile", &names, |params| {
        params.distinguished_name.push(rcgen::DnType::OrganizationName, format!("\u{1b}[2J\n{}", "x".repeat(5_000)));
    });
    assert!(!let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    let line = program.wait_for("refused: ");
    assert!(line.contains("CN=hostile") && !line.contains('\u{1b}'), "{line}");
    assert!(line.len() < 2_000, "{line}");
    let last = &refusals(&pages)[0];
    let certificate = &last["certificate"];
    assert_eq!(certificate["names"], "DNS=0.example,DNS=1.example,DNS=2.example,DNS=3.example,…");
    let subject = certificate["subject"].as_str().unwrap();
    assert!(subject.ends_with('…') && !subject.contains(char::is_control), "{subject}");
}

#[test]
fn repeats_are_counted_and_name_nobody_where_nothing_was_shown() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    for _ in 0..3 {
        let mut stream = std::net::TcpStream::connect(program.address).unwrap();
        // The gateway may reset the connection first.
        let _ = std::io::Write::write_all(&mut stream, b"GET / HTTP/1.0\r\n\r\n");
        program.wait_for("refused: ");
    }
    let all = refusals(&pages);
    assert_eq!((all.len(), &all[0]["count"]), (1, &3.into()), "{all:?}");
    assert_eq!(all[0]["certificate"], Value::Null);
}

#[test]
fn a_stranger_with_fresh_keys_pushes_out_no_peer_that_an_operator_wants_to_see() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b", "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let knock = |from: &str, (cert, key): (PathBuf, PathBuf)| {
        let arguments = ["-bind", from, "-cert", &arg(&cert), "-key", &arg(&key)];
        assert_eq!(OpensslClient::start(program.address, &arguments).ask("hello"), None);
    };
    let of = |subject: &str| refusals(&pages).iter().filter(|one| one["certificate"]["subject"] == subject).count();
    // A peer that is not on the list, and one with an expired certificate, which anybody could forge.
    knock("127.0.0.1:0", pki.issue("location-c", &[]));
    let ended = |params: &mut rcgen::CertificateParams| params.not_after = rcgen::date_time_ymd(2020, 1, 1);
    knock("127.0.0.2:0", pki.issue_with("location-d", &[], ended));
    program.wait_until("both are noted", |_| of("CN=location-c") == 1 && of("CN=location-d") == 1);
    let stranger = Pki::new("Stranger");
    for _ in 0..70 {
        knock("127.0.0.1:0", stranger.issue("stranger", &[]));
    }
    program.wait_until("the page is full", |_| of("CN=stranger") == 62);
    assert_eq!((of("CN=location-c"), of("CN=location-d")), (1, 1));
}

/// Adds one extension twice: openssl shows such a certificate, and the core does not parse it (RFC 5280 section 4.2).
pub fn broken(params: &mut rcgen::CertificateParams) {
    let extension = || rcgen::CustomExtension::from_oid_content(&[1, 3, 6, 1, 4, 1, 32473, 1], vec![0x05, 0x00]);
    params.custom_extensions = vec![extension(), extension()];
}

/// Returns the SHA-256 of the certificate, computed by openssl.
pub fn certificate_hash(cert: &str) -> String {
    let commands = format!("openssl x509 -in '{cert}' -outform DER | openssl dgst -sha256 -r");
    let output = Command::new("sh").args(["-ec", &commands]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().split(' ').next().unwrap().to_owned()
}

#[test]
fn a_certificate_that_does_not_parse_is_named_by_its_hash() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--admin", "127.0.0.1:0"]);
    let pages = pages(&program);
    let (cert, key) = pki.issue_with("location-b", &[], broken);
    let (cert, key) = (arg(&cert), arg(&key));
    assert!(!let_in(&program, &pki, Some((&cert, &key))));
    let line = program.wait_for("refused: the peer's certificate at byte ");
    assert!(line.contains("the same extension twice"), "{line}");
    assert!(line.contains(&certificate_hash(&cert)) && !line.contains("subject="), "{line}");
    let last = &refusals(&pages)[0];
    assert_eq!(last["certificate"], serde_json::json!({"certificate_sha256": certificate_hash(&cert)}));
}

#[test]
fn a_certificate_of_the_chain_that_does_not_parse_is_named_where_the_issuer_is_missing() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    let broken = pki.intermediate_with("Location B CA", broken);
    let (cert, key) = broken.issue_chain("location-b", &[]);
    let (cert, key) = (arg(&cert), arg(&key));
    for version in ["-tls1_2", "-tls1_3"] {
        let arguments = [version, "-cert", &cert, "-key", &key, "-cert_chain", &cert];
        assert_eq!(OpensslClient::start(program.address, &arguments).ask("hello"), None);
        let line = program.wait_for("its issuer is neither a configured CA nor among the intermediates");
        assert!(line.contains("; certificate 3 of 3 does not parse, and is passed over: at byte "), "{line}");
        assert!(line.contains("the same extension twice"), "{line}");
    }
    // If a path is found without it, or fails for another reason, the malformed certificate is not mentioned.
    let good = pki.issue_with("location-c", &[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    let (cert, key) = (arg(&good.0), arg(&good.1));
    let arguments = ["-cert", &cert, "-key", &key, "-cert_chain", &arg(&broken.ca())];
    assert_eq!(OpensslClient::start(program.address, &arguments).ask("hello"), None);
    let line = program.wait_for("refused: the peer's certificate: expired");
    assert!(!line.contains("does not parse"), "{line}");
    let good = issued(&pki, "location-d", &[]);
    let arguments = ["-cert", &good.0, "-key", &good.1, "-cert_chain", &arg(&broken.ca())];
    assert!(OpensslClient::start(program.address, &arguments).ask("hello").is_some());
}

#[test]
fn a_log_of_json_has_the_same_fields() {
    let pki = Pki::new("Root");
    let (cert, key) = issued(&pki, "gateway", &["gateway.example"]);
    let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:9", "--log-format", "json"];
    let more = ["--cert", &cert, "--key", &key, "--cacert", &arg(&pki.ca()), "--allow-cn", "location-b"];
    let arguments: Vec<String> = [&fixed[..], &more].concat().iter().map(|text| (*text).to_owned()).collect();
    let program = Program::start_quietly(&arguments);
    let next = |message: &str| -> Value { serde_json::from_str(&program.wait_for(message)).unwrap() };
    let address = next("\"message\":\"listening\"")["address"].as_str().unwrap().parse().unwrap();
    let (cert, key) = issued(&pki, "location-c", &["c.example"]);
    assert_eq!(OpensslClient::start(address, &["-cert", &cert, "-key", &key]).ask("x"), None);
    let line = next("refused: ");
    assert_eq!(line["level"], "WARN");
    let fields = [("subject", "CN=location-c"), ("names", "DNS=c.example"), ("issuer", "CN=Root"), ("tunnel", "serve")];
    for (name, text) in fields {
        assert_eq!(line[name], text, "{line}");
    }
    assert_eq!(line["spki_sha256"], key_hash(&cert));
    assert!(line["serial"].is_string() && line.get("certificate_sha256").is_none(), "{line}");
}
