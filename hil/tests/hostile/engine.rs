//! The engine of `edgetrust-tls` meets the hostile peer in both roles: what it does in each mode is a reviewed table.
//! `UPDATE_HOSTILE=1` writes the tables anew.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use edgetrust_core::crypto::{ECDSA_P256_SHA256, EcdsaSignature, P256Key};
use edgetrust_core::identity::{PeerPolicy, ServerName};
use edgetrust_core::path::{Anchor, Limits, Trust};
use edgetrust_core::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_hil::hostile::client::Outcome;
use edgetrust_hil::hostile::{Expected, MODES, Server, clients};
use edgetrust_hil::pki::{Credential, Pki, Wish};
use edgetrust_tls::{
    Alert, CipherSuite, ClientContext, ClientHandshake, Connection, Demand, Error, Event, Fault, Output, Progress,
    Records, Refusal, ServerContext, ServerHandshake, ServerSession, record_buffer,
};
use rand_core::OsRng;

use super::{NAME, PATIENCE, SHORT, stranger};

const LIMIT: u16 = 16_385;
const ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[ECDSA_P256_SHA256];

/// A chain and its key as the engine takes them.
struct Own(Vec<Vec<u8>>, P256Key);

impl Own {
    fn of(credential: &Credential) -> Self {
        Self(credential.chain.clone(), P256Key::from_pkcs8(credential.key.serialized_der()).unwrap())
    }
}

impl edgetrust_tls::Credential for Own {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        self.0.get(index).map(Vec::as_slice)
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        self.1.sign(message)
    }
}

/// How a connection ended.
#[derive(Debug)]
enum End {
    /// There was no connection.
    Refused(Error),
    /// The connection ended for this reason.
    Broken(Error),
    /// The peer said close_notify.
    Closed,
    /// The socket ended, before the connection or after.
    Eof,
    /// Nothing came in time.
    Silent,
}

impl End {
    /// Returns the alert that the peer gets.
    fn alert(&self) -> Option<Alert> {
        match self {
            Self::Refused(error) | Self::Broken(error) => error.alert(),
            _ => None,
        }
    }
}

impl std::fmt::Display for End {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Refused(error) => write!(f, "refused: {}", reason(error)),
            Self::Broken(error) => write!(f, "broken: {}", reason(error)),
            Self::Closed => f.write_str("closed by close_notify"),
            Self::Eof => f.write_str("ended without close_notify"),
            Self::Silent => f.write_str("given up"),
        }
    }
}

/// Returns the reason without what is another in each run: times, places in certificates, and noise.
fn reason(error: &Error) -> String {
    let kind = match error {
        Error::Refused(Refusal::Path(error)) => format!("{:?}", error.kind),
        Error::Refused(Refusal::Certificate(error)) => format!("{:?}", error.kind),
        Error::Peer(Fault::UnexpectedRecord(24..)) => {
            return "a record of an unknown content type is not due".to_owned();
        }
        Error::RoomFull { .. } => return "a message is longer than the room for it".to_owned(),
        other => return other.to_string(),
    };
    let end = kind.find([' ', '(', '{']).unwrap_or(kind.len());
    format!("the peer's chain: {}", &kind[..end])
}

fn now() -> TrustedTime {
    TrustedTime::Known(UnixTime::now())
}

/// A socket with the records that come from it.
struct Wire<'b> {
    socket: TcpStream,
    records: Records<'b>,
    until: Instant,
}

/// What ends a wait for a record.
enum Stop {
    Tls(Error),
    End(End),
}

impl<'b> Wire<'b> {
    fn new(socket: TcpStream, buffer: &'b mut [u8], time: Duration) -> Self {
        Self { socket, records: Records::new(buffer), until: Instant::now() + time }
    }

    fn record(&mut self) -> Result<&mut [u8], Stop> {
        self.records.next_record();
        while self.records.record().is_none() {
            let left = self.until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
            self.socket.set_read_timeout(Some(left)).unwrap();
            match self.socket.read(self.records.space()) {
                Ok(0) => return Err(Stop::End(End::Eof)),
                Ok(count) => self.records.filled(count).map_err(Stop::Tls)?,
                Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                    return Err(Stop::End(End::Silent));
                }
                Err(_) => return Err(Stop::End(End::Eof)),
            }
        }
        Ok(self.records.record().unwrap())
    }

    /// Sends what there is; a peer that is gone does not hear it.
    fn flush(&mut self, out: &mut Output<'_>) {
        self.socket.write_all(out.octets()).ok();
        out.clear();
    }

    /// Reads what the peer still sends, so that nothing resets the connection before it has read the alert.
    fn drain(&mut self) {
        self.socket.shutdown(Shutdown::Write).ok();
        self.socket.set_read_timeout(Some(PATIENCE)).unwrap();
        io::copy(&mut self.socket, &mut io::sink()).ok();
    }
}

