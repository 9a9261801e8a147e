//! Tests the program's tunnels against hostile peers of both roles: messages that span a key change (RFC 8446 section
//! 5.1).

use std::io::{Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use edgetrust_hil::hostile::client::{Across, Outcome, ask};
use edgetrust_hil::hostile::{MODES, Server, mode};
use edgetrust_hil::pki::{Pki, Wish};
use edgetrust_hil::servers::{Gateway, Service};
use serde_json::json;

use super::NAME;

/// The alert unexpected_message (RFC 8446 section 6.2).
const UNEXPECTED_MESSAGE: u8 = 10;
const REQUEST: &[u8] = b"POST /report HTTP/1.1\r\nHost: gateway.a.example\r\nContent-Length: 5\r\n\r\nhello";

#[test]
fn a_server_tunnel_ends_with_an_alert_what_crosses_a_change_of_keys() {
    let (folder, pki, service) = (tempfile::tempdir().unwrap(), Pki::new(), Service::start().unwrap());
    let server = pki.issue(&Wish::server(NAME));
    for (name, text) in
        [("root.pem", pki.root.pem()), ("gateway.pem", server.chain_pem()), ("gateway.key", server.key_pem())]
    {
        std::fs::write(folder.path().join(name), text).unwrap();
    }
    let config = json!({
        "security": {"tls": {"server": {
            "enabled": true, "cert_file": "gateway.pem", "key_file": "gateway.key",
            "mtls": {"enabled": true, "client_ca_files": ["root.pem"]},
        }}},
        "gateway": {"tunnels": [
            {"name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": service.address().to_string()},
        ]},
    });
    let gateway = Gateway::start(folder.path(), &config).unwrap();
    let address = gateway.address("in").unwrap();
    let credential = pki.device(&Wish::client("sensor-7.a.example"));
    let honest = ask(address, &credential, Across::Nothing, REQUEST).unwrap();
    // One record, which may have the beginning of the answer alone.
    assert!(matches!(&honest, Outcome::Served(octets) if octets.starts_with(b"HTTP/1.1 ")), "{honest:?}");
    let posts = service.posts().len();
    for across in Across::ALL {
        let outcome = ask(address, &credential, across, REQUEST).unwrap();
        assert_eq!(outcome, Outcome::Alert(UNEXPECTED_MESSAGE), "{across:?}");
    }
    assert_eq!(service.posts().len(), posts, "nothing is forwarded of them");
}

#[test]
fn a_client_tunnel_refuses_a_server_whose_messages_cross_a_change_of_keys() {
    let (folder, pki) = (tempfile::tempdir().unwrap(), Pki::new());
    std::fs::write(folder.path().join("root.pem"), pki.root.pem()).unwrap();
    let good = std::iter::once(mode("good").unwrap());
    for mode in good.chain(MODES.iter().filter(|mode| mode.name.starts_with("across-"))) {
        let server = Server::start(mode, &pki, NAME).unwrap();
        let config = json!({
            "security": {"tls": {"client": {"ca_files": ["root.pem"], "use_system_roots": false}}},
            "gateway": {"tunnels": [{
                "name": "out", "mode": "client", "listen": "127.0.0.1:0", "target": server.address().to_string(),
                "server_name": NAME,
            }]},
        });
        let gateway = Gateway::start(folder.path(), &config).unwrap();
        let mut stream = TcpStream::connect(gateway.address("out").unwrap()).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
        let mut answer = Vec::new();
        // The reset may come before the request is written.
        let _ = stream.write_all(REQUEST);
        // A client tunnel resets its client if the server is refused.
        let _ = stream.read_to_end(&mut answer);
        assert_eq!(answer.starts_with(b"HTTP/1.1 200 "), mode.name == "good", "{}: {answer:?}", mode.name);
        let until = Instant::now() + Duration::from_secs(60);
        while mode.name != "good" && !gateway.log().contains("KeyEpochWithPendingFragment") {
            assert!(Instant::now() < until, "{}: {}", mode.name, gateway.log());
            std::thread::sleep(Duration::from_millis(5));
        }
    }
}
