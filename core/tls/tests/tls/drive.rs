//! Drives the engine over a socket that blocks, or without one.

use std::io::{self, Read, Write};

use edgetrust_core::crypto::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519};
use edgetrust_core::identity::{AuthorizedPeer, PeerPolicy, Rule, RuleName, ServerName};
use edgetrust_core::path::{Anchor, Limits, Trust};
use edgetrust_core::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_tls::{
    Alert, CipherSuite, ClientContext, ClientHandshake, ClientSession, Connection, Demand, Error, Event, Output,
    Progress, Records, ServerContext, ServerHandshake, ServerSession, record_buffer,
};
use rand_core::OsRng;

use super::pki::{GATEWAY, Identity, Pki, Software, now};

/// The signatures of peers.
pub static ALGORITHMS: &[&dyn SignatureVerificationAlgorithm] = &[ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519];

/// A session with room for the longest tickets of other servers.
pub type LongSession = ClientSession<[u8; 2048]>;

/// What a side brings to a handshake. The defaults fit the certificates of [`Pki`].
pub struct Setup {
    pub anchor: Vec<u8>,
    pub credential: Option<Software>,
    /// The name that a client asks for, or the names that a server has.
    pub names: Vec<&'static str>,
    pub suites: Vec<CipherSuite>,
    pub protocols: Vec<&'static [u8]>,
    pub limit: u16,
    pub room: usize,
    pub now: UnixTime,
    pub generation: u32,
    /// The common names of the clients that a server admits; none for any.
    pub clients: Option<Vec<&'static str>>,
    pub session: Option<LongSession>,
    pub sessions: Vec<Option<ServerSession>>,
    /// The leaf of the last peer that was authorized.
    pub seen: Option<Vec<u8>>,
}

impl Setup {
    fn new(pki: &Pki, identity: &Identity) -> Self {
        Self {
            anchor: pki.root.der.clone(),
            credential: Some(identity.credential()),
            names: vec![GATEWAY],
            suites: CipherSuite::ALL.to_vec(),
            protocols: Vec::new(),
            limit: 16_385,
            room: 4096,
            now: now(),
            generation: 1,
            clients: None,
            session: None,
            sessions: vec![None, None],
            seen: None,
        }
    }

    pub fn client(pki: &Pki) -> Self {
        Self::new(pki, &pki.sensor)
    }

    pub fn server(pki: &Pki) -> Self {
        Self::new(pki, &pki.gateway)
    }

