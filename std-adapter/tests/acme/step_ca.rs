//! Tests with step-ca: every challenge, restarts, and its deviations from the standard.

use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use edgetrust::core::x509::{Certificate, KeyHash};
use serde_json::json;

use super::ca::StepCa;
use super::gateway::Site;
use super::peers::{OpensslClient, Program, edgetrust};

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
    let mut site = Site::new(&ca, &["zebra.mesh.test", "alpha.mesh.test"]);
    let audit_log = site.folder.path().join("audit.log");
    site.gateway = json!({"audit_log": audit_log});
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
    let labels = format!("credential=\"zebra.mesh.test\",storage=\"{}\"", site.storage().display());
    assert!(metrics.contains(&format!("edgetrust_acme_certificates_issued_total{{{labels}}} 1\n")), "{metrics}");
    assert!(metrics.contains(&format!("edgetrust_acme_serving{{{labels},serving=\"issued\"}} 1\n")));
    assert_eq!(gateway.page("/readyz"), "ready\n");
    // What is shown stands in the audit log, without a reload.
    gateway.program.wait_until("the line of the certificate", |_| {
        let log = std::fs::read_to_string(&audit_log).unwrap();
        let lines = log.lines().filter_map(|line| serde_json::from_str::<serde_json::Value>(line).ok());
        lines
            .filter(|line| line["event"] == "certificate_added" && line["role"] == "own")
            .any(|line| line["subject"] == "CN=zebra.mesh.test" && line["used_by"] == json!(["in"]))
    });
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
    // After the validation, a client that asks for that protocol is refused.
    let address = gateway.program.tunnel("in");
    let mut stranger = OpensslClient::start(address, &["-alpn", "acme-tls/1", "-servername", "gateway.mesh.test"]);
    assert_eq!(stranger.ask("hello"), None);
    gateway.program.wait_for("refused: the peer showed no certificate");
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
fn a_backdated_certificate_is_renewed_by_when_it_came() {
    // An hour of life, and a day that was over when it was issued: by notBefore alone, it would have been due long ago.
    let mut ca = StepCa::stopped("1h");
    ca.backdate("24h");
    ca.restart();
    let site = Site::new(&ca, &["gateway.mesh.test"]);
    let gateway = site.run();
    gateway.wait_for_certificate();
    let seconds = || {
        let page = gateway.page("/metrics");
        let line = page.lines().find(|line| line.starts_with("edgetrust_acme_next_step_timestamp_seconds")).unwrap();
        let next: u64 = line.rsplit(' ').next().unwrap().parse().unwrap();
        let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
        next.saturating_sub(now)
    };
    // The test needs a certificate that begins before it was issued.
    let page = gateway.page("/metrics");
    let begins = page
        .lines()
        .find(|line| line.starts_with("edgetrust_certificate_not_before_timestamp_seconds{role=\"server\""))
        .unwrap();
    let begins: u64 = begins.rsplit(' ').next().unwrap().parse().unwrap();
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs();
    assert!(now - begins > 23 * 3600, "it begins {} s ago", now - begins);
    let due = seconds();
    assert!((20 * 60..=50 * 60).contains(&due), "renewed in {due} s, expected around two thirds of an hour");
    // Nor is it due after a restart.
    let before = gateway.served();
    drop(gateway);
    let gateway = site.run();
    gateway.wait_for_certificate();
    assert_eq!(gateway.served(), before);
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
    let cert = site.write_fallback(&ca);
    let gateway = site.run();
    assert!(cert.contains(&gateway.served()));
    let credential = gateway.credential();
    assert_eq!(credential["serving"], "fallback");
    gateway.program.wait_for("the manual certificate is shown; ACME is tried on");
    gateway.program.wait_for("no certificate: the account: GET ");
    assert!(gateway.page("/metrics").contains(",serving=\"fallback\"} 1\n"));
    let mut old = OpensslClient::start(gateway.program.tunnel("in"), &[]);
    assert_eq!(old.ask("before").as_deref(), Some("before"));
    // Its files are watched too.
    let next = site.write_fallback(&ca);
    gateway.program.wait_until("the next manual certificate", |_| next.contains(&gateway.served()));
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
    // An address that the CA does not ask.
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

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_hook_runs_after_each_renewal_with_the_pair_in_place() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let script = site.folder.path().join("hook");
    let out = site.folder.path().join("hook.out");
    let text = "cat \"$EDGETRUST_CERT_FILE\" \"$EDGETRUST_KEY_FILE\" > \"$1.new\" && mv \"$1.new\" \"$1\"";
    std::fs::write(&script, text).unwrap();
    site.acme["hook"] = json!(format!("/bin/sh {} {}", script.display(), out.display()));
    let gateway = site.run();
    gateway.wait_for_certificate();
    gateway.program.wait_for("the hook has run");
    let copied = std::fs::read_to_string(&out).unwrap();
    assert!(copied.contains(&gateway.served()) && copied.contains("BEGIN PRIVATE KEY"), "{copied}");
}

