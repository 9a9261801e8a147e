//! step-ca: every challenge, restarts, and what it does not do.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use serde_json::json;

use super::ca::StepCa;
use super::gateway::Site;
use super::peers::OpensslClient;

fn openssl(pem: &str, arguments: &[&str]) -> String {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), format!("{pem}-----END CERTIFICATE-----\n")).unwrap();
    let shown =
        Command::new("openssl").args(["x509", "-noout", "-in"]).arg(file.path()).args(arguments).output().unwrap();
    String::from_utf8(shown.stdout).unwrap()
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_certificate_from_nothing_over_http_01() {
    let mut ca = StepCa::start();
    let site = Site::new(&ca, &["zebra.mesh.test", "alpha.mesh.test"]);
    let gateway = site.run();
    gateway.wait_for_certificate();
    let served = gateway.served();
    let shown = openssl(&served, &["-subject", "-ext", "subjectAltName"]);
    assert!(shown.contains("CN = zebra.mesh.test"), "{shown}");
    assert!(shown.contains("DNS:zebra.mesh.test") && shown.contains("DNS:alpha.mesh.test"), "{shown}");
    // Copies for other programs, of one pair.
    let live = site.storage().join("live");
    assert!(std::fs::read_to_string(live.join("cert.pem")).unwrap().contains(&served));
    let (key, certificate) = (live.join("key.pem"), live.join("cert.pem"));
    let public = |arguments: &[&str]| Command::new("openssl").args(arguments).output().unwrap().stdout;
    assert_eq!(
        public(&["pkey", "-pubout", "-in", &key.display().to_string()]),
        public(&["x509", "-noout", "-pubkey", "-in", &certificate.display().to_string()])
    );
    let metrics = gateway.page("/metrics");
    assert!(
        metrics.contains("edgetrust_acme_certificates_issued_total{credential=\"zebra.mesh.test\"} 1\n"),
        "{metrics}"
    );
    assert!(metrics.contains("edgetrust_acme_serving{credential=\"zebra.mesh.test\",serving=\"issued\"} 1\n"));
    assert_eq!(gateway.page("/readyz"), "ready\n");
    // Without the CA the kept one is shown from the first connection on.
    drop(gateway);
    ca.kill();
    let gateway = site.run();
    assert_eq!(gateway.served(), served);
    assert_eq!(gateway.credential()["serving"], "issued");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn tls_alpn_01_on_the_port_of_a_tunnel_that_wants_client_certificates() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    site.acme["challenge_type"] = json!("tls-alpn-01");
    site.acme.as_object_mut().unwrap().remove("http_listen");
    site.server["mtls"] = json!({"enabled": true, "client_ca_files": [ca.root_file()], "require_client_cert": true});
    let gateway = site.run();
    gateway.wait_for_certificate();
    // Afterwards whoever asks for that protocol is nobody.
    let address = gateway.program.tunnel("in");
    let mut stranger = OpensslClient::start(address, &["-alpn", "acme-tls/1", "-servername", "gateway.mesh.test"]);
    assert_eq!(stranger.ask("hello"), None);
    gateway.program.wait_for("refused: peer sent no certificates");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn dns_01_by_a_hook_and_a_wildcard() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["*.mesh.test", "mesh.test"]);
    let hook = site.folder.path().join("dns");
    let management = ca.names.management;
    let script = format!(
        "#!/bin/sh\ncase $1 in\n\
         present) exec curl -sf --noproxy '*' -d '{{\"host\":\"'$2'.\",\"value\":\"'$3'\"}}' http://{management}/set-txt ;;\n\
         cleanup) echo \"$2\" >> {}/cleaned ;;\nesac\n",
        site.folder.path().display()
    );
    std::fs::write(&hook, script).unwrap();
    std::fs::set_permissions(&hook, std::fs::Permissions::from_mode(0o755)).unwrap();
    site.acme["challenge_type"] = json!("dns-01");
    site.acme["dns_hook"] = json!(hook);
    let gateway = site.run();
    gateway.wait_for_certificate();
    let shown = openssl(&gateway.served(), &["-ext", "subjectAltName"]);
    assert!(shown.contains("DNS:*.mesh.test, DNS:mesh.test"), "{shown}");
    gateway.program.wait_until("the records are removed", |_| {
        std::fs::read_to_string(site.folder.path().join("cleaned")).is_ok_and(|lines| lines.lines().count() == 2)
    });
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn addresses_without_a_name() {
    for challenge in ["http-01", "tls-alpn-01"] {
        let ca = StepCa::start();
        let mut site = Site::new(&ca, &[&ca.names.ip.to_string()]);
        site.acme["challenge_type"] = json!(challenge);
        let gateway = site.run();
        gateway.wait_for_certificate();
        let shown = openssl(&gateway.served(), &["-ext", "subjectAltName"]);
        assert!(shown.contains(&format!("IP Address:{}", ca.names.ip)), "{shown}");
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn other_keys() {
    let ca = StepCa::start();
    for (kind, shown) in [("p384", "secp384r1"), ("rsa2048", "(2048 bit)")] {
        let mut site = Site::new(&ca, &["gateway.mesh.test"]);
        site.acme["key_type"] = json!(kind);
        let gateway = site.run();
        gateway.wait_for_certificate();
        let text = openssl(&gateway.served(), &["-text"]);
        assert!(text.contains(shown), "{text}");
    }
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn the_fallback_is_shown_and_left_by_itself() {
    let mut ca = StepCa::stopped("24h");
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let (cert, key) = ca.root.server(&["gateway.mesh.test"]);
    let (cert_file, key_file) = (site.folder.path().join("manual.pem"), site.folder.path().join("manual.key"));
    std::fs::write(&cert_file, &cert).unwrap();
    std::fs::write(&key_file, key).unwrap();
    site.server = json!({"cert_file": cert_file, "key_file": key_file});
    let gateway = site.run();
    assert!(cert.contains(&gateway.served()));
    let credential = gateway.credential();
    assert_eq!(credential["serving"], "fallback");
    gateway.program.wait_for("the manual certificate is shown; ACME is tried on");
    gateway.program.wait_for("no certificate: the account: GET ");
    assert!(gateway.page("/metrics").contains(",serving=\"fallback\"} 1\n"));
    let mut old = OpensslClient::start(gateway.program.tunnel("in"), &[]);
    assert_eq!(old.ask("before").as_deref(), Some("before"));
    ca.restart();
    gateway.wait_for_certificate();
    assert!(!cert.contains(&gateway.served()));
    assert_eq!(old.ask("after").as_deref(), Some("after"));
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_ca_that_forgot_everything_gets_the_account_again() {
    let mut ca = StepCa::start();
    let site = Site::new(&ca, &["gateway.mesh.test"]);
    let gateway = site.run();
    gateway.wait_for_certificate();
    let before = gateway.served();
    ca.wipe();
    std::fs::write(site.storage().join("renew.request"), "").unwrap();
    gateway.program.wait_until("a renewal", |_| gateway.credential()["issued"] == 2);
    assert_ne!(gateway.served(), before);
    gateway.program.wait_for("the CA does not know the account any more");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_validation_that_cannot_come_is_said_and_leaves_no_orders_behind() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    // Somewhere else than the CA looks.
    site.acme["http_listen"] = json!(super::ca::free_port(super::ca::own_ip()).to_string());
    let gateway = site.run();
    let line = gateway.program.wait_for("no certificate: the validation: gateway.mesh.test: ");
    assert!(line.contains("urn:ietf:params:acme:error:connection"), "{line}");
    let order = || std::fs::read_to_string(site.storage().join("order.json")).unwrap();
    let before = order();
    gateway.program.wait_for("no certificate: the validation: gateway.mesh.test: ");
    assert_eq!(order(), before, "the same order is tried again");
    assert_eq!(gateway.page("/readyz"), "tunnel in: it has no certificate yet\n");
}