/// Answers data with data, until the connection ends. Returns what came.
fn talk(mut connection: Connection, wire: &mut Wire<'_>, request: &[u8], answer: &[u8]) -> (End, Vec<u8>) {
    let mut space = vec![0; 4096];
    let mut out = Output::new(&mut space);
    let mut all = Vec::new();
    connection.send(request, &mut out).unwrap();
    loop {
        wire.flush(&mut out);
        let end = match wire.record() {
            Ok(record) => match connection.receive(record, &mut out) {
                Ok(Event::Data(data)) => {
                    all.extend_from_slice(data);
                    connection.send(answer, &mut out).unwrap();
                    continue;
                }
                Ok(Event::Closed) => End::Closed,
                Ok(_) => continue,
                Err(error) => End::Broken(error),
            },
            Err(Stop::Tls(error)) => {
                connection.abort(error.alert().unwrap(), &mut out);
                End::Broken(error)
            }
            Err(Stop::End(end)) => end,
        };
        wire.flush(&mut out);
        return (end, all);
    }
}

/// Serves one client.
fn serve(socket: TcpStream, own: &mut Own, root: &[u8], sessions: &mut [Option<ServerSession>]) -> End {
    let (mut buffer, mut room, mut space) = (vec![0; record_buffer(LIMIT)], vec![0; 8192], vec![0; 8192]);
    let (mut wire, mut out) = (Wire::new(socket, &mut buffer, PATIENCE), Output::new(&mut space));
    let anchors = [Anchor::ca(Certificate::from_der(root).unwrap())];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: ALGORITHMS };
    let mut context = ServerContext {
        demand: Demand { trust, policy: PeerPolicy::AnyVerified, now: now(), limits: Limits::DEVICE, generation: 1 },
        credential: own,
        rng: &mut OsRng,
        admitted: &mut |_| (),
        suites: CipherSuite::ALL,
        protocols: &[],
        names: None,
        sessions: Some(sessions),
    };
    let mut handshake = ServerHandshake::new(&mut room, LIMIT);
    let end = loop {
        match wire.record() {
            Ok(record) => match handshake.receive(record, &mut context, &mut out) {
                Ok(Progress::Pending) => {}
                Ok(Progress::Connected(connection)) => {
                    wire.flush(&mut out);
                    break talk(connection, &mut wire, b"", b"answer").0;
                }
                Err(error) => break End::Refused(error),
            },
            Err(Stop::Tls(error)) => {
                handshake.abort(error.alert().unwrap(), &mut out);
                break End::Refused(error);
            }
            Err(Stop::End(end)) => break end,
        }
        wire.flush(&mut out);
    };
    wire.flush(&mut out);
    wire.drain();
    end
}

/// Connects to a server, and sends a request.
fn connect(server: SocketAddr, own: &mut Own, root: &[u8], time: Duration) -> (End, Vec<u8>) {
    let (mut buffer, mut room, mut space) = (vec![0; record_buffer(LIMIT)], vec![0; 8192], vec![0; 8192]);
    let mut out = Output::new(&mut space);
    let mut wire = Wire::new(TcpStream::connect(server).unwrap(), &mut buffer, time);
    let anchors = [Anchor::ca(Certificate::from_der(root).unwrap())];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: ALGORITHMS };
    let policy = ServerName::Dns(NAME).into();
    let mut context = ClientContext {
        demand: Demand { trust, policy, now: now(), limits: Limits::DEVICE, generation: 1 },
        credential: Some(own),
        rng: &mut OsRng,
        admitted: &mut |_| (),
        suites: &[CipherSuite::Aes128Gcm],
        protocols: &[],
        session: None,
    };
    let mut handshake = ClientHandshake::start(&mut room, LIMIT, &mut context, &mut out).unwrap();
    let end = loop {
        wire.flush(&mut out);
        match wire.record() {
            Ok(record) => match handshake.receive(record, &mut context, &mut out) {
                Ok(Progress::Pending) => {}
                Ok(Progress::Connected(connection)) => {
                    wire.flush(&mut out);
                    return talk(connection, &mut wire, b"GET / HTTP/1.1\r\n\r\n", b"");
                }
                Err(error) => break End::Refused(error),
            },
            Err(Stop::Tls(error)) => {
                handshake.abort(error.alert().unwrap(), &mut out);
                break End::Refused(error);
            }
            Err(Stop::End(end)) => break end,
        }
    };
    wire.flush(&mut out);
    (end, Vec::new())
}

