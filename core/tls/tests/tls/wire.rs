//! A whole handshake between two of ours over a wire that changes what it carries, as a script of octets says. Fuzzing
//! uses this file too, so it brings its own certificates, keys and random numbers.

use edgetrust_core::crypto::{ECDSA_P256_SHA256, EcdsaSignature, P256Key};
use edgetrust_core::identity::{PeerPolicy, ServerName};
use edgetrust_core::path::{Anchor, Limits, Trust};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_tls::{
    Alert, CipherSuite, ClientContext, ClientHandshake, ClientSession, Connection, Credential, Demand, Error, Event,
    Output, Progress, Records, ServerContext, ServerHandshake, ServerSession, record_buffer,
};
use rand_core::{CryptoRng, RngCore, impls};

const ROOT: &[u8] = include_bytes!("../data/wire/root.der");
const SERVER: &[u8] = include_bytes!("../data/wire/server.der");
const CLIENT: &[u8] = include_bytes!("../data/wire/client.der");
/// 2027-01-01, at which these certificates are valid.
const NOW: UnixTime = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1_798_761_600));

const LIMIT: u16 = 2048;
const DATA: [&[u8]; 3] = [b"first", &[7; 3000], b"third"];
/// More records than any handshake and its data have, with all that a script adds.
const MAX_STEPS: usize = 2000;

/// Numbers that are the same each time.
pub struct Numbers(pub u64);

impl RngCore for Numbers {
    fn next_u32(&mut self) -> u32 {
        self.next_u64() as u32
    }

    fn next_u64(&mut self) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        self.0 ^ self.0 >> 29
    }

    fn fill_bytes(&mut self, out: &mut [u8]) {
        impls::fill_bytes_via_next(self, out);
    }

    fn try_fill_bytes(&mut self, out: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(out);
        Ok(())
    }
}

impl CryptoRng for Numbers {}

/// A certificate with the key that was made of one octet.
struct Own(&'static [u8], P256Key);

impl Own {
    fn new(der: &'static [u8], octet: u8) -> Self {
        Self(der, P256Key::from_random(&[octet; 32]).unwrap())
    }
}

impl Credential for Own {
    fn certificate(&self, index: usize) -> Option<&[u8]> {
        (index == 0).then_some(self.0)
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        self.1.sign(message)
    }
}

/// What a side has come to.
enum Stage<H> {
    Handshake(H),
    Open(Box<Connection>),
    Failed(Error),
}

/// A side: what it is, what it has received, what it has sent.
struct Side<'b, H> {
    stage: Stage<H>,
    records: Records<'b>,
    got: Vec<u8>,
    /// True if its connection was open once.
    was_open: bool,
    /// Octets that it has put on the wire.
    sent: usize,
    exported: Option<[u8; 32]>,
    protocol: Option<usize>,
    leaf: Option<[u8; 32]>,
    session: Option<ClientSession>,
}

impl<'b, H> Side<'b, H> {
    fn new(handshake: H, buffer: &'b mut [u8]) -> Self {
        Self {
            stage: Stage::Handshake(handshake),
            records: Records::new(buffer),
            got: Vec::new(),
            was_open: false,
            sent: 0,
            exported: None,
            protocol: None,
            leaf: None,
            session: None,
        }
    }

    fn open(&mut self, mut connection: Connection, out: &mut Output<'_>, update: bool) {
        self.was_open = true;
        self.exported = connection.export(b"EXPORTER-wire", b"");
        self.protocol = connection.protocol();
        self.leaf = Some(*connection.peer().leaf());
        for data in DATA {
            assert_eq!(connection.send(data, out), Ok(data.len()));
            if update {
                connection.update_keys(true, out).unwrap();
            }
        }
        self.stage = Stage::Open(Box::new(connection));
    }

