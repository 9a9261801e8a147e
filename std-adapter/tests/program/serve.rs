//! Tests `edgetrust serve`: admission, reload, drain.

use std::io::Read;

use super::peers::{OpensslClient, Program, echo, edgetrust, served_certificate};
use super::pki::{Pki, arg};

/// Starts a server tunnel in front of an echo service, with a certificate for gateway.example.
pub fn serve(pki: &Pki, more: &[&str]) -> Program {
    serve_before(pki, &echo().to_string(), more)
}

/// Starts a server tunnel in front of this target, with a certificate for gateway.example.
pub fn serve_before(pki: &Pki, target: &str, more: &[&str]) -> Program {
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let mut arguments = vec!["serve".to_owned(), "--listen".into(), "127.0.0.1:0".into()];
    arguments.extend(["--target".into(), target.to_owned(), "--cert".into(), arg(&cert), "--key".into(), arg(&key)]);
    arguments.extend(more.iter().map(|argument| (*argument).to_owned()));
    Program::start(&arguments)
}

/// Returns whether a client with this certificate is admitted; both versions of TLS must agree.
pub fn let_in(program: &Program, pki: &Pki, client: Option<(&str, &str)>) -> bool {
    let ca = arg(&pki.ca());
    let verdicts = ["-tls1_2", "-tls1_3"].map(|version| {
        let mut arguments =
            vec![version, "-verify_return_error", "-CAfile", &ca, "-verify_hostname", "gateway.example"];
        if let Some((cert, key)) = client {
            arguments.extend(["-cert", cert, "-key", key]);
        }
        OpensslClient::start(program.address, &arguments).ask("hello").is_some_and(|answer| answer == "hello")
    });
    assert_eq!(verdicts[0], verdicts[1], "TLS 1.2 and 1.3 differ");
    verdicts[0]
}

pub fn issued(pki: &Pki, cn: &str, dns: &[&str]) -> (String, String) {
    let (cert, key) = pki.issue(cn, dns);
    (arg(&cert), arg(&key))
}

#[test]
fn the_rule_that_let_a_client_in_is_in_the_log() {
    let pki = Pki::new("Root");
    let allowed = ["--allow-cn", "location-a", "--allow-dns", "b.example"];
    let program = serve(&pki, &[&["--cacert", &arg(&pki.ca())], &allowed[..]].concat());
    for (cn, dns, rule) in [("location-a", "a.example", "CN location-a"), ("location-b", "b.example", "DNS b.example")]
    {
        let (cert, key) = issued(&pki, cn, &[dns]);
        let mut client = OpensslClient::start(program.address, &["-cert", &cert, "-key", &key]);
        assert_eq!(client.ask("hello").as_deref(), Some("hello"));
        drop(client);
        for event in [" open ", "closed: "] {
            let line = program.wait_for(event);
            assert!(line.contains(&format!("rule={rule}")), "{line}");
        }
    }
}

#[test]
fn without_a_ca_no_client_certificate_is_asked_for() {
    let pki = Pki::new("Root");
    assert!(let_in(&serve(&pki, &[]), &pki, None));
}

#[test]
fn with_a_ca_a_client_certificate_is_required() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    let (cert, key) = issued(&pki, "location-b", &[]);
    assert!(let_in(&program, &pki, Some((&cert, &key))));
    assert!(!let_in(&program, &pki, None));
}

#[test]
fn an_optional_certificate_is_still_judged() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--client-auth", "optional"]);
    let (cert, key) = issued(&other, "location-b", &[]);
    assert!(let_in(&program, &pki, None));
    assert!(!let_in(&program, &pki, Some((&cert, &key))));
    program.wait_for("its issuer is neither a configured CA nor among the intermediates");
}

