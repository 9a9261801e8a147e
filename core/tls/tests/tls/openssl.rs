//! openssl, the program.

use std::process::Command;

use edgetrust_core::identity::Denied;
use edgetrust_tls::{Alert, CipherSuite, Error, Fault, Refusal};

use super::drive::Setup;
use super::pki::{GATEWAY, Pki};
use super::programs::{Files, LABEL, Listener, Program, call, call_in_vain, hex, name, talk};

/// Returns a command of openssl, with its certificate, the root, and what else is asked for.
fn openssl(files: &Files, command: &str, identity: Option<&str>, arguments: &[&str]) -> Command {
    let mut program = Command::new("openssl");
    program.current_dir(&files.folder).arg(command).args(["-CAfile", "root.pem", "-verify_return_error"]);
    if let Some(identity) = identity {
        for (option, ending) in [("-cert", "leaf.pem"), ("-cert_chain", "rest.pem"), ("-key", "key")] {
            program.arg(option).arg(format!("{identity}.{ending}"));
        }
    }
    program.args(["-keymatexport", LABEL, "-keymatexportlen", "32"]).args(arguments);
    program
}

/// Starts a client for our server.
fn client(files: &Files, at: &Listener, identity: Option<&str>, arguments: &[&str]) -> Program {
    let mut command = openssl(files, "s_client", identity, arguments);
    command.arg("-connect").arg(at.address().to_string()).args(["-servername", GATEWAY, "-verify_hostname", GATEWAY]);
    Program::start(&mut command)
}

/// Starts a server that demands certificates.
fn server(files: &Files, arguments: &[&str]) -> Program {
    let mut command = openssl(files, "s_server", Some("gateway"), arguments);
    Program::start(command.args(["-accept", "127.0.0.1:0", "-Verify", "4"]))
}

/// Returns the number of ClientHellos that were seen.
fn hellos(files: &Files) -> usize {
    std::fs::read_to_string(files.path("messages")).unwrap().matches(", ClientHello").count()
}

#[test]
fn our_client_agrees_with_its_server_on_each_suite() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        let mut setup = Setup::client(&pki);
        setup.protocols = vec![b"other", b"mqtt"];
        let mut program = server(&files, &["-ciphersuites", name(*suite), "-alpn", "mqtt", "-tlsextdebug", "-state"]);
        let mut stream = call(&mut setup, &mut program);
        assert_eq!(setup.seen.as_ref(), pki.gateway.chain.first());
        assert_eq!(stream.connection.protocol(), Some(1));
        let exported = stream.connection.export(LABEL.as_bytes(), b"").unwrap();
        program.wait_for(&hex(&exported));
        let shown = program.wait_for("ALPN protocols selected: mqtt");
        assert!(shown.contains("TLS client extension \"server name\" (id=0)"), "{shown}");
        assert!(shown.contains(name(*suite)) && shown.contains("sensor-7"), "{shown}");
        talk(&mut stream, &mut program);
        // Its key, both keys, and ours.
        program.command("k\n", "TLSv1.3 write server key update");
        talk(&mut stream, &mut program);
        program.command("K\n", "TLSv1.3 write server key update");
        talk(&mut stream, &mut program);
        stream.update_keys().unwrap();
        talk(&mut stream, &mut program);
        stream.close().unwrap();
        program.wait_for("SSL3 alert read:warning:close notify");
    }
}

#[test]
fn its_client_agrees_with_our_server_on_each_suite() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for suite in CipherSuite::ALL {
        let mut setup = Setup::server(&pki);
        setup.clients = Some(vec!["sensor-7"]);
        setup.protocols = vec![b"mqtt"];
        let at = Listener::new();
        let mut program =
            client(&files, &at, Some("sensor"), &["-ciphersuites", name(*suite), "-alpn", "http/1.1,mqtt"]);
        let mut stream = at.serve(&mut setup, &program);
        assert_eq!(setup.seen.as_ref(), pki.sensor.chain.first());
        let exported = stream.connection.export(LABEL.as_bytes(), b"").unwrap();
        let shown = program.wait_for(&hex(&exported));
        assert!(shown.contains(name(*suite)) && shown.contains("ALPN protocol: mqtt"), "{shown}");
        talk(&mut stream, &mut program);
        program.command("k\n", "KEYUPDATE");
        talk(&mut stream, &mut program);
        program.command("K\n", "KEYUPDATE");
        talk(&mut stream, &mut program);
        stream.update_keys().unwrap();
        talk(&mut stream, &mut program);
        program.feed("Q\n");
        assert_eq!(stream.receive().unwrap(), b"");
        stream.close().unwrap();
        assert!(program.end().0.success());
    }
}