    /// Takes octets of the stream. `handshake` takes a record of the handshake, `abort` ends it.
    fn receive(
        &mut self,
        mut octets: &[u8],
        out: &mut Output<'_>,
        update: bool,
        mut handshake: impl FnMut(&mut H, &mut [u8], &mut Output<'_>) -> Result<Progress, Error>,
        abort: impl Fn(&mut H, Alert, &mut Output<'_>),
    ) {
        while !octets.is_empty() {
            let space = self.records.space();
            let count = space.len().min(octets.len());
            assert!(count > 0, "no place for a record that was not refused");
            space[..count].copy_from_slice(&octets[..count]);
            octets = &octets[count..];
            let mut outcome = self.records.filled(count);
            if let Err(error) = outcome {
                let alert = error.alert().unwrap();
                match &mut self.stage {
                    Stage::Handshake(one) => abort(one, alert, out),
                    Stage::Open(connection) => connection.abort(alert, out),
                    Stage::Failed(_) => {}
                }
            } else if let Some(record) = self.records.record() {
                outcome = match &mut self.stage {
                    Stage::Handshake(one) => match handshake(one, record, out) {
                        Ok(Progress::Pending) => Ok(()),
                        Ok(Progress::Connected(connection)) => {
                            self.open(connection, out, update);
                            Ok(())
                        }
                        Err(error) => Err(error),
                    },
                    Stage::Open(connection) => match connection.receive(record, out) {
                        Ok(Event::Data(data)) => {
                            self.got.extend_from_slice(data);
                            Ok(())
                        }
                        Ok(Event::Ticket(ticket)) => {
                            self.session = ticket.session(NOW);
                            Ok(())
                        }
                        Ok(Event::Nothing | Event::Closed) => Ok(()),
                        Err(error) => Err(error),
                    },
                    Stage::Failed(_) => Ok(()),
                };
                self.records.next_record();
            }
            if let Err(error) = outcome {
                self.stage = Stage::Failed(error);
            }
            if matches!(self.stage, Stage::Failed(_)) {
                return;
            }
        }
    }
}

/// A change of the wire to a record.
#[derive(Clone, Copy)]
struct Change {
    record: u8,
    what: u8,
    place: u8,
    value: u8,
}

/// The records of a stream that end with a whole one.
fn split(mut octets: &[u8]) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    while let [_, _, _, high, low, ..] = *octets {
        let (record, rest) = octets.split_at(5 + usize::from(u16::from_be_bytes([high, low])));
        all.push(record.to_vec());
        octets = rest;
    }
    all
}

/// Changes a record, and returns what comes out at the other end of the wire. `held` is a record that is late.
fn changed(mut record: Vec<u8>, change: Change, held: &mut Option<Vec<u8>>) -> Vec<Vec<u8>> {
    // Places count from both ends: headers stand at one, tags at the other.
    let place = usize::from(change.place >> 1) % record.len();
    let place = if change.place & 1 == 0 { place } else { record.len() - 1 - place };
    match change.what % 10 {
        0 => record[place] ^= change.value.max(1),
        1 => record.insert(place, change.value),
        2 => drop(record.remove(place)),
        3 => return vec![record.clone(), record],
        4 => return Vec::new(),
        5 => {
            *held = Some(record);
            return Vec::new();
        }
        // As a peer may cut it, if it is not encrypted.
        6 if record.len() > 6 => {
            let cut = 1 + usize::from(change.place) % (record.len() - 6);
            let (one, other) = record[5..].split_at(cut);
            let whole = |part: &[u8]| [&[record[0], 3, 3, (part.len() >> 8) as u8, part.len() as u8], part].concat();
            return vec![whole(one), whole(other)];
        }
        7 => record.truncate(place),
        8 => {
            // Another length of the content, and as many octets.
            let length = usize::from(change.value) << (change.place & 7);
            record.resize(5 + length, change.value);
            record[3..5].copy_from_slice(&(length as u16).to_be_bytes());
        }
        _ => {
            let other: &[u8] = match change.value % 6 {
                0 => &[20, 3, 3, 0, 1, 1],
                1 => &[21, 3, 3, 0, 2, 1, 90],
                2 => &[21, 3, 3, 0, 2, 2, 40],
                3 => &[23, 3, 3, 0, 0],
                4 => &[22, 3, 3, 0, 4, 20, 0, 0, 0],
                _ => &[22, 3, 3, 0, 5, 24, 0, 0, 1, 0],
            };
            return vec![other.to_vec(), record];
        }
    }
    vec![record]
}

/// What came of a case.
pub struct Outcome {
    pub is_client_open: bool,
    pub is_server_open: bool,
    /// True if all data of both sides has come.
    pub is_complete: bool,
    session: Option<ClientSession>,
    sessions: [Option<ServerSession>; 2],
}

/// Makes a handshake and sends data both ways over a wire that does what a script says: the first octet chooses suites,
/// protocols, resumption and new keys, and each four after it are a change to a record.
///
/// # Panics
/// If the two sides do not agree, or one of them does what it never may.
pub fn run(script: &[u8]) -> Outcome {
    let [flags, changes @ ..] = script else { return case(0, &[], None, Default::default()) };
    let changes: Vec<Change> = changes
        .chunks_exact(4)
        .take(16)
        .map(|one| Change { record: one[0] % 24, what: one[1], place: one[2], value: one[3] })
        .collect();
    if flags & 8 == 0 {
        return case(*flags, &changes, None, Default::default());
    }
    let first = case(*flags & !8, &[], None, Default::default());
    assert!(first.is_complete && first.session.is_some());
    case(*flags, &changes, first.session, first.sessions)
}

fn case(
    flags: u8,
    changes: &[Change],
    session: Option<ClientSession>,
    mut sessions: [Option<ServerSession>; 2],
) -> Outcome {
    let anchors = [Anchor::ca(Certificate::from_der(ROOT).unwrap())];
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[ECDSA_P256_SHA256] };
    let (mut client_key, mut server_key) = (Own::new(CLIENT, 3), Own::new(SERVER, 2));
    let (mut client_numbers, mut server_numbers) = (Numbers(1), Numbers(2));
    let now = TrustedTime::Known(NOW);
    let (mut client_buffer, mut server_buffer) = (vec![0; record_buffer(LIMIT)], vec![0; record_buffer(LIMIT)]);
    let (mut client_room, mut server_room) = (vec![0; 1024], vec![0; 1024]);
    let (mut client_space, mut server_space) = (vec![0; 8192], vec![0; 8192]);
    let (mut client_out, mut server_out) = (Output::new(&mut client_space), Output::new(&mut server_space));
    let suites = if flags & 1 == 0 { CipherSuite::ALL } else { &[CipherSuite::Aes128Gcm] };
    let (mut admitted, mut also_admitted) = (0, 0);
    let mut client_context = ClientContext {
        demand: Demand {
            trust,
            policy: ServerName::Dns("gateway.a.example").into(),
            now,
            limits: Limits::DEVICE,
            generation: 1,
        },
        credential: Some(&mut client_key),
        rng: &mut client_numbers,
        admitted: &mut |_| admitted += 1,
        suites,
        protocols: if flags & 2 == 0 { &[] } else { &[b"one", b"two"] },
        session: session.as_ref().map(|session| -> &ClientSession<[u8]> { session }),
    };
    let mut server_context = ServerContext {
        demand: Demand { trust, policy: PeerPolicy::AnyVerified, now, limits: Limits::DEVICE, generation: 1 },
        credential: &mut server_key,
        rng: &mut server_numbers,
        admitted: &mut |_| also_admitted += 1,
        suites: CipherSuite::ALL,
        protocols: if flags & 2 == 0 { &[] } else { &[b"two", b"one"] },
        names: Some(&["gateway.a.example"]),
        sessions: Some(&mut sessions),
    };
    let update = flags & 4 != 0;
    let handshake = ClientHandshake::start(&mut client_room, LIMIT, &mut client_context, &mut client_out).unwrap();
    let mut client = Side::new(handshake, &mut client_buffer);
    let mut server = Side::new(ServerHandshake::new(&mut server_room, LIMIT), &mut server_buffer);

