//! Tests tunnels behind load balancers (`accept_proxy`), whose PROXY protocol headers say who connects.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{Receiver, channel};

use serde_json::{Value, json};

use super::addresses::free_address;
use super::pages::{metric, pages};
use super::peers::{OpensslClient, PATIENCE, Program, echo};
use super::pki::{Pki, arg};
use super::strangers::silent_at;

/// Runs the tunnels of a configuration, with the pages.
fn start(pki: &Pki, tunnels: &[Value], limits: &Value) -> (Program, String) {
    let config = json!({"gateway": {"tunnels": tunnels, "admin": {"listen": "127.0.0.1:0"}, "limits": limits}});
    let file = pki.path("gateway.json");
    std::fs::write(&file, config.to_string()).unwrap();
    let mut program = Program::start_quietly(&["run", "--config", &arg(&file)].map(str::to_owned));
    tunnels.iter().for_each(|_| program.wait_for_tunnel());
    let pages = pages(&program);
    (program, pages)
}

/// Returns a tunnel that asks no client for a certificate, behind load balancers of this machine.
fn behind(pki: &Pki, name: &str, more: &Value) -> Value {
    let (cert, key) = pki.issue("gateway", &["gateway.example"]);
    let mut tunnel = json!({
        "name": name, "mode": "server", "listen": free_address(), "target": echo().to_string(),
        "accept_proxy": ["127.0.0.0/8"], "tls": {"cert_file": arg(&cert), "key_file": arg(&key)},
    });
    tunnel.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
    tunnel
}

/// Returns the header of a client with this address.
fn header(from: [u8; 4], port: u16) -> Vec<u8> {
    let mut header = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c".to_vec();
    header.extend_from_slice(&from);
    header.extend_from_slice(&[198, 51, 100, 7]);
    header.extend_from_slice(&port.to_be_bytes());
    header.extend_from_slice(&443_u16.to_be_bytes());
    header
}

fn connect(address: SocketAddr, octets: &[u8]) -> TcpStream {
    let mut stream = TcpStream::connect(address).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    // Whoever is refused at once may see the reset already.
    let _ = stream.write_all(octets);
    stream
}

/// Starts a service that reports the source address and port of each PROXY header.
fn told() -> (SocketAddr, Receiver<(Ipv4Addr, u16)>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (sender, receiver) = channel();
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let mut header = [0; 28];
            stream.read_exact(&mut header).unwrap();
            let from = Ipv4Addr::new(header[16], header[17], header[18], header[19]);
            sender.send((from, u16::from_be_bytes([header[24], header[25]]))).unwrap();
        }
    });
    (address, receiver)
}

#[test]
fn a_client_keeps_its_address_over_one_gateway_after_the_other() {
    let pki = Pki::new("Root");
    let (service, sources) = told();
    let plain = json!({"enabled": false});
    let second = behind(&pki, "second", &json!({"tls": plain, "target": service.to_string(), "proxy_protocol": true}));
    let first = json!({"name": "first", "mode": "server", "listen": free_address(), "target": second["listen"],
        "proxy_protocol": true, "tls": plain});
    let (program, _) = start(&pki, &[second, first], &json!({}));
    let client = connect(program.tunnel("first"), b"hello");
    let own = client.local_addr().unwrap();
    assert_eq!(sources.recv_timeout(PATIENCE).unwrap(), (Ipv4Addr::LOCALHOST, own.port()));
    program.wait_for(&format!("open tunnel=second remote={own}"));
}

#[test]
fn tls_begins_after_the_header_and_never_without_one() {
    let pki = Pki::new("Root");
    let named = behind(&pki, "named", &json!({"sni": ["other.example"]}));
    let rest = behind(&pki, "rest", &json!({"listen": named["listen"]}));
    let front = json!({"name": "front", "mode": "server", "listen": free_address(), "target": rest["listen"],
        "proxy_protocol": true, "tls": {"enabled": false}});
    let (program, pages) = start(&pki, &[named, rest, front], &json!({}));
    for tunnel in [["-servername", "gateway.example"], ["-servername", "other.example"]] {
        assert_eq!(OpensslClient::start(program.tunnel("front"), &tunnel).ask("hello").as_deref(), Some("hello"));
    }
    // A client that comes past the load balancer, from an address of it: it has to say who it is.
    assert_eq!(OpensslClient::start(program.tunnel("rest"), &[]).ask("hello"), None);
    program
        .wait_for("refused: its load balancer (accept_proxy): found a TLS handshake, expected a PROXY protocol header");
    let mut old = connect(program.tunnel("rest"), b"PROXY TCP4 192.0.2.1 198.51.100.7 1000 443\r\n");
    program.wait_for("refused: its load balancer (accept_proxy): found a PROXY protocol header of version 1");
    assert!(is_closed(&mut old));
    assert_eq!(metric(&pages, "edgetrust_connections_refused_total{reason=\"proxy\"}"), 2);
}

/// Returns whether a connection is closed: reset, or ended before the client's first octets had arrived.
fn is_closed(stream: &mut TcpStream) -> bool {
    !matches!(stream.read(&mut [0]), Ok(1..))
}