#[test]
fn a_client_without_a_share_of_ours_is_asked_for_one() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let at = Listener::new();
    let mut program = client(&files, &at, Some("sensor"), &["-groups", "X25519:P-256", "-msg", "-msgfile", "messages"]);
    let mut stream = at.serve(&mut Setup::server(&pki), &program);
    talk(&mut stream, &mut program);
    program.feed("Q\n");
    program.end();
    assert_eq!(hellos(&files), 2);
    // No group is common.
    let program = client(&files, &at, Some("sensor"), &["-groups", "X25519"]);
    assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(Fault::NoCommon("group")));
    program.wait_for("SSL alert number 40");
}

#[test]
fn our_client_brings_the_cookie_back() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let mut program = server(&files, &["-stateless", "-msg", "-msgfile", "messages"]);
    let mut stream = call(&mut Setup::client(&pki), &mut program);
    talk(&mut stream, &mut program);
    program.feed("Q\n");
    program.end();
    assert_eq!(hellos(&files), 2);
}

#[test]
fn small_fragments_and_padding_are_taken() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    for arguments in [["-max_send_frag", "512"], ["-record_padding", "700"]] {
        let mut program = server(&files, &arguments);
        let mut stream = call(&mut Setup::client(&pki), &mut program);
        talk(&mut stream, &mut program);
        let at = Listener::new();
        let mut program = client(&files, &at, Some("sensor"), &arguments);
        let mut stream = at.serve(&mut Setup::server(&pki), &program);
        talk(&mut stream, &mut program);
    }
}

#[test]
fn a_leaf_alone_is_enough_below_its_own_ca() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let leaf = ["-cert", "sensor.leaf.pem", "-key", "sensor.key"];
    for is_enough in [true, false] {
        let mut setup = Setup::server(&pki);
        if is_enough {
            setup.anchor.clone_from(&pki.intermediate.der);
        }
        let at = Listener::new();
        let mut program = client(&files, &at, None, &leaf);
        if is_enough {
            let mut stream = at.serve(&mut setup, &program);
            talk(&mut stream, &mut program);
        } else {
            assert!(matches!(at.refuse(&mut setup, &program), Error::Refused(Refusal::Path(_))));
            program.wait_for("alert unknown ca");
        }
    }
}

#[test]
fn its_client_resumes_a_session_of_our_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let mut setup = Setup::server(&pki);
    let at = Listener::new();
    for (arguments, is_resumed) in
        [(["-sess_out", "session"], false), (["-sess_in", "session"], true), (["-sess_in", "session"], false)]
    {
        setup.seen = None;
        let mut program = client(&files, &at, Some("sensor"), &arguments);
        let mut stream = at.serve(&mut setup, &program);
        assert_eq!(setup.seen.is_none(), is_resumed);
        let exported = stream.connection.export(LABEL.as_bytes(), b"").unwrap();
        let shown = program.wait_for(&hex(&exported));
        assert!(shown.contains(if is_resumed { "Reused, TLSv1.3" } else { "New, TLSv1.3" }), "{shown}");
        talk(&mut stream, &mut program);
        stream.close().unwrap();
        program.feed("Q\n");
        program.end();
    }
    // With a HelloRetryRequest between, the binder is of other messages.
    for arguments in [["-sess_out", "other"], ["-sess_in", "other"]] {
        setup.seen = None;
        let mut program = client(&files, &at, Some("sensor"), &[&arguments[..], &["-groups", "X25519:P-256"]].concat());
        let mut stream = at.serve(&mut setup, &program);
        assert_eq!(setup.seen.is_none(), arguments[0] == "-sess_in");
        talk(&mut stream, &mut program);
        program.feed("Q\n");
        assert_eq!(stream.receive().unwrap(), b"");
        stream.close().unwrap();
        program.end();
    }
}

#[test]
fn our_client_resumes_a_session_of_its_server() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    // Tickets that name a session, tickets that seal one, and a HelloRetryRequest before.
    for arguments in [&["-no_ticket"][..], &[], &["-no_ticket", "-stateless"]] {
        let mut setup = Setup::client(&pki);
        let mut program = server(&files, arguments);
        for connection in 0..3 {
            setup.seen = None;
            let mut stream = call(&mut setup, &mut program);
            let is_resumed = connection > 0;
            assert_eq!(setup.seen.is_none(), is_resumed, "{arguments:?}, connection {connection}");
            let exported = stream.connection.export(LABEL.as_bytes(), b"").unwrap();
            let shown = program.wait_for(&hex(&exported));
            assert_eq!(shown.matches("Reused session-id").count(), connection, "{shown}");
            talk(&mut stream, &mut program);
            setup.session = stream.session.take();
            assert!(setup.session.is_some(), "{arguments:?}: no ticket that is kept");
            stream.close().unwrap();
        }
    }
}

