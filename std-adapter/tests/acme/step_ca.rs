//! step-ca: every challenge, restarts, and what it does not do.

use std::process::Command;

use super::ca::StepCa;
use super::gateway::Site;

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