#[test]
fn who_comes_past_the_load_balancer_is_refused_before_it_says_anything() {
    let pki = Pki::new("Root");
    let tunnel = behind(&pki, "in", &json!({"accept_proxy": ["192.0.2.0/24", "2001:db8::/32"]}));
    let (program, pages) = start(&pki, &[tunnel], &json!({}));
    let mut stranger = connect(program.tunnel("in"), &header([192, 0, 2, 1], 1000));
    program.wait_for("refused: its address is none of the load balancers' (accept_proxy)");
    assert!(is_closed(&mut stranger));
    assert_eq!(metric(&pages, "edgetrust_connections_refused_total{tunnel=\"in\",reason=\"proxy\"}"), 1);
}

#[test]
fn limits_of_a_source_are_those_of_the_client_and_not_of_the_load_balancer() {
    let pki = Pki::new("Root");
    let more = json!({"limits": {"connections_per_source": 1}, "tls": {"enabled": false}});
    let (program, _) = start(&pki, &[behind(&pki, "in", &more)], &json!({}));
    let address = program.tunnel("in");
    let client = |number| {
        let client = connect(address, &header([192, 0, 2, number], 1000));
        program.wait_for(&format!("open tunnel=in remote=192.0.2.{number}:1000"));
        client
    };
    let _clients: Vec<_> = (1..=3).map(client).collect();
    let _health_checks: Vec<_> = (0..3).map(|_| connect(address, b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0")).collect();
    // The next line is the first refusal of all.
    let _again = connect(address, &header([192, 0, 2, 2], 1001));
    let line = program.wait_for("refused: ");
    assert!(line.contains("its source has 1 connections") && line.contains("remote=192.0.2.2:1001"), "{line}");
    let second = connect(address, &header([192, 0, 2, 3], 1001));
    program.wait_for("remote=192.0.2.3:1001");
    drop(second);
}

#[test]
fn half_a_header_takes_a_seat_until_it_is_needed_or_the_deadline_comes() {
    let pki = Pki::new("Root");
    let tunnel = behind(&pki, "in", &json!({"limits": {"handshakes": 4}}));
    let (program, _) = start(&pki, std::slice::from_ref(&tunnel), &json!({"handshake_timeout": "1h"}));
    let halves: Vec<_> = (0..12).map(|_| connect(program.tunnel("in"), &header([192, 0, 2, 1], 1000)[..20])).collect();
    let mut last = connect(program.tunnel("in"), &header([192, 0, 2, 9], 1000));
    program.wait_for("refused: no handshake until a newer connection took its place among 4");
    last.write_all(&[0x16, 0x03]).unwrap();
    drop(halves);
    drop(program);
    let (program, _) = start(&pki, &[tunnel], &json!({"handshake_timeout": "500ms"}));
    let _silent = silent_at(program.tunnel("in"), 1);
    program.wait_for("refused: no handshake and no target within the deadline");
    // A header of many octets that is never whole.
    let long = [b"\r\n\r\n\0\r\nQUIT\n\x21\x11\x50\0".as_slice(), &[0; 20_000]].concat();
    let _long = connect(program.tunnel("in"), &long);
    program.wait_for("refused: no handshake and no target within the deadline");
    // A check of the load balancer itself is no refusal.
    drop(connect(program.tunnel("in"), b""));
    program.wait_for("left without a word");
    drop(connect(program.tunnel("in"), b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0"));
    program.wait_for("left without a word");
}

struct Stopped(Child);

impl Drop for Stopped {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn haproxy_says_who_connects() {
    if !Command::new("haproxy").arg("-v").stdout(Stdio::null()).status().is_ok_and(|status| status.success()) {
        eprintln!("skipped: haproxy is missing (apt-get install haproxy)");
        return;
    }
    let pki = Pki::new("Root");
    let (program, _) = start(&pki, &[behind(&pki, "in", &json!({}))], &json!({}));
    let front: SocketAddr = free_address().parse().unwrap();
    let config = format!(
        "global\n  maxconn 100\ndefaults\n  mode tcp\n  timeout connect 60s\n  timeout client 60s\n  timeout server 60s\n\
         listen front\n  bind {front}\n  server edge {} send-proxy-v2 check inter 200ms\n",
        program.tunnel("in")
    );
    let file = pki.path("haproxy.cfg");
    std::fs::write(&file, config).unwrap();
    let haproxy = Command::new("haproxy").args(["-db", "-q", "-f", &arg(&file)]).stdin(Stdio::null()).spawn().unwrap();
    let _haproxy = Stopped(haproxy);
    // Its checks have a LOCAL header, and end without a handshake.
    program.wait_for("left without a word");
    program.wait_until("haproxy serves", |_| {
        OpensslClient::start(front, &[]).ask("hello").is_some_and(|answer| answer == "hello")
    });
    let line = program.wait_for("open tunnel=in");
    assert!(line.contains("remote=127.0.0.1:"), "{line}");
}