    let (mut number, mut held) = (0_usize, None);
    let mut through = |out: &mut Output<'_>, sent: &mut usize| {
        let mut wire = Vec::new();
        *sent += out.octets().len();
        for record in split(out.octets()) {
            let mut now = vec![record];
            for change in changes.iter().filter(|change| usize::from(change.record) == number) {
                now = now
                    .into_iter()
                    .filter(|one| !one.is_empty())
                    .flat_map(|one| changed(one, *change, &mut held))
                    .collect();
            }
            // A record that is late comes after the one that follows it.
            if !now.is_empty() {
                now.extend(held.take());
            }
            wire.extend(now.concat());
            number += 1;
        }
        out.clear();
        wire
    };
    for step in 0.. {
        assert!(step < MAX_STEPS, "records without end");
        let wire = through(&mut client_out, &mut client.sent);
        if !matches!(server.stage, Stage::Failed(_)) {
            let take = |one: &mut ServerHandshake<'_>, record: &mut [u8], out: &mut Output<'_>| {
                one.receive(record, &mut server_context, out)
            };
            server.receive(&wire, &mut server_out, update, take, |one, alert, out| one.abort(alert, out));
        }
        let wire = through(&mut server_out, &mut server.sent);
        if !matches!(client.stage, Stage::Failed(_)) {
            let take = |one: &mut ClientHandshake<'_>, record: &mut [u8], out: &mut Output<'_>| {
                one.receive(record, &mut client_context, out)
            };
            client.receive(&wire, &mut client_out, update, take, |one, alert, out| one.abort(alert, out));
        }
        if client_out.is_empty() && server_out.is_empty() {
            break;
        }
    }

    // A server has a connection only after a client has one: the client's proof and Finished came through.
    assert!(client.was_open || !server.was_open, "a server is connected with nobody");
    if client.was_open && server.was_open {
        assert_eq!(client.exported, server.exported);
        assert!(client.exported.is_some());
        assert_eq!(client.protocol.is_some(), flags & 2 != 0);
        // Each index is of the own list: the server's first is the client's second.
        assert_eq!(client.protocol.map(|index| 1 - index), server.protocol);
    }
    // Whoever is connected is so with the right peer.
    assert!(client.leaf.is_none_or(|leaf| leaf == hash(SERVER)));
    assert!(server.leaf.is_none_or(|leaf| leaf == hash(CLIENT)));
    // What has come is what was sent, in its order, without a gap.
    let data = DATA.concat();
    assert!(data.starts_with(&client.got) && data.starts_with(&server.got));
    assert!(server.was_open || client.got.is_empty());
    // Work is bounded by what was sent: no side answers without end.
    assert!(client.sent < 16_384 && server.sent < 16_384, "{} {}", client.sent, server.sent);
    if session.is_some() && changes.is_empty() {
        assert_eq!((admitted, also_admitted), (0, 0), "a session was not resumed");
    }
    Outcome {
        is_client_open: client.was_open,
        is_server_open: server.was_open,
        is_complete: client.got == data && server.got == data,
        session: client.session,
        sessions,
    }
}