#[test]
fn common_names_are_compared_whole() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-cn", "location-b"]);
    let (b, b_key) = issued(&pki, "location-b", &[]);
    let (bb, bb_key) = issued(&pki, "location-bb", &[]);
    assert!(let_in(&program, &pki, Some((&b, &b_key))));
    assert!(!let_in(&program, &pki, Some((&bb, &bb_key))));
    program.wait_for("not on the allow list");
}

#[test]
fn dns_names_and_uris_can_be_allowed() {
    let pki = Pki::new("Root");
    let program =
        serve(&pki, &["--cacert", &arg(&pki.ca()), "--allow-dns", "b.example", "--allow-uri", "spiffe://mesh/b"]);
    let (dns, dns_key) = issued(&pki, "one", &["b.example"]);
    let (uri, uri_key) = pki.issue_with("two", &[], |params| {
        params.subject_alt_names = vec![rcgen::SanType::URI("spiffe://mesh/b".try_into().unwrap())];
    });
    let (neither, neither_key) = issued(&pki, "three", &["c.example"]);
    assert!(let_in(&program, &pki, Some((&dns, &dns_key))));
    assert!(let_in(&program, &pki, Some((&arg(&uri), &arg(&uri_key)))));
    assert!(!let_in(&program, &pki, Some((&neither, &neither_key))));
}

/// Issues a certificate with this iPAddress.
fn at(pki: &Pki, cn: &str, address: &str) -> (String, String) {
    let (cert, key) = pki.issue_with(cn, &[], |params| {
        params.subject_alt_names = vec![rcgen::SanType::IpAddress(address.parse().unwrap())];
    });
    (arg(&cert), arg(&key))
}

#[test]
fn ip_addresses_of_certificates_can_be_allowed() {
    let pki = Pki::new("Root");
    let flags = ["--cacert", &arg(&pki.ca()), "--allow-ip", "192.0.2.7", "--allow-ip", "2001:db8::7"];
    let program = serve(&pki, &flags);
    for (cn, address, expected) in [
        ("four", "192.0.2.7", true),
        ("six", "2001:db8:0:0::7", true),
        ("other", "192.0.2.8", false),
        ("mapped", "::ffff:192.0.2.7", false),
        ("loopback", "127.0.0.1", false),
    ] {
        let (cert, key) = at(&pki, cn, address);
        assert_eq!(let_in(&program, &pki, Some((&cert, &key))), expected, "{address}");
    }
}

#[test]
fn an_address_that_no_certificate_has_is_misuse() {
    for address in ["b.example", "192.0.2.0/24", "::ffff:192.0.2.7", "192.0.2.7:443", ""] {
        let fixed = ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", "c", "--key", "k"];
        let output = edgetrust(&[&fixed[..], &["--cacert", "ca", "--allow-ip", address]].concat());
        assert_eq!(output.status.code(), Some(2), "{address}");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(said.contains("--allow-ip"), "{address}: {said}");
    }
}

#[test]
fn the_wrong_purpose_and_an_expired_certificate_are_refused() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--cacert", &arg(&pki.ca())]);
    let (cert, key) = pki.issue_with("server-only", &[], |params| {
        params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth];
    });
    assert!(!let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    program.wait_for("extended key usage does not allow this purpose");
    let (cert, key) = pki.issue_with("expired", &[], |params| params.not_after = rcgen::date_time_ymd(2020, 1, 1));
    assert!(!let_in(&program, &pki, Some((&arg(&cert), &arg(&key)))));
    program.wait_for("expired at 2020-01-01T00:00:00Z");
}

#[test]
fn min_version_is_honoured() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &["--min-version", "1.3"]);
    assert_eq!(OpensslClient::start(program.address, &["-tls1_2"]).ask("x"), None);
    assert_eq!(OpensslClient::start(program.address, &["-tls1_3"]).ask("x").as_deref(), Some("x"));
}

