//! Measures what wrong passwords at the address of first certificates cost: processor time, memory and audit lines.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Socket, Type};

use crate::hostile::{Shown, client};
use crate::site::Site;

/// The number of attempts of a row, each on a connection of its own.
const COUNT: u32 = 4000;

/// Connects from an address of the loopback network.
fn connect(source: u32, to: SocketAddr) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).unwrap();
    let source = Ipv4Addr::from(u32::from(Ipv4Addr::LOCALHOST) + source);
    socket.bind(&SocketAddr::from((source, 0)).into()).unwrap();
    socket.connect(&to.into()).unwrap();
    socket.into()
}

/// Asks for a certificate with a wrong password; returns the status.
fn guess(source: u32, to: SocketAddr, config: &Arc<ClientConfig>) -> u16 {
    let mut connection =
        ClientConnection::new(config.clone(), ServerName::try_from("gateway.example").unwrap()).unwrap();
    let mut stream = connect(source, to);
    let mut stream = rustls::Stream::new(&mut connection, &mut stream);
    let basic = BASE64_STANDARD.encode("sensor-7.example:0000-0000-0000-0000-0000-0000-0000");
    let head = "POST /.well-known/est/simpleenroll HTTP/1.1\r\nHost: gateway.example\r\nContent-Length: 0";
    write!(stream, "{head}\r\nContent-Type: application/pkcs10\r\nAuthorization: Basic {basic}\r\n\r\n").unwrap();
    let mut answer = Vec::new();
    // The gateway closes the connection.
    let _ = stream.read_to_end(&mut answer);
    let answer = String::from_utf8(answer).unwrap();
    answer.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_else(|| panic!("{answer}"))
}

pub fn print() {
    let site = Site::new(([127, 0, 0, 1], 1).into());
    let config = client(Shown::new(&[vec![]]));
    let audit_lines = || std::fs::read_to_string(site.audit_log()).unwrap().lines().count();
    println!(
        "\n| wrong passwords | answered 401 / 429 | processor time of each | memory before / after | audit lines |"
    );
    println!("|---|---|---|---|---|");
    let mut next = 1;
    for (row, sources) in
        [("of one source", 1), ("of 4,000 sources", COUNT), ("of 4,000 others", COUNT), ("of 4,000 more", COUNT)]
    {
        let (memory, time, lines) = (site.program.memory(), site.program.processor_time(), audit_lines());
        let wrong = (0..COUNT).filter(|of| match guess(next + of % sources, site.first, &config) {
            401 => true,
            429 => false,
            other => panic!("answered {other}"),
        });
        let wrong = u32::try_from(wrong.count()).unwrap();
        let each = (site.program.processor_time() - time).as_secs_f64() * 1e3 / f64::from(COUNT);
        let mb = |octets: u64| octets as f64 / 1e6;
        println!(
            "| {row} | {wrong} / {} | {each:.2} ms | {:.1} / {:.1} MB | {} |",
            COUNT - wrong,
            mb(memory),
            mb(site.program.memory()),
            audit_lines() - lines
        );
        next += sources;
    }
}