/// Simulates a full disk by a limit on the size of files: the slots exceed it, all other files fit.
#[test]
#[ignore = "needs step-ca: tests/run"]
fn what_cannot_be_kept_is_not_shown_and_not_ordered_again() {
    let ca = StepCa::start();
    let site = Site::new(&ca, &["gateway.mesh.test"]);
    site.write();
    let script = "trap '' XFSZ; ulimit -f 60; exec \"$0\" \"$@\"";
    let file = site.file().display().to_string();
    let program = env!("CARGO_BIN_EXE_edgetrust");
    let limited = [script, program, "run", "--config", &file].map(str::to_owned);
    let gateway = Program::start_shell(&limited);
    gateway.wait_for("the new certificate cannot be kept: ");
    gateway.wait_for("the new certificate cannot be kept: the one before stays");
    gateway.wait_for("the new certificate cannot be kept: ");
    drop(gateway);
    let order = std::fs::read_to_string(site.storage().join("order.json")).unwrap();
    // With room on the disk again, the finished order provides its certificate.
    let gateway = site.run();
    gateway.program.wait_for("the order is resumed");
    gateway.wait_for_certificate();
    assert!(order.contains("\"url\": \"https://"), "{order}");
    gateway.program.wait_until("the order is done with", |_| !site.storage().join("order.json").exists());
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_folder_is_for_one_section_and_one_process() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let gateway = site.run();
    let file = site.file().display().to_string();
    let second = edgetrust(&["run", "--config", &file]);
    assert_eq!(second.status.code(), Some(2));
    let said = String::from_utf8_lossy(&second.stderr).into_owned();
    assert!(said.contains("acme.storage_path: ") && said.contains("another process uses this folder"), "{said}");
    // Another section with the same folder and other names: refused, and the last good configuration stays.
    let mut other = site.acme.clone();
    other["domains"] = json!(["other.mesh.test"]);
    site.tunnels = vec![json!({
        "name": "other", "mode": "server", "listen": "127.0.0.1:0", "target": super::peers::echo().to_string(),
        "tls": {"enabled": true, "mode": "acme", "acme": other},
    })];
    site.write();
    gateway.program.wait_for("in two acme sections that differ, expected a folder for each");
    gateway.wait_for_certificate();
}

/// Adds a name to the configuration of a running gateway.
#[test]
#[ignore = "needs step-ca: tests/run"]
fn another_name_is_obtained_without_a_restart() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let gateway = site.run();
    gateway.wait_for_certificate();
    let mut old = OpensslClient::start(gateway.program.tunnel("in"), &[]);
    assert_eq!(old.ask("before").as_deref(), Some("before"));
    site.acme["domains"] = json!(["gateway.mesh.test", "more.mesh.test"]);
    site.write();
    gateway.program.wait_until("a certificate for both", |_| {
        openssl(&gateway.served(), &["-ext", "subjectAltName"]).contains("DNS:more.mesh.test")
    });
    assert_eq!(old.ask("after").as_deref(), Some("after"));
}