fn hash(der: &[u8]) -> [u8; 32] {
    use sha2::{Digest, Sha256};
    Sha256::digest(der).into()
}

/// Brings any octets to a server and to a client as their peer's stream: they parse, or are refused by an alert.
pub fn feed(octets: &[u8]) {
    let anchors = [Anchor::ca(Certificate::from_der(ROOT).unwrap())];
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[ECDSA_P256_SHA256] };
    let now = TrustedTime::Known(NOW);
    let (mut buffer, mut room, mut space) = (vec![0; record_buffer(LIMIT)], vec![0; 1024], vec![0; 8192]);
    let (mut own, mut numbers) = (Own::new(SERVER, 2), Numbers(1));
    let mut out = Output::new(&mut space);
    let mut context = ServerContext {
        demand: Demand { trust, policy: PeerPolicy::AnyVerified, now, limits: Limits::DEVICE, generation: 1 },
        credential: &mut own,
        rng: &mut numbers,
        admitted: &mut |_| (),
        suites: CipherSuite::ALL,
        protocols: &[b"one"],
        names: None,
        sessions: None,
    };
    let mut side = Side::new(ServerHandshake::new(&mut room, LIMIT), &mut buffer);
    let take =
        |one: &mut ServerHandshake<'_>, record: &mut [u8], out: &mut Output<'_>| one.receive(record, &mut context, out);
    side.receive(octets, &mut out, false, take, |one, alert, out| one.abort(alert, out));
    refused(&side, &out);

    let (mut buffer, mut room, mut space) = (vec![0; record_buffer(LIMIT)], vec![0; 1024], vec![0; 8192]);
    let mut out = Output::new(&mut space);
    let mut own = Own::new(CLIENT, 3);
    let policy = ServerName::Dns("gateway.a.example").into();
    let mut context = ClientContext {
        demand: Demand { trust, policy, now, limits: Limits::DEVICE, generation: 1 },
        credential: Some(&mut own),
        rng: &mut numbers,
        admitted: &mut |_| (),
        suites: CipherSuite::ALL,
        protocols: &[b"one"],
        session: None,
    };
    let handshake = ClientHandshake::start(&mut room, LIMIT, &mut context, &mut out).unwrap();
    out.clear();
    let mut side = Side::new(handshake, &mut buffer);
    let take =
        |one: &mut ClientHandshake<'_>, record: &mut [u8], out: &mut Output<'_>| one.receive(record, &mut context, out);
    side.receive(octets, &mut out, false, take, |one, alert, out| one.abort(alert, out));
    refused(&side, &out);
}

/// Checks that nobody is connected, and that a peer that did not end by itself gets an alert at the end.
fn refused<H>(side: &Side<'_, H>, out: &Output<'_>) {
    assert!(!side.was_open);
    if let Stage::Failed(error) = &side.stage
        && let Some(alert) = error.alert()
    {
        let octets = out.octets();
        let is_clear = octets.ends_with(&[21, 3, 3, 0, 2, 2, alert.code()]);
        // An alert that is encrypted has a content type and a tag more.
        let is_sealed = octets.len() >= 24 && octets[octets.len() - 24..].starts_with(&[23, 3, 3, 0, 19]);
        assert!(is_clear || is_sealed, "{error}: {octets:?}");
    }
}