/// The modes in which rustls does something else, each with what allows the engine to do as it does.
#[rustfmt::skip]
const DIFFERENCES: &[(&str, &[&str])] = &[
    ("RFC 8446 section 5.1: a record of another content type ends the connection by unexpected_message; so do empty handshake and alert records",
     &["empty-handshake-record", "empty-alert-record", "garbage", "heartbeat", "http", "unknown-inner-type"]),
    ("RFC 8446 section 5.1: the records of a message follow each other without another between them",
     &["interrupted-hello", "interrupted-message", "key-update-half"]),
    ("RFC 8446 section 5.2: a record of more than 2^14 + 256 octets ends the connection by record_overflow", &["long-record", "long-plaintext-record"]),
    ("RFC 8446 section 5.4: encrypted records without content type, and empty ones of handshake messages, end the connection by unexpected_message",
     &["all-zero-inner-plaintext", "empty-inner-plaintext", "empty-handshake-inner"]),
    ("RFC 8446 section 5: a record that is not encrypted where it must be is unexpected", &["plaintext-certificate", "two-hellos", "late-plaintext-alert"]),
    ("RFC 8446 section 6.2: decode_error for a length out of range; a Finished has the length of the hash (section 4.4.4), a certificate one octet (section 4.4.2)",
     &["empty-finished", "short-finished", "trailing-finished", "empty-entry", "long-record-size-limit"]),
    ("RFC 8446 section 6.2: unexpected_message for a message that is not due, whatever it contains", &["server-hello-first"]),
    ("RFC 8446 section 4.4.2: the context is empty in a handshake, extensions only those that were asked for", &["certificate-context", "certificate-extension"]),
    ("RFC 8446 section 4.2.3: the curve belongs to the scheme", &["verify-of-another-curve"]),
    ("RFC 8446 section 9.2: missing_extension", &["no-groups", "no-key-share", "no-schemes"]),
    ("RFC 8446 section 4.2.8: no share of a group that is not offered; a server may check", &["share-without-group"]),
    ("RFC 8446 section 4.1.2: nothing else changes after a HelloRetryRequest", &["retry-other-random", "retry-other-suites", "retry-two-shares"]),
    ("RFC 8446 appendix D.5: protocol_version for SSL 3.0", &["ssl3", "ssl3-with-versions"]),
    ("RFC 8446 section 4.2.1: without supported_versions the client has no common version", &["no-extensions"]),
    ("RFC 8446 section 4.2.10: only a ticket that allows early data lets a client send some, and none of these does", &["early-data"]),
    ("RFC 8449 section 4: a limit below 64 ends the connection by illegal_parameter", &["record-size-limit-of-63"]),
    ("RFC 8446 section 6.1: close_notify needs no answer", &["close-notify-amid"]),
    ("No memory or work without bound (RFC 8446 appendix C.3 leaves limits to implementations)",
     &["long-chain", "endless-certificate", "endless-hello", "thousand-extensions", "many-change-cipher-spec", "many-alerts", "key-updates", "empty-records"]),
];

/// Compares a table with the one that was reviewed.
fn is_as_reviewed(name: &str, found: &str) {
    let path = format!("{}/tests/data/{name}", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("UPDATE_HOSTILE").is_some() {
        std::fs::write(&path, found).unwrap();
    }
    assert_eq!(std::fs::read_to_string(&path).unwrap(), found, "UPDATE_HOSTILE=1 writes {path} anew");
}

/// Names an alert.
fn named(alert: Option<Alert>) -> String {
    alert.map_or_else(|| "-".to_owned(), |alert| alert.to_string())
}

fn alert_of(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Served(_) => "served".to_owned(),
        Outcome::Alert(code) => Alert::of(*code).to_string(),
        Outcome::Ended => "-".to_owned(),
    }
}