/// Simulates a crash between the confirmation and the steps that follow it.
#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_start_after_a_crash_mends_copies_and_order() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let gateway = site.run();
    gateway.wait_for_certificate();
    let served = gateway.served();
    drop(gateway);
    let key = std::fs::read_to_string(site.storage().join("live/key.pem")).unwrap();
    let base64: String = key.lines().filter(|line| !line.starts_with('-')).collect();
    let order = json!({
        "directory_url": ca.directory(), "domains": ["gateway.mesh.test"], "url": ca.directory(), "key": base64,
    });
    std::fs::write(site.storage().join("order.json"), order.to_string()).unwrap();
    std::fs::remove_file(site.storage().join("live")).unwrap();
    let ran = site.folder.path().join("ran");
    site.acme["hook"] = json!(format!("touch {}", ran.display()));
    let gateway = site.run();
    gateway.program.wait_until("the hook has run", |_| ran.exists());
    assert!(!site.storage().join("order.json").exists());
    assert!(std::fs::read_to_string(site.storage().join("live/cert.pem")).unwrap().contains(&served));
    assert_eq!(gateway.served(), served);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn renewal_by_the_certificate_needs_no_challenge() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    site.acme["renew_via"] = json!("step-ca");
    let gateway = site.run();
    gateway.wait_for_certificate();
    let (before, key) = (gateway.served(), std::fs::read(site.storage().join("live/key.pem")).unwrap());
    // No challenge could be answered now.
    let _taken = std::net::TcpListener::bind(ca.http).unwrap();
    std::fs::write(site.storage().join("renew.request"), "").unwrap();
    gateway.program.wait_until("a renewal", |_| gateway.credential()["issued"] == 2);
    assert_ne!(gateway.served(), before);
    assert_eq!(std::fs::read(site.storage().join("live/key.pem")).unwrap(), key);
    assert_eq!(gateway.credential()["failed"], 0);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn an_own_key_that_is_denied_is_replaced_by_another() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    // The certificate itself would renew the denied key.
    site.acme["renew_via"] = json!("step-ca");
    let gateway = site.run();
    gateway.wait_for_certificate();
    let key = || std::fs::read(site.storage().join("live/key.pem")).unwrap();
    let before = key();
    let ders = edgetrust::pem::read_certificates(&site.storage().join("live/cert.pem")).unwrap();
    let leaf = Certificate::from_der(&ders[0]).unwrap();
    let denied = KeyHash::of(&leaf.subject_public_key_info()).to_string();
    let text = std::fs::read_to_string(site.file()).unwrap();
    let mut config: serde_json::Value = serde_json::from_str(&text).unwrap();
    config["security"]["tls"]["denied_keys"] = json!([denied]);
    std::fs::write(site.file(), config.to_string()).unwrap();
    let line = gateway.program.wait_for("a certificate with another key is ordered: ");
    assert!(line.contains("ERROR") && line.contains(&denied), "{line}");
    gateway.program.wait_until("another certificate", |_| gateway.credential()["issued"] == 2);
    gateway.program.wait_until("another key", |_| key() != before);
    assert_eq!(gateway.credential()["serving"], "issued");
}

/// Runs `acme obtain` without a gateway, with the system's CAs as the only roots.
#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_timer_answers_tls_alpn_01_itself() {
    let ca = StepCa::start();
    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    site.acme["challenge_type"] = json!("tls-alpn-01");
    site.acme.as_object_mut().unwrap().remove("ca_bundle");
    site.write();
    let (file, listen) = (site.file().display().to_string(), ca.tls.to_string());
    let obtain = |root: &str| {
        Command::new(env!("CARGO_BIN_EXE_edgetrust"))
            .args(["acme", "obtain", "--config", &file, "--tls-alpn-listen", &listen])
            .env("SSL_CERT_FILE", root)
            .output()
            .unwrap()
    };
    let said = String::from_utf8(obtain(&ca.root_file().display().to_string()).stdout).unwrap();
    assert!(said.starts_with("gateway.mesh.test: renewed, expires "), "{said}");
    let other = StepCa::stopped("24h");
    std::fs::remove_dir_all(site.storage()).unwrap();
    let refused = obtain(&other.root_file().display().to_string());
    assert_eq!(refused.status.code(), Some(1));
    let said = String::from_utf8(refused.stdout).unwrap();
    // The other root has the same name.
    assert!(said.ends_with("above the peer's: its signature was not made by the issuer's key\n"), "{said}");
}
