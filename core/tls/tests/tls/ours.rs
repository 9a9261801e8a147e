//! Both sides are ours.

use std::net::{Ipv4Addr, TcpListener, TcpStream};
use std::thread;

use edgetrust_core::identity::Denied;
use edgetrust_core::path::PathErrorKind;
use edgetrust_tls::{Alert, CipherSuite, Error, Fault, Refusal};

use super::drive::{Failure, Setup, Stream, accept, connect};
use super::pki::{Ca, Pki};

type Outcome = Result<Stream<TcpStream>, Failure>;

/// Makes a handshake of both on loopback.
pub fn handshake(client: &mut Setup, server: &mut Setup) -> (Outcome, Outcome) {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    let address = listener.local_addr().unwrap();
    thread::scope(|scope| {
        let server = scope.spawn(|| accept(listener.accept().unwrap().0, server));
        let client = connect(TcpStream::connect(address).unwrap(), client);
        (client, server.join().unwrap())
    })
}

/// Sends octets both ways.
fn exchange(client: &mut Stream<TcpStream>, server: &mut Stream<TcpStream>, count: usize) {
    let data: Vec<u8> = (0..count).map(|number| number as u8).collect();
    thread::scope(|scope| {
        scope.spawn(|| client.send(&data).unwrap());
        assert_eq!(server.receive_all(count).unwrap(), data);
    });
    thread::scope(|scope| {
        scope.spawn(|| server.send(&data).unwrap());
        assert_eq!(client.receive_all(count).unwrap(), data);
    });
}

#[test]
fn both_sides_know_whom_they_talk_to_with_each_suite() {
    let pki = Pki::new();
    for suite in CipherSuite::ALL {
        let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
        client.suites = vec![*suite];
        server.clients = Some(vec!["other", "sensor-7"]);
        let (at_client, at_server) = handshake(&mut client, &mut server);
        let (mut at_client, mut at_server) = (at_client.unwrap(), at_server.unwrap());
        assert_eq!(client.seen.as_ref(), pki.gateway.chain.first());
        assert_eq!(server.seen.as_ref(), pki.sensor.chain.first());
        assert_eq!(at_server.connection.peer().rule(), Some(1));
        exchange(&mut at_client, &mut at_server, 100_000);
        let exported = |stream: &Stream<TcpStream>| stream.connection.export(b"EXPORTER-test", b"context");
        assert!(exported(&at_client).is_some());
        assert_eq!(exported(&at_client), exported(&at_server));
        assert_ne!(exported(&at_client), at_client.connection.export(b"EXPORTER-test", b""));
        at_client.update_keys().unwrap();
        exchange(&mut at_client, &mut at_server, 1000);
        at_server.update_keys().unwrap();
        exchange(&mut at_client, &mut at_server, 1000);
        // Half a connection is still one.
        at_client.close().unwrap();
        assert_eq!(at_server.receive().unwrap(), b"");
        at_server.send(b"last").unwrap();
        assert_eq!(at_client.receive().unwrap(), b"last");
        at_server.close().unwrap();
        assert_eq!(at_client.receive().unwrap(), b"");
    }
}

#[test]
fn protocols_names_and_sizes_are_agreed_on() {
    let pki = Pki::new();
    for limit in [64, 512, 4096] {
        let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
        client.protocols = vec![b"http/1.1", b"mqtt"];
        server.protocols = vec![b"other", b"mqtt"];
        (client.limit, server.limit) = (limit, limit);
        let (at_client, at_server) = handshake(&mut client, &mut server);
        let (mut at_client, mut at_server) = (at_client.unwrap(), at_server.unwrap());
        assert_eq!((at_client.connection.protocol(), at_server.connection.protocol()), (Some(1), Some(1)));
        assert_eq!(at_server.connection.record_size(), usize::from(limit) - 1);
        exchange(&mut at_client, &mut at_server, 10_000);
    }
    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    (client.protocols, server.protocols) = (vec![b"mqtt".as_slice()], vec![b"other".as_slice()]);
    refused(&mut client, &mut server, Error::Alert(Alert::NoApplicationProtocol), Error::Peer(Fault::Protocol));
    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    server.names = vec!["another.example"];
    refused(&mut client, &mut server, Error::Alert(Alert::UnrecognizedName), Error::Peer(Fault::ServerName));
}

fn refused(client: &mut Setup, server: &mut Setup, at_client: Error, at_server: Error) {
    let (mut found, server) = handshake(client, server);
    // A client has finished before it hears that it is refused.
    if let Ok(stream) = &mut found {
        found = Err(stream.receive().unwrap_err());
    }
    assert_eq!(found.err().unwrap().tls(), at_client);
    assert_eq!(server.err().unwrap().tls(), at_server);
}

#[test]
fn a_peer_without_permission_gets_no_connection() {
    let pki = Pki::new();
    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    server.clients = Some(vec!["sensor-8"]);
    let denied = Error::Refused(Refusal::Denied(Denied::NoRuleMatched));
    refused(&mut client, &mut server, Error::Alert(Alert::AccessDenied), denied);

    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    client.credential = None;
    refused(
        &mut client,
        &mut server,
        Error::Alert(Alert::CertificateRequired),
        Error::Peer(Fault::NoClientCertificate),
    );

    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    client.names = vec!["gateway.b.example"];
    server.names = vec!["gateway.b.example"];
    let denied = Error::Refused(Refusal::Denied(Denied::WrongServerName));
    refused(&mut client, &mut server, denied, Error::Alert(Alert::AccessDenied));

    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    client.anchor = Ca::new("Another root", None).der;
    let (found, server) = handshake(&mut client, &mut server);
    let Error::Refused(Refusal::Path(error)) = found.err().unwrap().tls() else { panic!("another error") };
    assert!(matches!(error.kind, PathErrorKind::UnknownIssuer), "{error}");
    assert_eq!(server.err().unwrap().tls(), Error::Alert(Alert::UnknownCa));

    // The key is not that of the certificate.
    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    let other = pki.gateway.credential().key;
    client.credential.as_mut().unwrap().key = other;
    refused(&mut client, &mut server, Error::Alert(Alert::DecryptError), Error::Peer(Fault::CertificateVerify));
}

#[test]
fn a_session_is_resumed_once_and_by_its_generation_alone() {
    let pki = Pki::new();
    let (mut client, mut server) = (Setup::client(&pki), Setup::server(&pki));
    for generation in [1, 1, 1, 2] {
        let is_resumed = client.session.is_some() && server.generation == generation;
        (client.generation, server.generation) = (generation, generation);
        (client.seen, server.seen) = (None, None);
        let (at_client, at_server) = handshake(&mut client, &mut server);
        let (mut at_client, mut at_server) = (at_client.unwrap(), at_server.unwrap());
        assert_eq!(client.seen.is_none(), is_resumed, "generation {generation}");
        assert_eq!(server.seen.is_none(), is_resumed);
        assert_eq!(at_client.connection.peer().generation(), generation);
        exchange(&mut at_client, &mut at_server, 1000);
        assert_eq!(server.sessions.iter().flatten().count(), 1);
        client.session = at_client.session.take();
        assert!(client.session.is_some());
    }
    // The same ticket again, and one after the end of the client's certificate.
    let first = client.session.clone();
    let (at_client, at_server) = handshake(&mut client, &mut server);
    assert!(at_client.is_ok() && at_server.is_ok());
    (client.session, client.seen) = (first, None);
    let (at_client, at_server) = handshake(&mut client, &mut server);
    assert!(at_client.is_ok() && at_server.is_ok() && client.seen.is_some());
}
