//! tlslite-ng's own state machine, bent: a hostile peer in both roles. Each fault has the error that is ours, and the alert
//! that the peer gets.

use std::io;
use std::net::TcpStream;

use edgetrust_tls::{Error, Fault};

use super::drive::{Failure, Setup, Stream, accept, connect};
use super::pki::Pki;
use super::programs::{Files, Listener, Program, dial, linger};
use super::tlslite::{client, start};

use Fault::{
    BadRecord, Binder, CertificateVerify, Decode, Extension, Finished, IdleRecords, Illegal, KeyChange, Missing,
    NoClientCertificate, NoCommon, NoServerCertificate, RecordOverflow, UnexpectedMessage, UnexpectedRecord, Version,
};

/// The faults of a client in its handshake (tests/peers/tlslite/bends.py), and what a server says to them.
const OF_CLIENTS: &[(&str, Fault)] = &[
    ("skip-certificate", UnexpectedMessage(20)),
    ("skip-certificate-verify", UnexpectedMessage(20)),
    ("certificate-twice", UnexpectedMessage(11)),
    ("verify-first", UnexpectedMessage(15)),
    ("empty-certificate", NoClientCertificate),
    ("compressed-certificate", UnexpectedMessage(25)),
    ("certificate-with-context", Illegal("certificate_request_context")),
    ("certificate-that-ends-early", Decode),
    ("bad-signature", CertificateVerify),
    ("another-scheme", Illegal("algorithm")),
    ("bad-finished", Finished),
    ("short-finished", Decode),
    ("finished-and-more", KeyChange),
    ("hello-twice", UnexpectedRecord(22)),
    ("hello-and-more", KeyChange),
    ("empty-fragment", UnexpectedRecord(22)),
    ("empty-protected-fragment", UnexpectedRecord(22)),
    ("interrupted-message", UnexpectedRecord(21)),
    ("data-first", UnexpectedRecord(23)),
    ("data-in-handshake", UnexpectedRecord(23)),
    ("heartbeat", UnexpectedRecord(24)),
    ("protected-heartbeat", UnexpectedRecord(24)),
    ("no-content-type", UnexpectedRecord(0)),
    ("plain-certificate", UnexpectedRecord(22)),
    ("change-cipher-spec-first", UnexpectedRecord(20)),
    ("change-cipher-spec-of-two", UnexpectedRecord(20)),
    ("protected-change-cipher-spec", UnexpectedRecord(20)),
    ("many-change-cipher-specs", IdleRecords),
    ("too-long-record", RecordOverflow),
    ("too-long-protected-record", RecordOverflow),
    // No ticket here allows early data: nobody skips it.
    ("early-data", BadRecord),
    ("sslv2", UnexpectedRecord(0x80)),
    ("http", UnexpectedRecord(b'G')),
    ("tls12", Version),
    ("tls12-of-versions", Version),
    ("no-extensions", Version),
    ("old-legacy-version", Illegal("legacy_version")),
    ("compression", Illegal("legacy_compression_methods")),
    ("no-compression-method", Decode),
    ("odd-suites", Decode),
    ("no-suites", Decode),
    ("long-session-id", Decode),
    ("extension-twice", Illegal("extensions")),
    ("many-extensions", Illegal("extensions")),
    ("no-key-share", Missing("key_share")),
    ("no-groups", Missing("supported_groups")),
    ("no-signature-algorithms", Missing("signature_algorithms")),
    ("share-twice", Illegal("key_share")),
    ("share-of-no-group", Illegal("key_share")),
    ("empty-share", Decode),
    ("point-not-on-curve", Illegal("key_share")),
    ("compressed-point", Illegal("key_share")),
    ("point-at-infinity", Illegal("key_share")),
    ("small-record-size-limit", Illegal("record_size_limit")),
    ("two-names", Decode),
    ("name-of-another-kind", Illegal("server_name")),
    ("key-not-last", Illegal("pre_shared_key")),
    ("key-without-modes", Missing("psk_key_exchange_modes")),
    ("more-binders", Illegal("pre_shared_key")),
    ("short-binder", Decode),
];

