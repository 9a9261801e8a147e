//! Tests revocation lists of step-ca: a certificate that is revoked there is refused here once the list is fetched.

use std::process::Command;

use serde_json::{Value, json};

use super::ca::StepCa;
use super::gateway::Site;
use super::peers::{OpensslClient, blocks, edgetrust, shell};

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_certificate_that_step_ca_has_revoked_is_refused() {
    let mut ca = StepCa::stopped("24h");
    let file = ca.folder.path().join("ca.json");
    let mut config: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    config["crl"] = json!({"enabled": true, "generateOnRevoke": true, "cacheDuration": "1h"});
    std::fs::write(&file, config.to_string()).unwrap();
    ca.restart();

    // A client, whose certificate no gateway renews.
    let client = Site::new(&ca, &["client.mesh.test"]);
    client.write();
    let acme = |arguments: &[&str]| {
        let file = client.file().display().to_string();
        let output = edgetrust(&[&["acme"], arguments, &["--config", &file]].concat());
        assert!(output.status.success(), "{output:?}");
    };
    acme(&["obtain"]);

    let mut site = Site::new(&ca, &["gateway.mesh.test"]);
    let list = site.folder.path().join("mesh.crl");
    let documented = blocks("docs/OPERATIONS.md");
    let fetch = documented.iter().find(|block| block.contains("mesh.crl.new")).unwrap();
    let fetch = fetch.replace("ca.a.example:9000", &ca.address.to_string()).replace("curl ", "curl --noproxy '*' ");
    let fetch = format!("set -e; cp {} root.pem; {fetch}", ca.root_file().display());
    let output = shell(site.folder.path(), &fetch);
    assert!(output.status.success(), "{output:?}");
    let shown = Command::new("openssl").args(["crl", "-noout", "-text", "-in"]).arg(&list).output().unwrap();
    // Certificates of step-ca name no distribution point, and its lists do.
    assert!(String::from_utf8_lossy(&shown.stdout).contains("Issuing Distribution Point: critical"), "{shown:?}");
    site.server["mtls"] = json!({"enabled": true, "client_ca_files": [ca.root_file()]});
    site.gateway = json!({"crl_files": [list], "crls_required": "leaf"});
    let gateway = site.run();
    gateway.wait_for_certificate();

    let live = |name: &str| client.storage().join("live").join(name).display().to_string();
    let (cert, key) = (live("cert.pem"), live("key.pem"));
    let arguments = ["-cert", &cert, "-cert_chain", &cert, "-key", &key];
    let mut session = OpensslClient::start(gateway.program.tunnel("in"), &arguments);
    assert_eq!(session.ask("hello").as_deref(), Some("hello"));
    acme(&["revoke", "--key-compromise"]);
    let output = shell(site.folder.path(), &fetch);
    assert!(output.status.success(), "{output:?}");
    let line = gateway.program.wait_for("closed: the peer's certificate: revoked: serial number ");
    assert!(line.contains(", keyCompromise, at 20"), "{line}");
    assert_eq!(session.ask("hello"), None);
}