#[test]
fn its_client_hears_the_reason_of_a_refusal() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let at = Listener::new();
    let mut setup = Setup::server(&pki);
    let program = client(&files, &at, None, &[]);
    assert_eq!(at.refuse(&mut setup, &program), Error::Peer(Fault::NoClientCertificate));
    program.wait_for("alert certificate required");

    setup.clients = Some(vec!["sensor-8"]);
    let program = client(&files, &at, Some("sensor"), &[]);
    assert_eq!(at.refuse(&mut setup, &program), Error::Refused(Refusal::Denied(Denied::NoRuleMatched)));
    program.wait_for("alert access denied");

    let mut setup = Setup::server(&pki);
    setup.anchor = super::pki::Ca::new("Another root", None).der;
    let program = client(&files, &at, Some("sensor"), &[]);
    assert!(matches!(at.refuse(&mut setup, &program), Error::Refused(Refusal::Path(_))));
    program.wait_for("alert unknown ca");

    let mut setup = Setup::server(&pki);
    setup.protocols = vec![b"mqtt"];
    let program = client(&files, &at, Some("sensor"), &["-alpn", "h2"]);
    assert_eq!(at.refuse(&mut setup, &program), Error::Peer(Fault::Protocol));
    program.wait_for("alert no application protocol");

    let mut setup = Setup::server(&pki);
    setup.names = vec!["another.example"];
    let program = client(&files, &at, Some("sensor"), &[]);
    assert_eq!(at.refuse(&mut setup, &program), Error::Peer(Fault::ServerName));
    program.wait_for("SSL alert number 112");

    for (argument, fault, shown) in [
        (&["-tls1_2"][..], Fault::Version, "alert protocol version"),
        (&["-ciphersuites", "TLS_AES_256_GCM_SHA384"], Fault::NoCommon("cipher suite"), "alert handshake failure"),
        (&["-sigalgs", "RSA-PSS+SHA256"], Fault::NoCommon("signature scheme"), "alert handshake failure"),
    ] {
        let program = client(&files, &at, Some("sensor"), argument);
        assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Peer(fault));
        program.wait_for(shown);
    }

    // It refuses us.
    for arguments in [["-CAfile", "other.pem"], ["-verify_hostname", "another.example"]] {
        let mut command = openssl(&files, "s_client", Some("sensor"), &["-connect", &at.address().to_string()]);
        let program = Program::start(command.args(arguments));
        let expected = if arguments[0] == "-CAfile" { Alert::UnknownCa } else { Alert::BadCertificate };
        assert_eq!(at.refuse(&mut Setup::server(&pki), &program), Error::Alert(expected));
    }
}

#[test]
fn its_server_hears_the_reason_of_a_refusal() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let mut program = server(&files, &[]);
    let mut setup = Setup::client(&pki);
    setup.names = vec!["another.example"];
    assert_eq!(call_in_vain(&mut setup, &mut program), Error::Refused(Refusal::Denied(Denied::WrongServerName)));
    program.wait_for("alert access denied");
    let mut setup = Setup::client(&pki);
    setup.anchor = super::pki::Ca::new("Another root", None).der;
    assert!(matches!(call_in_vain(&mut setup, &mut program), Error::Refused(Refusal::Path(_))));
    program.wait_for("alert unknown ca");

    // It refuses us.
    let mut setup = Setup::client(&pki);
    setup.credential = None;
    assert_eq!(call_in_vain(&mut setup, &mut program), Error::Alert(Alert::CertificateRequired));
    for (arguments, alert) in [
        (&["-CAfile", "other.pem"][..], Alert::UnknownCa),
        (&["-tls1_2"], Alert::ProtocolVersion),
        (&["-ciphersuites", "TLS_AES_256_GCM_SHA384"], Alert::HandshakeFailure),
        (&["-groups", "X25519"], Alert::HandshakeFailure),
        (&["-alpn", "h2"], Alert::NoApplicationProtocol),
    ] {
        let mut program = server(&files, arguments);
        let mut setup = Setup::client(&pki);
        setup.protocols = vec![b"mqtt"];
        assert_eq!(call_in_vain(&mut setup, &mut program), Error::Alert(alert), "{arguments:?}");
    }
}
