//! Tests the real servers with the device's own TLS as their client.

#[path = "../hostile/device.rs"]
mod device;

use std::net::{SocketAddr, TcpStream};
use std::time::{Duration, Instant};

use base64::Engine as _;
use device::{Device, Outcome};
use edgetrust_hil::pki::{Credential, Pki, Wish};
use edgetrust_hil::servers::{Gateway, Openssl, Service, StepCa};
use serde_json::{Value, json};
use tempfile::TempDir;
use tungstenite::Message;

const GATEWAY: &str = "gateway.mesh.test";
const PATIENCE: Duration = Duration::from_secs(60);
const POST: &[u8] = b"POST /report HTTP/1.1\r\nHost: gateway.mesh.test\r\nContent-Length: 5\r\n\r\nhello";

struct Location {
    folder: TempDir,
    pki: Pki,
    service: Service,
}

impl Location {
    fn new() -> Self {
        let (folder, pki, service) = (tempfile::tempdir().unwrap(), Pki::new(), Service::start().unwrap());
        let server = pki.issue(&Wish::server(GATEWAY));
        let location = Self { folder, pki, service };
        location.write("root.pem", &location.pki.root.pem());
        location.write("gateway.pem", &server.chain_pem());
        location.write("gateway.key", &server.key_pem());
        location
    }

    fn write(&self, name: &str, text: &str) {
        std::fs::write(self.folder.path().join(name), text).unwrap();
    }

    fn device(&self, name: &str) -> Credential {
        self.pki.device(&Wish::client(name))
    }

    fn ask(&self, server: SocketAddr, credential: &Credential, request: &[u8]) -> Outcome {
        let device = Device { server, name: GATEWAY, root: &self.pki.root.der, credential, time: PATIENCE };
        device::ask(device, request, complete)
    }

