//! The traces of RFC 8448: the key schedule, the protection of records and the transcript come to its values.

extern crate std;

use std::vec::Vec;

use crate::key_schedule::{Early, Handshake, Hash, finished, pre_shared_key};
use crate::message::ticket::NewSessionTicket;
use crate::message::{Extensions, SECP256R1, extension, kind, split};
use crate::protection::{CipherSuite, TrafficKey};
use crate::record::{content, open, read_alert};
use crate::secret::Secret;
use crate::transcript::Transcript;

/// Returns a value by its section and name.
fn value(name: &str) -> Vec<u8> {
    let all = include_str!("../tests/data/rfc8448.txt");
    let found = all.split("\n\n").find_map(|part| part.strip_prefix(name)?.strip_prefix('\n'));
    let digits: Vec<u8> = found.unwrap().bytes().filter(|octet| !octet.is_ascii_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn secret(name: &str) -> Secret {
    Secret(value(name).try_into().unwrap())
}

fn key(secret: &Secret) -> TrafficKey {
    TrafficKey::new(CipherSuite::Aes128Gcm, secret.clone())
}

/// Opens a record, and returns its content type and content.
fn opened(record: &str, key: &mut TrafficKey) -> (u8, Vec<u8>) {
    let mut record = value(record);
    let (kind, content) = open(&mut record, Some(key), 16_385, false).unwrap();
    (kind, content.to_vec())
}

/// Returns the record that this content makes.
fn sealed(kind: u8, content: &[u8], key: &mut TrafficKey) -> Vec<u8> {
    let mut space = [0; 1024];
    let mut out = crate::Output::new(&mut space);
    out.add(kind, Some(key), 16_385, |writer| writer.put(content), |_| ()).unwrap();
    out.octets().to_vec()
}

/// Splits messages apart.
fn messages(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut all = Vec::new();
    while let [_, high, middle, low, ..] = *octets {
        let length = usize::from(high) << 16 | usize::from(middle) << 8 | usize::from(low);
        let (message, rest) = octets.split_at(length + 4);
        all.push(message);
        octets = rest;
    }
    all
}

/// Follows a handshake from the ServerHello on, whose traffic secrets, Finished, records and exporter all are in the
/// RFC. Returns the resumption secret, and the keys of the client's and the server's application data.
fn follow(section: &str, schedule: Handshake, transcript: &mut Transcript) -> (Secret, TrafficKey, TrafficKey) {
    let name = |name: &str| std::format!("{section} {name}");
    let secrets = schedule.traffic(&transcript.hash());
    assert_eq!(secrets.client.0, secret(&name("client_handshake")).0);
    assert_eq!(secrets.server.0, secret(&name("server_handshake")).0);

    // The server's flight is one record, which has the same octets when it is protected again.
    let record = name("server_flight_record");
    let (kind, flight) = opened(&record, &mut key(&secrets.server));
    assert_eq!(kind, content::HANDSHAKE);
    assert_eq!(sealed(kind, &flight, &mut key(&secrets.server)), value(&record));
    let flight = messages(&flight);
    let kinds: Vec<u8> = flight.iter().map(|message| message[0]).collect();
    assert_eq!(kinds, [kind::ENCRYPTED_EXTENSIONS, kind::CERTIFICATE, kind::CERTIFICATE_VERIFY, kind::FINISHED]);
    let (last, before) = flight.split_last().unwrap();
    before.iter().for_each(|message| transcript.add(message));
    assert_eq!(&last[4..], finished(&secrets.server, &transcript.hash()));
    transcript.add(last);

    let hash = transcript.hash();
    let main = schedule.main();
    let applications = main.traffic(&hash);
    assert_eq!(applications.client.0, secret(&name("client_application")).0);
    assert_eq!(applications.server.0, secret(&name("server_application")).0);
    assert_eq!(main.exporter(&hash).0, secret(&name("exporter")).0);

    let record = name("client_finished_record");
    let (kind, answer) = opened(&record, &mut key(&secrets.client));
    assert_eq!(sealed(kind, &answer, &mut key(&secrets.client)), value(&record));
    assert_eq!(answer[4..], finished(&secrets.client, &hash));
    assert_eq!(answer[4..], value(&name("client_finished")));
    transcript.add(&answer);
    let resumption = main.resumption(&transcript.hash());
    assert_eq!(resumption.0, secret(&name("resumption")).0);
    (resumption, key(&applications.client), key(&applications.server))
}

/// Checks the alerts at the end of a trace.
fn closes(section: &str, client: &mut TrafficKey, server: &mut TrafficKey) {
    for (side, key) in [("client", client), ("server", server)] {
        let (kind, alert) = opened(&std::format!("{section} {side}_alert_record"), key);
        assert_eq!((kind, read_alert(&alert)), (content::ALERT, Ok(crate::Alert::CloseNotify)));
    }
}

#[test]
fn section_3_a_simple_handshake() {
    let mut transcript = Transcript::new();
    transcript.add(&value("3 client_hello"));
    transcript.add(&value("3 server_hello"));
    let schedule = Early::new(None).handshake(&secret("3 ecdhe"));
    let (resumption, mut client, mut server) = follow("3", schedule, &mut transcript);

    let (kind, ticket) = opened("3 ticket_record", &mut server);
    assert_eq!(kind, content::HANDSHAKE);
    let (kind, body) = split(&ticket).unwrap();
    assert_eq!(kind, kind::NEW_SESSION_TICKET);
    let ticket = NewSessionTicket::read(body).unwrap();
    assert_eq!((ticket.lifetime, ticket.nonce), (30, [0, 0].as_slice()));
    assert_eq!(pre_shared_key(&resumption, ticket.nonce).0, secret("3 pre_shared_key").0);

    for (record, key) in [("3 client_data_record", &mut client), ("3 server_data_record", &mut server)] {
        assert_eq!(opened(record, key), (content::APPLICATION_DATA, value("3 payload")));
    }
    closes("3", &mut client, &mut server);
}

#[test]
fn section_4_a_resumed_handshake() {
    let early = Early::new(Some(&secret("3 pre_shared_key")));
    let mut transcript = Transcript::new();
    let prefix = value("4 client_hello_prefix");
    let binder = value("4 binder");
    assert_eq!(finished(&early.binder(), &transcript.hash_with(&prefix)), binder.as_slice());
    let whole = [&prefix[..], &[0, 33, 32], &binder].concat();
    transcript.add(&whole);
    // The binder covers just the octets that the RFC says it does.
    let (_, body) = split(&whole).unwrap();
    let hello = crate::message::client_hello::ClientHello::read(body).unwrap();
    let offered = hello.offered.unwrap();
    assert_eq!(whole.len() - offered.uncovered, prefix.len());
    let found = offered.find(|identity| (identity.len() == 178).then_some(())).unwrap().unwrap();
    assert_eq!((found.0, found.1), (0, binder.as_slice()));

    transcript.add(&value("4 server_hello"));
    let schedule = early.handshake(&secret("4 ecdhe"));
    let secrets = schedule.traffic(&transcript.hash());
    assert_eq!(secrets.client.0, secret("4 client_handshake").0);
    assert_eq!(secrets.server.0, secret("4 server_handshake").0);
    transcript.add(&value("4 encrypted_extensions"));
    let last = value("4 server_finished");
    assert_eq!(last[4..], finished(&secrets.server, &transcript.hash()));
    transcript.add(&last);
    let hash = transcript.hash();
    let main = schedule.main();
    let secrets = main.traffic(&hash);
    assert_eq!(secrets.client.0, secret("4 client_application").0);
    assert_eq!(secrets.server.0, secret("4 server_application").0);
    assert_eq!(main.exporter(&hash).0, secret("4 exporter").0);
}

#[test]
fn section_5_a_hello_retry_request() {
    let mut transcript = Transcript::new();
    transcript.add(&value("5 client_hello_1"));
    transcript.retry();
    for message in ["5 retry", "5 client_hello_2", "5 server_hello"] {
        transcript.add(&value(message));
    }
    // The one group of this engine: the client's key makes the shared secret of the server's share.
    let private = p256::NonZeroScalar::try_from(value("5 client_private").as_slice()).unwrap();
    let hello = value("5 server_hello");
    let share = share_of(&hello);
    let point = p256::PublicKey::from_sec1_bytes(share).unwrap();
    let shared = p256::ecdh::diffie_hellman(private, point.as_affine());
    assert_eq!(shared.raw_secret_bytes()[..], value("5 ecdhe"));

    let schedule = Early::new(None).handshake(&secret("5 ecdhe"));
    let (_, mut client, mut server) = follow("5", schedule, &mut transcript);
    closes("5", &mut client, &mut server);
}

/// Returns the share of a ServerHello, which stands behind version, random, an empty session_id, suite and compression.
fn share_of(hello: &[u8]) -> &[u8] {
    let (_, mut body) = split(hello).unwrap();
    body.take(2 + 32 + 1 + 2 + 1).unwrap();
    let mut extensions = Extensions::new(body.vec16().unwrap());
    while let Some((kind, mut data)) = extensions.next().unwrap() {
        if kind == extension::KEY_SHARE {
            assert_eq!(data.u16(), Ok(SECP256R1));
            return data.vec16().unwrap().rest();
        }
    }
    panic!("no key_share")
}

/// Another shared secret comes to other values, and opens nothing.
#[test]
fn values_are_not_compared_with_themselves() {
    let mut transcript = Transcript::new();
    transcript.add(&value("3 client_hello"));
    transcript.add(&value("3 server_hello"));
    let hash: Hash = transcript.hash();
    let right = Early::new(None).handshake(&secret("3 ecdhe")).traffic(&hash);
    let other = Early::new(None).handshake(&secret("5 ecdhe")).traffic(&hash);
    assert_ne!(right.client.0, other.client.0);
    let mut record = value("3 server_flight_record");
    assert!(open(&mut record, Some(&mut key(&other.server)), 16_385, false).is_err());
}