#[test]
fn the_engine_refuses_hostile_clients_by_the_alerts_of_the_table() {
    let pki = Pki::new();
    let own = pki.issue(&Wish::server(NAME));
    let credential = pki.device(&Wish::client("sensor-7.a.example"));
    let another = pki.stranger.issue_chain(&Wish::client("sensor-7.a.example"));
    let mut table = String::from("client | EdgeTrust | rustls | EdgeTrust's reason\n");
    for mode in clients() {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let address = listener.local_addr().unwrap();
        let server = std::thread::scope(|scope| {
            // The last connection counts: some modes make one before, for a ticket.
            let server = scope.spawn(|| {
                let (mut own, mut sessions, mut last) = (Own::of(&own), vec![None; 4], None);
                loop {
                    let (socket, _) = listener.accept().unwrap();
                    // A connection that says nothing is the end of the test.
                    if socket.peek(&mut [0]).unwrap_or_default() == 0 {
                        return (last.unwrap_or(End::Eof), sessions.iter().flatten().count());
                    }
                    last = Some(serve(socket, &mut own, &pki.root.der, &mut sessions));
                }
            });
            let outcome = mode.ask(address, &credential, &another);
            drop(TcpStream::connect(address).unwrap());
            (outcome, server.join().unwrap())
        });
        let (outcome, (end, sessions)) = server;
        let outcome = outcome.unwrap_or_else(|error| panic!("{}: {error}, {end:?}", mode.name));
        // RFC 8446 section 4.2.9: a client that cannot resume gets no ticket.
        let resumes = ["resumption", "second-identity"].contains(&mode.name);
        assert!(!mode.is_lawful || sessions == usize::from(resumes), "{}: {sessions}", mode.name);
        let rustls = stranger::meets(mode, &pki, &own, &credential, &another);
        assert_eq!(mode.is_lawful, matches!(outcome, Outcome::Served(_)), "{}: {outcome:?} {end}", mode.name);
        // What the engine says that it sends is what the client gets.
        if let Outcome::Alert(code) = outcome {
            assert_eq!(end.alert(), Some(Alert::of(code)), "{}", mode.name);
        }
        writeln!(table, "{} | {} | {} | {end}", mode.name, alert_of(&outcome), alert_of(&rustls)).unwrap();
    }
    is_as_reviewed("hostile-clients.txt", &table);
    let differ = table.lines().skip(1).filter_map(|line| {
        let mut columns = line.split(" | ");
        let (name, ours, theirs) = (columns.next()?, columns.next()?, columns.next()?);
        (ours != theirs).then_some(name)
    });
    let allowed: BTreeSet<&str> = DIFFERENCES.iter().flat_map(|(_, names)| names.iter().copied()).collect();
    assert_eq!(differ.collect::<BTreeSet<_>>(), allowed, "differences from rustls, each with its reason");
}

#[test]
fn the_engine_refuses_hostile_servers_by_the_alerts_of_the_table() {
    let pki = Pki::new();
    let credential = pki.device(&Wish::client("sensor-7.a.example"));
    let mut table = String::from("server | alert | reason\n");
    for mode in MODES {
        let server = Server::start(mode, &pki, NAME).unwrap();
        // The engine takes the new key of a KeyUpdate, after which this server says nothing.
        let is_silent = matches!(mode.expected, Expected::GivenUp | Expected::Silent) || mode.name == "key-update";
        let time = if is_silent { SHORT } else { PATIENCE };
        let (end, answer) = connect(server.address(), &mut Own::of(&credential), &pki.root.der, time);
        let is_served = answer.starts_with(b"HTTP/1.1 200 ");
        let seen = server.finish();
        // A server that is refused learns nothing, and no other alert than the one that counts.
        if matches!(end, End::Refused(_)) {
            assert!(!seen.gave_away() && !is_served, "{}: {seen:?}", mode.name);
        }
        let alerts = seen.alerts.iter().filter(|(_, code)| *code != 0);
        assert!(alerts.clone().all(|(_, code)| Some(Alert::of(*code)) == end.alert()), "{}: {seen:?}", mode.name);
        let served = if is_served { "served, " } else { "" };
        writeln!(table, "{} | {} | {served}{end}", mode.name, named(end.alert())).unwrap();
    }
    is_as_reviewed("hostile-servers.txt", &table);
}