    fn config(&self, est: Option<Value>) -> Value {
        let mtls =
            json!({"enabled": true, "client_ca_files": ["root.pem"], "allowed_client_dns": ["sensor-7.mesh.test"]});
        let mut config = json!({
            "security": {"tls": {"server": {
                "enabled": true, "cert_file": "gateway.pem", "key_file": "gateway.key", "mtls": mtls,
            }}},
            "gateway": {"tunnels": [
                {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": self.service.address().to_string()},
            ]},
        });
        if let Some(acme) = est {
            config["gateway"]["est"] = json!({"listen": "127.0.0.1:0", "acme": acme});
        }
        config
    }
}

/// Returns whether an HTTP response is complete.
fn complete(octets: &[u8]) -> bool {
    let text = String::from_utf8_lossy(octets).to_ascii_lowercase();
    let Some((header, body)) = text.split_once("\r\n\r\n") else { return false };
    let length =
        header.lines().find_map(|line| line.strip_prefix("content-length: ")).and_then(|text| text.parse().ok());
    body.len() >= length.unwrap_or(0)
}

fn answered(outcome: &Outcome, status: &str) -> bool {
    matches!(outcome, Outcome::Ended(octets) if octets.starts_with(format!("HTTP/1.1 {status}").as_bytes()))
}

/// Returns whether the server refused the device; it may close while the device still sends its certificate.
fn turned_away(outcome: &Outcome) -> bool {
    matches!(outcome, Outcome::Broken(_)) || matches!(outcome, Outcome::Refused(error) if error.starts_with("Io("))
}

#[test]
fn the_service_speaks_websocket_and_takes_posts() {
    let service = Service::start().unwrap();
    assert!(!service.send("nobody hears this"));
    let url = format!("ws://{}/telemetry", service.address());
    let stream = TcpStream::connect(service.address()).unwrap();
    let (mut socket, _) = tungstenite::client(url, stream).unwrap();
    socket.send(Message::text("one")).unwrap();
    socket.send(Message::text("two")).unwrap();
    let messages = service.wait_for_messages(2, Instant::now() + PATIENCE);
    assert_eq!(messages, Some(vec!["one".to_owned(), "two".to_owned()]));
    assert!(service.send("a command"));
    assert_eq!(socket.read().unwrap(), Message::text("a command"));
    socket.close(None).unwrap();
    let until = Instant::now() + PATIENCE;
    while socket.read().is_ok() || service.open() > 0 {
        assert!(Instant::now() < until);
    }
    assert_eq!(service.wait_for_messages(3, Instant::now() + Duration::from_millis(20)), None);
}

#[test]
fn a_gateway_lets_its_device_in_and_no_other() {
    let location = Location::new();
    let gateway = Gateway::start(location.folder.path(), &location.config(None)).unwrap();
    let address = gateway.address("in").unwrap();
    let device = location.device("sensor-7.mesh.test");
    let outcome = location.ask(address, &device, POST);
    assert!(answered(&outcome, "200"), "{outcome:?}\n{}", gateway.log());
    let posts = location.service.posts();
    assert_eq!((posts[0].path.as_str(), posts[0].body.as_slice(), posts.len()), ("/report", &b"hello"[..], 1));
    let other = location.ask(address, &location.device("sensor-8.mesh.test"), POST);
    assert!(turned_away(&other), "{other:?}");
    gateway.wait_for(0, "its names are not on the allow list").unwrap();
    assert_eq!(location.service.posts().len(), 1);
    // Another certificate for the same name, while it runs.
    let server = location.pki.issue(&Wish::server(GATEWAY));
    gateway.replace(&[("gateway.key", &server.key_pem()), ("gateway.pem", &server.chain_pem())]).unwrap();
    location.service.set_status(500);
    let outcome = location.ask(address, &device, POST);
    assert!(answered(&outcome, "500"), "{outcome:?}\n{}", gateway.log());
}

#[test]
fn openssl_carries_whom_it_takes_in_to_the_service() {
    let location = Location::new();
    let file = |name: &str| location.folder.path().join(name);
    let target = location.service.address();
    let openssl = Openssl::start(&file("gateway.pem"), &file("gateway.key"), &file("root.pem"), target).unwrap();
    let ask = |credential: &Credential| location.ask(openssl.address(), credential, POST);
    let device = location.device("sensor-7.mesh.test");
    for count in 1..=2 {
        let outcome = ask(&device);
        assert!(answered(&outcome, "200"), "{outcome:?}\n{}", openssl.log());
        assert_eq!(location.service.posts().len(), count);
    }
    let stranger = location.pki.stranger.issue(&Wish::client("sensor-7.mesh.test"));
    let outcome = ask(&stranger);
    assert!(turned_away(&outcome), "{outcome:?}");
    assert_eq!(location.service.posts().len(), 2);
}

#[test]
#[ignore = "needs step-ca: tests/run"]
fn a_gateway_renews_a_device_by_step_ca() {
    let location = Location::new();
    let ca = StepCa::start(&location.pki, "24h").unwrap();
    let config = location.config(Some(ca.acme(&location.folder.path().join("acme"))));
    let gateway = Gateway::start(location.folder.path(), &config).unwrap();
    let key = rcgen::KeyPair::generate().unwrap();
    let wish = Wish::client("sensor-7.mesh.test");
    let mut params = rcgen::CertificateParams::new(wish.names).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, wish.common_name);
    let request = params.serialize_request(&key).unwrap();
    let body = base64::engine::general_purpose::STANDARD.encode(request.der());
    let length = body.len();
    let head =
        "POST /.well-known/est/simplereenroll HTTP/1.1\r\nHost: gateway.mesh.test\r\nContent-Type: application/pkcs10";
    let request = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    let device = location.device("sensor-7.mesh.test");
    let outcome = location.ask(gateway.est().unwrap(), &device, request.as_bytes());
    assert!(answered(&outcome, "200"), "{outcome:?}\n{}\n{}", gateway.log(), ca.said());
}