/// The faults of a server in its handshake, and what a client says to them.
const OF_SERVERS: &[(&str, Fault)] = &[
    ("skip-extensions", UnexpectedMessage(13)),
    ("skip-certificate", UnexpectedMessage(15)),
    ("skip-certificate-verify", UnexpectedMessage(20)),
    ("ticket-for-finished", UnexpectedMessage(4)),
    ("extensions-twice", UnexpectedMessage(8)),
    ("request-twice", UnexpectedMessage(13)),
    ("certificate-twice", UnexpectedMessage(11)),
    ("verify-first", UnexpectedMessage(15)),
    ("request-late", UnexpectedMessage(13)),
    ("hello-twice", UnexpectedRecord(22)),
    ("finished-first", UnexpectedMessage(20)),
    ("key-update-in-handshake", UnexpectedMessage(24)),
    ("hello-request", UnexpectedMessage(0)),
    ("client-hello", UnexpectedMessage(1)),
    ("bad-signature", CertificateVerify),
    ("another-scheme", Illegal("algorithm")),
    ("bad-finished", Finished),
    ("finished-and-more", KeyChange),
    ("empty-certificate", NoServerCertificate),
    ("compressed-certificate", UnexpectedMessage(25)),
    ("certificate-with-context", Illegal("certificate_request_context")),
    ("certificate-with-extension", Extension(5)),
    ("request-with-context", Illegal("certificate_request_context")),
    ("request-of-nothing", Missing("signature_algorithms")),
    ("request-of-rsa", NoCommon("signature scheme")),
    ("empty-fragment", UnexpectedRecord(22)),
    ("interrupted-message", UnexpectedRecord(21)),
    ("data-in-handshake", UnexpectedRecord(23)),
    ("data-first", UnexpectedRecord(23)),
    ("heartbeat", UnexpectedRecord(24)),
    ("no-content-type", UnexpectedRecord(0)),
    ("change-cipher-spec-of-two", UnexpectedRecord(20)),
    ("protected-change-cipher-spec", UnexpectedRecord(20)),
    ("many-change-cipher-specs", IdleRecords),
    ("too-long-record", RecordOverflow),
    ("too-long-protected-record", RecordOverflow),
    ("unknown-extension", Extension(0xfafa)),
    ("extension-twice", Illegal("extensions")),
    ("share-in-extensions", Illegal("EncryptedExtensions")),
    ("early-data", Extension(42)),
    ("name-with-data", Decode),
    ("protocol-not-offered", Illegal("application_layer_protocol_negotiation")),
    ("small-record-size-limit", Illegal("record_size_limit")),
    ("large-record-size-limit", Illegal("record_size_limit")),
    ("tls12", Version),
    ("tls12-without-extensions", Version),
    ("tls12-by-version", Illegal("supported_versions")),
    ("old-legacy-version", Illegal("legacy_version")),
    ("suite-not-offered", Illegal("cipher_suite")),
    ("session-id", Illegal("legacy_session_id_echo")),
    ("compression", Illegal("legacy_compression_method")),
    ("no-share", Missing("key_share")),
    ("share-of-another-group", Illegal("key_share")),
    ("point-not-on-curve", Illegal("key_share")),
    ("key-not-offered", Extension(41)),
    ("cookie-in-hello", Extension(44)),
    ("hello-extension-twice", Illegal("extensions")),
    ("hello-unknown-extension", Extension(0xfafa)),
    ("hello-and-more", KeyChange),
    ("retry-for-nothing", Illegal("HelloRetryRequest")),
    ("retry-for-the-share", Illegal("key_share")),
    ("retry-with-empty-cookie", Decode),
    ("retry-with-long-cookie", Illegal("cookie")),
    ("retry-twice", UnexpectedMessage(2)),
];

/// The faults after a handshake, and what a server and a client say to them.
const AFTER: &[(&str, Fault, Fault)] = &[
    ("client-hello-after", UnexpectedMessage(1), UnexpectedMessage(1)),
    ("hello-request-after", UnexpectedMessage(0), UnexpectedMessage(0)),
    ("request-after", UnexpectedMessage(13), UnexpectedMessage(13)),
    ("certificate-after", UnexpectedMessage(11), UnexpectedMessage(11)),
    ("finished-after", UnexpectedMessage(20), UnexpectedMessage(20)),
    ("key-update-of-three", Illegal("request_update"), Illegal("request_update")),
    ("long-key-update", Decode, Decode),
    ("key-update-and-more", KeyChange, KeyChange),
    ("interrupted-key-update", UnexpectedRecord(23), UnexpectedRecord(23)),
    ("ticket-of-the-client", UnexpectedMessage(4), Decode),
    ("change-cipher-spec-after", UnexpectedRecord(20), UnexpectedRecord(20)),
    ("plain-data-after", BadRecord, BadRecord),
    ("plain-alert-after", UnexpectedRecord(21), UnexpectedRecord(21)),
    ("empty-alert", UnexpectedRecord(21), UnexpectedRecord(21)),
    ("long-alert", Decode, Decode),
    ("empty-data-without-end", IdleRecords, IdleRecords),
    ("too-long-data", RecordOverflow, RecordOverflow),
    ("long-lived-ticket", UnexpectedMessage(4), Illegal("ticket_lifetime")),
    ("empty-ticket", UnexpectedMessage(4), Decode),
];

/// Returns the error that ends a connection.
fn ending(socket: &TcpStream, opened: Result<Stream<&TcpStream>, Failure>) -> Result<Error, io::Error> {
    let failure = opened.and_then(|mut stream| {
        loop {
            let data = stream.receive()?;
            assert!(!data.is_empty(), "closed without an error");
        }
    });
    linger(socket);
    match failure {
        Ok::<std::convert::Infallible, _>(never) => match never {},
        Err(Failure::Tls(error)) => Ok(error),
        Err(Failure::Io(error)) => Err(error),
    }
}

