//! Tests devices that renew at either of two gateways, whose EST servers share a certificate. Each gateway has an account
//! of its own for its devices.

use std::io::{ErrorKind, Read};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::{Value, json};

use super::ca::{StepCa, free_port, own_ip};
use super::gateway::{Running, Site};
use super::jetstream::JetStream;
use super::peers::{served_certificate, shell};
use super::replicas::{SEALING, replica};

const NAME: &str = "est.mesh.test";
const DEVICE: &str = "sensor-7.mesh.test";

/// A gateway with an EST server at an address of its own.
fn location(ca: &StepCa, nats: &JetStream, handshakes_per_second: u64) -> (Site, SocketAddr) {
    let (mut site, est) = (replica(ca, nats, "gateway.mesh.test"), free_port(own_ip()));
    let file = |name: &str| site.folder.path().join(name);
    let mut server = site.acme.clone();
    server["domains"] = json!([NAME]);
    server["storage_path"] = json!(file("acme-est"));
    server["storage"] = nats.storage(site.folder.path(), SEALING);
    let devices = json!({
        "directory_url": ca.directory(), "ca_bundle": ca.root_file(), "http_listen": ca.http.to_string(),
        "storage_path": file("acme-devices"),
    });
    site.gateway = json!({"est": {
        "listen": est.to_string(), "acme": devices,
        "limits": {"handshakes_per_second": handshakes_per_second},
        "tls": {"mode": "acme", "acme": server, "mtls": {
            "enabled": true, "client_ca_files": [ca.root_file()], "allowed_client_dns": [DEVICE],
        }},
    }});
    (site, est)
}

/// Returns the certificate that an EST server shows.
fn shown(est: SocketAddr) -> String {
    served_certificate(est, &["-servername", NAME])
}

/// Waits until both servers of a gateway, that of the tunnel and that of devices, show an issued certificate.
fn wait_for_both(gateway: &Running) {
    gateway.program.wait_until("both certificates", |_| {
        let status: Value = serde_json::from_str(&gateway.page("/status")).unwrap();
        let credentials = status["credentials"].as_array().unwrap();
        credentials.len() == 2 && credentials.iter().all(|credential| credential["serving"] == "issued")
    });
}

/// Has the device renew at an EST server, with a new key; returns the status. The device verifies the server's name.
fn renew(ca: &StepCa, folder: &Path, est: SocketAddr) -> String {
    let commands = format!(
        "openssl req -new -newkey ec -pkeyopt ec_paramgen_curve:P-256 -noenc -keyout new.key -outform DER -out new.csr \
           -subj /CN={DEVICE} -addext subjectAltName=DNS:{DEVICE}
         openssl base64 -in new.csr -out new.b64"
    );
    shell(folder, &commands);
    let output = Command::new("curl")
        .current_dir(folder)
        .args(["-s", "--noproxy", "*", "-o", "answer.b64", "-w", "%{http_code}", "--cert", "device.pem", "--key"])
        .args(["device.key", "-H", "Content-Type: application/pkcs10", "--data-binary", "@new.b64", "--cacert"])
        .arg(ca.root_file())
        .args(["--resolve", &format!("{NAME}:{}:{}", est.port(), est.ip())])
        .arg(format!("https://{NAME}:{}/.well-known/est/simplereenroll", est.port()))
        .output()
        .unwrap();
    let status = String::from_utf8(output.stdout).unwrap();
    if status == "200" {
        let issuer = ca.folder.path().join("int.crt");
        let commands = format!(
            "openssl base64 -d -in answer.b64 -out answer.p7
             openssl pkcs7 -inform DER -in answer.p7 -print_certs -out device.pem
             cat {} >> device.pem
             mv new.key device.key",
            issuer.display()
        );
        shell(folder, &commands);
    }
    status
}

#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn a_device_renews_at_each_gateway_alike() {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let folder = tempfile::tempdir().unwrap();
    let (certificate, key) = ca.root.device(DEVICE, &[DEVICE]);
    std::fs::write(folder.path().join("device.pem"), certificate).unwrap();
    std::fs::write(folder.path().join("device.key"), key).unwrap();
    let sites = [(); 2].map(|()| location(&ca, &nats, 1000));
    let [one, other] = sites.each_ref().map(|(site, _)| site.run());
    let [est, other_est] = sites.each_ref().map(|(_, est)| *est);
    [&one, &other].into_iter().for_each(wait_for_both);
    one.program.wait_until("one certificate", |_| shown(est) == shown(other_est));

    for at in [est, other_est, est] {
        assert_eq!(renew(&ca, folder.path(), at), "200");
    }
    let accounts = sites
        .each_ref()
        .map(|(site, _)| std::fs::read_to_string(site.folder.path().join("acme-devices/account.json")).unwrap());
    assert_ne!(accounts[0], accounts[1], "each has an account of its own for devices");
    drop(other);
    assert_eq!(renew(&ca, folder.path(), other_est), "000");
    assert_eq!(renew(&ca, folder.path(), est), "200");
}

/// A source that is over its limit at one gateway has all of it at the other.
#[test]
#[ignore = "needs step-ca and nats-server: tests/run"]
fn the_limits_of_a_source_are_those_of_one_gateway() {
    let (ca, nats) = (StepCa::start(), JetStream::start(1));
    let sites = [(); 2].map(|()| location(&ca, &nats, 1));
    let [one, other] = sites.each_ref().map(|(site, _)| site.run());
    let [est, other_est] = sites.each_ref().map(|(_, est)| *est);
    [&one, &other].into_iter().for_each(wait_for_both);
    // A second's worth is one handshake.
    let refused = |est: SocketAddr| {
        let mut stream = TcpStream::connect(est).unwrap();
        stream.set_read_timeout(Some(Duration::from_millis(300))).unwrap();
        // Whoever is let in is waited for.
        !stream.read(&mut [0]).is_err_and(|error| matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut))
    };
    one.program.wait_until("the limit is reached", |_| {
        let connections: Vec<_> = (0..3).map(|_| refused(est)).collect();
        connections.contains(&true)
    });
    assert!(!refused(other_est), "it has seen nothing of this source");
}