    /// Calls `run` with the context of a client.
    pub fn as_client<T>(&mut self, run: impl FnOnce(&mut ClientContext<'_, Software, OsRng>) -> T) -> T {
        let anchors = [Anchor::ca(Certificate::from_der(&self.anchor).unwrap())];
        let trust = trust(&anchors);
        let name = self.names.first().copied().unwrap_or_default();
        let seen = &mut self.seen;
        run(&mut ClientContext {
            demand: Demand {
                trust,
                policy: ServerName::Dns(name).into(),
                now: TrustedTime::Known(self.now),
                limits: Limits::DEVICE,
                generation: self.generation,
            },
            credential: self.credential.as_mut(),
            rng: &mut OsRng,
            admitted: &mut |peer: &AuthorizedPeer<'_>| *seen = Some(peer.path().leaf().der().to_vec()),
            suites: &self.suites,
            protocols: &self.protocols,
            session: self.session.as_ref().map(|session| session as &ClientSession<[u8]>),
        })
    }

    /// Calls `run` with the context of a server.
    pub fn as_server<T>(&mut self, run: impl FnOnce(&mut ServerContext<'_, Software, OsRng>) -> T) -> T {
        let anchors = [Anchor::ca(Certificate::from_der(&self.anchor).unwrap())];
        let trust = trust(&anchors);
        let rules: Option<Vec<Rule<'_>>> =
            self.clients.as_ref().map(|names| names.iter().map(|name| RuleName::CommonName(name).into()).collect());
        let policy = rules.as_deref().map_or(PeerPolicy::AnyVerified, PeerPolicy::OneOf);
        let seen = &mut self.seen;
        run(&mut ServerContext {
            demand: Demand {
                trust,
                policy,
                now: TrustedTime::Known(self.now),
                limits: Limits::DEVICE,
                generation: self.generation,
            },
            credential: self.credential.as_mut().unwrap(),
            rng: &mut OsRng,
            admitted: &mut |peer: &AuthorizedPeer<'_>| *seen = Some(peer.path().leaf().der().to_vec()),
            suites: &self.suites,
            protocols: &self.protocols,
            names: Some(&self.names),
            sessions: Some(&mut self.sessions),
        })
    }
}

fn trust<'t>(anchors: &'t [Anchor<'t>]) -> Trust<'t> {
    Trust { anchors, known_intermediates: &[], denied_keys: &[], algorithms: ALGORITHMS }
}

/// The reason that nothing comes any more.
#[derive(Debug)]
pub enum Failure {
    Tls(Error),
    Io(io::Error),
}

impl Failure {
    /// Returns the alert for the peer.
    fn alert(&self) -> Option<Alert> {
        match self {
            Self::Tls(error) => error.alert(),
            Self::Io(_) => None,
        }
    }

    /// Returns the error of the engine.
    pub fn tls(self) -> Error {
        match self {
            Self::Tls(error) => error,
            Self::Io(error) => panic!("not an error of TLS: {error}"),
        }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Tls(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Reads the next record into a buffer.
fn read_record(socket: &mut impl Read, records: &mut Records<'_>) -> Result<(), Failure> {
    records.next_record();
    while records.record().is_none() {
        let count = socket.read(records.space())?;
        if count == 0 {
            return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
        }
        records.filled(count)?;
    }
    Ok(())
}

/// Sends what there is, whatever came before.
fn flush(socket: &mut impl Write, out: &mut Output<'_>) -> io::Result<()> {
    socket.write_all(out.octets())?;
    out.clear();
    socket.flush()
}

/// A connection over a socket.
pub struct Stream<S> {
    pub socket: S,
    pub connection: Connection,
    limit: u16,
    now: UnixTime,
    /// The last ticket.
    pub session: Option<LongSession>,
}

/// Connects as a client.
pub fn connect<S: Read + Write>(mut socket: S, setup: &mut Setup) -> Result<Stream<S>, Failure> {
    let (limit, mut room, mut buffer) = (setup.limit, vec![0; setup.room], vec![0; record_buffer(setup.limit)]);
    let mut space = vec![0; 8192];
    let (mut records, mut out) = (Records::new(&mut buffer), Output::new(&mut space));
    let connection = setup.as_client(|context| {
        let mut handshake = ClientHandshake::start(&mut room, limit, context, &mut out)?;
        loop {
            flush(&mut socket, &mut out)?;
            if let Err(failure) = read_record(&mut socket, &mut records) {
                if let Some(alert) = failure.alert() {
                    handshake.abort(alert, &mut out);
                    flush(&mut socket, &mut out)?;
                }
                return Err(failure);
            }
            let progress = handshake.receive(records.record().unwrap(), context, &mut out);
            if let Ok(Progress::Connected(connection)) = progress {
                flush(&mut socket, &mut out)?;
                return Ok(connection);
            }
            if let Err(error) = progress {
                flush(&mut socket, &mut out).ok();
                return Err(Failure::from(error));
            }
        }
    })?;
    Ok(Stream { socket, connection, limit, now: setup.now, session: None })
}

/// Accepts as a server.
pub fn accept<S: Read + Write>(mut socket: S, setup: &mut Setup) -> Result<Stream<S>, Failure> {
    let (limit, mut room, mut buffer) = (setup.limit, vec![0; setup.room], vec![0; record_buffer(setup.limit)]);
    let mut space = vec![0; 8192];
    let (mut records, mut out) = (Records::new(&mut buffer), Output::new(&mut space));
    let connection = setup.as_server(|context| {
        let mut handshake = ServerHandshake::new(&mut room, limit);
        loop {
            if let Err(failure) = read_record(&mut socket, &mut records) {
                if let Some(alert) = failure.alert() {
                    handshake.abort(alert, &mut out);
                    flush(&mut socket, &mut out)?;
                }
                return Err(failure);
            }
            let progress = handshake.receive(records.record().unwrap(), context, &mut out);
            if let Ok(Progress::Connected(connection)) = progress {
                flush(&mut socket, &mut out)?;
                return Ok(connection);
            }
            if let Err(error) = progress {
                flush(&mut socket, &mut out).ok();
                return Err(Failure::from(error));
            }
            flush(&mut socket, &mut out)?;
        }
    })?;
    Ok(Stream { socket, connection, limit, now: setup.now, session: None })
}

impl<S: Read + Write> Stream<S> {
    /// Sends all octets.
    pub fn send(&mut self, mut data: &[u8]) -> Result<(), Failure> {
        let mut space = vec![0; 20_000];
        let mut out = Output::new(&mut space);
        while !data.is_empty() {
            let sent = self.connection.send(data, &mut out)?;
            data = &data[sent..];
            flush(&mut self.socket, &mut out)?;
        }
        Ok(())
    }

    /// Reads the content of the next record with data; nothing after close_notify.
    pub fn receive(&mut self) -> Result<Vec<u8>, Failure> {
        let (mut buffer, mut space) = (vec![0; record_buffer(self.limit)], vec![0; 256]);
        let (mut records, mut out) = (Records::new(&mut buffer), Output::new(&mut space));
        loop {
            if let Err(failure) = read_record(&mut self.socket, &mut records) {
                if let Some(alert) = failure.alert() {
                    self.connection.abort(alert, &mut out);
                    flush(&mut self.socket, &mut out)?;
                }
                return Err(failure);
            }
            let event = self.connection.receive(records.record().unwrap(), &mut out);
            let found = match event {
                Ok(Event::Data(data)) => Some(Ok(data.to_vec())),
                Ok(Event::Closed) => Some(Ok(Vec::new())),
                Ok(Event::Ticket(ticket)) => {
                    self.session = ticket.session(self.now);
                    None
                }
                Ok(Event::Nothing) => None,
                Err(error) => Some(Err(error.into())),
            };
            flush(&mut self.socket, &mut out)?;
            if let Some(found) = found {
                return found;
            }
        }
    }

    /// Reads until so many octets of data have come.
    pub fn receive_all(&mut self, count: usize) -> Result<Vec<u8>, Failure> {
        let mut all = Vec::new();
        while all.len() < count {
            let data = self.receive()?;
            assert!(!data.is_empty(), "closed after {} of {count} octets", all.len());
            all.extend(data);
        }
        Ok(all)
    }

    /// Asks the peer for a new key, and takes one.
    pub fn update_keys(&mut self) -> Result<(), Failure> {
        let mut space = [0; 64];
        let mut out = Output::new(&mut space);
        self.connection.update_keys(true, &mut out)?;
        Ok(flush(&mut self.socket, &mut out)?)
    }

    pub fn close(&mut self) -> Result<(), Failure> {
        let mut space = [0; 64];
        let mut out = Output::new(&mut space);
        self.connection.close(&mut out)?;
        Ok(flush(&mut self.socket, &mut out)?)
    }
}