/// A row: the fault, and the error that is ours.
type Row = (String, Error);

/// Runs servers of ours with a hostile client, one after the other, and returns what is wrong.
fn at_server(pki: &Pki, files: &Files, rows: &[Row]) -> Vec<String> {
    let at = Listener::new();
    let program = client(files, &at, &["--bend", &faults(rows)]);
    let run = |row: &Row| {
        let socket = at.accept(&program);
        let found = ending(&socket, accept(&socket, &mut Setup::server(pki)));
        compare(row, &found, &program)
    };
    rows.iter().filter_map(run).collect()
}

/// Runs clients of ours with a hostile server, one after the other, and returns what is wrong.
fn at_client(pki: &Pki, files: &Files, rows: &[Row]) -> Vec<String> {
    let mut program = start(files, "gateway", &["--bend", &faults(rows), "--alpn", "mqtt"]);
    let port = program.port();
    let run = |row: &Row| {
        let socket = dial(port);
        let mut setup = Setup::client(pki);
        setup.protocols = vec![b"mqtt"];
        let found = ending(&socket, connect(&socket, &mut setup));
        compare(row, &found, &program)
    };
    rows.iter().filter_map(run).collect()
}

fn faults(rows: &[Row]) -> String {
    rows.iter().map(|(fault, _)| fault.as_str()).collect::<Vec<_>>().join(",")
}

fn compare((fault, expected): &Row, found: &Result<Error, io::Error>, program: &Program) -> Option<String> {
    let end = format!("done {fault}\n");
    let shown = program.wait_for(&end);
    let shown = shown.split(&end).next().unwrap();
    let shown = shown.rsplit_once("done ").map_or(shown, |(_, own)| own);
    let alert = format!("alert {}\n", expected.alert().unwrap().code());
    // Having sent a ServerHello it cannot read the second ClientHello that comes first.
    let is_heard = shown.contains(&alert) || fault == "server.retry-twice";
    let is_named = found.as_ref().ok() == Some(expected);
    (!is_named || !is_heard)
        .then(|| format!("{fault}: expected {expected:?} and {alert:?}, found {found:?} and {shown:?}"))
}

/// Checks all rows, two at a time.
fn check(rows: &[Row], run: impl Fn(&Pki, &Files, &[Row]) -> Vec<String> + Sync) {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let (run, pki, files) = (&run, &pki, &files);
    let wrong: Vec<String> = std::thread::scope(|scope| {
        let halves = rows.chunks(rows.len().div_ceil(2)).map(|half| scope.spawn(move || run(pki, files, half)));
        let halves: Vec<_> = halves.collect();
        halves.into_iter().flat_map(|half| half.join().unwrap()).collect()
    });
    assert!(wrong.is_empty(), "{} of {} rows:\n{}", wrong.len(), rows.len(), wrong.join("\n"));
}

#[test]
#[ignore = "needs tlslite-ng: tests/run"]
fn each_fault_of_a_client_has_its_alert() {
    let room = Error::RoomFull { message: 0x0100_0003, room: 4096 };
    let mut rows: Vec<_> =
        OF_CLIENTS.iter().map(|(name, fault)| (format!("client.{name}"), Error::Peer(*fault))).collect();
    rows.extend(AFTER.iter().map(|(name, fault, _)| (format!("after.{name}"), Error::Peer(*fault))));
    rows.push(("client.huge-message".into(), room));
    check(&rows, at_server);
}

#[test]
#[ignore = "needs tlslite-ng: tests/run"]
fn each_fault_of_a_server_has_its_alert() {
    let room = Error::RoomFull { message: 0x0100_0003, room: 4096 };
    let mut rows: Vec<_> =
        OF_SERVERS.iter().map(|(name, fault)| (format!("server.{name}"), Error::Peer(*fault))).collect();
    rows.extend(AFTER.iter().map(|(name, _, fault)| (format!("after.{name}"), Error::Peer(*fault))));
    rows.push(("server.huge-message".into(), room));
    check(&rows, at_client);
}

#[test]
#[ignore = "needs tlslite-ng: tests/run"]
fn the_binder_of_a_known_key_is_checked() {
    let pki = Pki::new();
    let files = Files::new(&pki);
    let at = Listener::new();
    let mut setup = Setup::server(&pki);
    let mut program = client(&files, &at, &["--bend", "client.wrong-binder", "--connections", "2"]);
    let mut stream = at.serve(&mut setup, &program);
    stream.send(b"data").unwrap();
    stream.close().unwrap();
    assert_eq!(stream.receive().unwrap(), b"");
    assert_eq!(at.refuse(&mut setup, &program), Error::Peer(Binder));
    assert!(program.end().1.contains("alert 51"), "{}", program.output());
}