#[test]
fn a_reload_serves_the_new_certificate_and_keeps_old_connections() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &[]);
    let mut old = OpensslClient::start(program.address, &[]);
    assert_eq!(old.ask("before").as_deref(), Some("before"));
    let before = served_certificate(program.address, &[]);
    pki.issue("gateway", &["gateway.example"]);
    program.signal("HUP");
    program.wait_for("reloaded");
    assert_ne!(served_certificate(program.address, &[]), before);
    assert_eq!(old.ask("after").as_deref(), Some("after"));
}

#[test]
fn a_bad_reload_keeps_the_last_good_and_names_the_file() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &[]);
    let before = served_certificate(program.address, &[]);
    std::fs::write(pki.path("gateway.pem"), "garbage").unwrap();
    program.signal("HUP");
    let line = program.wait_for("reload refused");
    assert!(line.contains("gateway.pem: found no certificate"), "{line}");
    assert_eq!(served_certificate(program.address, &[]), before);
}

#[test]
fn sigterm_lets_connections_end() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &[]);
    let mut client = OpensslClient::start(program.address, &[]);
    assert_eq!(client.ask("one").as_deref(), Some("one"));
    program.signal("TERM");
    program.wait_for("draining");
    assert_eq!(client.ask("two").as_deref(), Some("two"));
    drop(client);
    assert_eq!(program.wait(), Some(0));
}

#[test]
fn systemd_is_told() {
    let pki = Pki::new("Root");
    let socket = pki.path("notify.sock");
    let systemd = std::os::unix::net::UnixDatagram::bind(&socket).unwrap();
    systemd.set_read_timeout(Some(super::peers::PATIENCE)).unwrap();
    let heard = || {
        let mut octets = [0; 256];
        let length = systemd.recv(&mut octets).unwrap();
        String::from_utf8(octets[..length].to_vec()).unwrap()
    };
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let arguments =
        ["serve", "--listen", "127.0.0.1:0", "--target", "127.0.0.1:1", "--cert", &arg(&cert), "--key", &arg(&key)];
    let program = Program::start_in(&arguments.map(str::to_owned), &[("NOTIFY_SOCKET", &arg(&socket))]);
    assert_eq!(heard(), "READY=1\n");
    program.signal("HUP");
    let reloading = heard();
    assert!(reloading.starts_with("RELOADING=1\nMONOTONIC_USEC="), "{reloading}");
    assert_eq!(heard(), "READY=1\n");
    program.signal("TERM");
    assert_eq!(heard(), "STOPPING=1\n");
    assert_eq!(program.wait(), Some(0));
}

#[test]
fn plaintext_is_refused_and_the_rest_goes_on() {
    let pki = Pki::new("Root");
    let program = serve(&pki, &[]);
    let mut stream = std::net::TcpStream::connect(program.address).unwrap();
    std::io::Write::write_all(&mut stream, b"GET / HTTP/1.1\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    program.wait_for("refused:");
    assert!(let_in(&program, &pki, None));
}

#[test]
fn wrong_use_ends_with_2_and_a_reason() {
    let (pki, other) = (Pki::new("Root"), Pki::new("Other"));
    let (cert, _) = issued(&pki, "gateway", &[]);
    let (_, key) = issued(&other, "other", &[]);
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().to_string();
    let (_, right_key) = issued(&pki, "gateway", &[]);
    for (listen, target, key, reason) in [
        ("127.0.0.1:0", "127.0.0.1:1", key.as_str(), "the private key does not match the first certificate"),
        ("127.0.0.1:0", "192.0.2.1:1", right_key.as_str(), "--unsafe-target allows it"),
        ("127.0.0.1:0", "127.0.0.1:1", "/nonexistent.key", "/nonexistent.key: cannot be read"),
        (port.as_str(), "127.0.0.1:1", right_key.as_str(), "cannot listen on"),
    ] {
        let output = edgetrust(&["serve", "--listen", listen, "--target", target, "--cert", &cert, "--key", key]);
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(reason), "{stderr}");
    }
}
