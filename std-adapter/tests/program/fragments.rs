//! Tests `max_fragment_size`: the records that a tunnel sends to its clients, as they are on the wire.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use edgetrust::tls::{ClientSettings, Connector, MinVersion, ServerTrust, TrustStore, server_name};
use serde_json::json;
use tokio::io::AsyncReadExt;

use super::peers::Program;
use super::pki::{Pki, arg};

/// 12 texts of 400 octets in WebSocket frames, as a service writes them at once.
const SAID: usize = 12 * 404;
/// The octets that encryption adds to a record: the header, the type, the tag (RFC 8446 section 5.2).
const ADDED: usize = 5 + 1 + 16;

/// Starts a service that writes all it has to say at once.
fn chatty() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            // A client that has gone hears nothing.
            let _ = stream.write_all(&[b'.'; SAID]);
        }
    });
    address
}

/// Starts a relay for one connection, which notes the size of each record from the server.
fn noting(server: SocketAddr) -> (SocketAddr, Arc<Mutex<Vec<usize>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let sizes = Arc::new(Mutex::new(Vec::new()));
    let noted = sizes.clone();
    std::thread::spawn(move || {
        let (mut client, _) = listener.accept().unwrap();
        let mut upstream = TcpStream::connect(server).unwrap();
        let (mut from_client, mut to_server) = (client.try_clone().unwrap(), upstream.try_clone().unwrap());
        std::thread::spawn(move || drop(std::io::copy(&mut from_client, &mut to_server)));
        let mut header = [0; 5];
        while upstream.read_exact(&mut header).is_ok() {
            let mut body = vec![0; usize::from(u16::from_be_bytes([header[3], header[4]]))];
            upstream.read_exact(&mut body).unwrap();
            noted.lock().unwrap().push(header.len() + body.len());
            client.write_all(&[&header[..], &body].concat()).unwrap();
        }
    });
    (address, sizes)
}

/// Returns the largest record of a server tunnel with this `max_fragment_size` in front of such a service.
async fn largest_record(size: Option<u16>) -> usize {
    let pki = Pki::new("Root");
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let mut tunnel = json!({
        "name": "in", "mode": "server", "listen": "127.0.0.1:0", "target": chatty().to_string(),
        "tls": {"cert_file": arg(&cert), "key_file": arg(&key)},
    });
    if let Some(size) = size {
        tunnel["max_fragment_size"] = json!(size);
    }
    let file = pki.path("gateway.json");
    std::fs::write(&file, json!({"gateway": {"tunnels": [tunnel]}}).to_string()).unwrap();
    let program = Program::start(&["run".to_owned(), "--config".to_owned(), arg(&file)]);
    let (address, sizes) = noting(program.address);
    let connector = Connector::new(ClientSettings {
        trust: ServerTrust::Verified(TrustStore::new(edgetrust::pem::read_certificates(&pki.ca()).unwrap()).unwrap()),
        credential: None,
        min_version: MinVersion::Tls13,
        alpn: Vec::new(),
    });
    let stream = tokio::net::TcpStream::connect(address).await.unwrap();
    let (mut stream, _) = connector.unwrap().connect(server_name("gateway.example").unwrap(), stream).await.unwrap();
    let mut said = vec![0; SAID];
    stream.read_exact(&mut said).await.unwrap();
    assert!(said.iter().all(|octet| *octet == b'.'));
    sizes.lock().unwrap().iter().copied().max().unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn records_are_no_larger_than_the_tunnel_says() {
    assert_eq!(largest_record(Some(4096)).await, 4096 + ADDED);
    // The handshake is in records of this size too.
    assert_eq!(largest_record(Some(512)).await, 512 + ADDED);
    // Without the key the service's write is a record: the one that a device cannot take.
    assert_eq!(largest_record(None).await, SAID + ADDED);
}
