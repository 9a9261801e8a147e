//! Tests a third-party EST client (globalsign's) and old devices at a gateway whose CA is step-ca.

use std::process::{Output, Stdio};

use serde_json::Value;

use super::ca::{StepCa, tool};
use super::est::{Location, NAMES, acme, config, location};

/// Runs `estclient` as the device `sensor-7`.
fn estclient(location: &Location, command: &str, more: &[&str]) -> Output {
    let mut client = tool("estclient");
    client.current_dir(location.path("")).arg(command).args(["-server", &location.est.to_string()]);
    client.args(["-explicit", "root.pem", "-certs", "sensor-7.pem", "-key", "sensor-7.key"]).args(more);
    client.args(["-timeout", "60s"]).stdout(Stdio::piped()).stderr(Stdio::piped()).output().unwrap()
}

fn said(output: &Output) -> String {
    let [out, error] = [&output.stdout, &output.stderr].map(|octets| String::from_utf8_lossy(octets).into_owned());
    assert!(output.status.success(), "{out}{error}");
    out
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_third_party_client_renews_by_what_cacerts_and_csrattrs_say() {
    let ca = StepCa::start();
    let location = location(&ca);
    said(&estclient(&location, "cacerts", &["-out", "cacerts.pem"]));
    let authorities = std::fs::read_to_string(location.path("cacerts.pem")).unwrap();
    assert_eq!(authorities.matches("BEGIN CERTIFICATE").count(), 2, "{authorities}");
    let attributes = said(&estclient(&location, "csrattrs", &[]));
    assert!(attributes.contains("1.2.840.10045.4.3.2") && attributes.contains("1.2.840.113549.1.9.14"), "{attributes}");

    // Its own request copies subject and names of the certificate, and keeps the key.
    said(&estclient(&location, "reenroll", &["-out", "same-key.pem"]));
    location.openssl("verify -purpose sslclient -CAfile root.pem -untrusted cacerts.pem same-key.pem");

    location.request("/CN=sensor-7.mesh.test", NAMES);
    location.openssl("req -inform DER -in new.csr -out new.csr.pem");
    said(&estclient(&location, "reenroll", &["-csr", "new.csr.pem", "-out", "new-key.pem"]));
    location.openssl("verify -purpose sslclient -CAfile root.pem -untrusted cacerts.pem new-key.pem");
    assert_eq!(location.openssl("x509 -in new-key.pem -noout -pubkey"), location.openssl("pkey -in new.key -pubout"));
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_third_party_client_is_told_why_it_gets_nothing() {
    let mut ca = StepCa::start();
    let location = location(&ca);
    location.request("/CN=sensor-7.mesh.test", "DNS:gateway.mesh.test");
    location.openssl("req -inform DER -in new.csr -out new.csr.pem");
    let refused = estclient(&location, "reenroll", &["-csr", "new.csr.pem"]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(
        !refused.status.success() && text.contains("name 1 of its subjectAltName is not in the certificate's"),
        "{text}"
    );
    ca.kill();
    let refused = estclient(&location, "reenroll", &[]);
    let text = String::from_utf8_lossy(&refused.stderr);
    assert!(!refused.status.success() && text.contains("Connection refused"), "{text}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn requests_with_all_that_a_leaf_may_have_get_a_certificate() {
    let ca = StepCa::start();
    let location = location(&ca);
    location.openssl("req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout new.key -outform DER -out new.csr -subj /CN=sensor-7.mesh.test -addext subjectAltName=DNS:sensor-7.mesh.test -addext basicConstraints=critical,CA:FALSE -addext keyUsage=critical,digitalSignature -addext extendedKeyUsage=clientAuth -addext subjectKeyIdentifier=hash -addext authorityKeyIdentifier=DER:30:06:80:04:01:02:03:04");
    location.openssl("base64 -in new.csr -out new.b64");
    let pem = location.certificates(&location.reenroll("sensor-7"));
    std::fs::write(location.path("new.pem"), pem).unwrap();
    // The CA sets this extension and ignores the request: the identifier of its own key.
    let shown = location.openssl("x509 -in new.pem -noout -ext authorityKeyIdentifier,basicConstraints");
    assert!(!shown.contains("01:02:03:04") && !shown.contains("CA:TRUE"), "{shown}");
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn firmware_that_does_not_ask_for_cacerts_gets_the_chain_where_the_configuration_says_so() {
    let ca = StepCa::start();
    let location = location(&ca);
    let mut file: Value = config(&ca, acme(&ca), &location.path(""), &["sensor-7.mesh.test"]);
    file["gateway"]["est"]["chain_in_answer"] = true.into();
    std::fs::write(location.path("gateway.json"), file.to_string()).unwrap();
    location.program.wait_for("reloaded");
    location.request("/CN=sensor-7.mesh.test", NAMES);
    let pem = location.certificates(&location.reenroll("sensor-7"));
    assert_eq!(pem.matches("BEGIN CERTIFICATE").count(), 2, "leaf and intermediate, without the root: {pem}");
    std::fs::write(location.path("new.pem"), pem).unwrap();
    location.openssl("verify -purpose sslclient -CAfile root.pem -untrusted new.pem new.pem");
}
