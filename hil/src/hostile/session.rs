//! Runs one connection through the steps of a mode.

use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

use p256::ecdh::EphemeralSecret;
use p256::{EncodedPoint, PublicKey};
use rand_core::{OsRng, RngCore};
use rcgen::{KeyPair, SigningKey};
use sha2::{Digest, Sha256};

use super::chains::Chain;
use super::keys::{Direction, Secrets, finished};
use super::messages::{self, AES_128_GCM, ClientHello, SECP256R1, SECP384R1, ServerHello, message, record, vector};
use super::modes::Mode;
use super::seen::{Seen, Shared};
use super::step::{By, Hello, Message, Step};
use crate::pki::{Credential, Pki, p256};

/// The interval at which a wait checks whether the server stops.
const TICK: Duration = Duration::from_millis(50);
/// The time after which an inactive client is given up.
const PATIENCE: Duration = Duration::from_secs(120);
/// The time between two octets of a drip.
const DRIP: Duration = Duration::from_secs(1);

const ECDSA_SECP256R1_SHA256: u16 = 0x0403;
/// The answer to every request, with its content type.
const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n\x17";

/// The end of the connection, caused by either side.
struct Over;

/// The chains of a mode, made once, and another key.
pub(super) struct Credentials {
    chains: Vec<(Chain, Credential)>,
    another: KeyPair,
}

impl Credentials {
    pub(super) fn new(mode: &Mode, pki: &Pki, name: &str) -> Self {
        let mut chains: Vec<(Chain, Credential)> = Vec::new();
        let messages = mode.steps.iter().copied().flatten().flat_map(|step| match step {
            Step::Send(message) | Step::Clear(message) => std::slice::from_ref(message),
            Step::Together(messages)
            | Step::Fragments(_, messages)
            | Step::HelloWith(messages, _)
            | Step::Part(messages, _) => messages,
            _ => &[],
        });
        for message in messages {
            if let Message::Certificate(chain) = message
                && !chains.iter().any(|(made, _)| made == chain)
            {
                chains.push((*chain, chain.make(pki, name)));
            }
        }
        Self { chains, another: p256() }
    }

    fn chain(&self, chain: Chain) -> Option<&Credential> {
        self.chains.iter().find(|(made, _)| *made == chain).map(|(_, credential)| credential)
    }
}

pub(super) struct Session<'a> {
    stream: TcpStream,
    credentials: &'a Credentials,
    shared: &'a Shared,
    incoming: Vec<u8>,
    drip: bool,
    transcript: Sha256,
    /// The hash of the transcript up to the server's Finished.
    at_finished: Option<[u8; 32]>,
    hello: Option<ClientHello>,
    secrets: Option<Secrets>,
    out: Option<Direction>,
    input: Option<Direction>,
    /// Octets of messages that are still to be sent.
    left_out: Vec<u8>,
    /// The key of the chain that was sent last.
    key: &'a KeyPair,
}

impl<'a> Session<'a> {
    pub(super) fn new(stream: TcpStream, credentials: &'a Credentials, shared: &'a Shared) -> Self {
        let key = credentials.chains.first().map_or(&credentials.another, |(_, credential)| &credential.key);
        Self {
            stream,
            credentials,
            shared,
            incoming: Vec::new(),
            drip: false,
            transcript: Sha256::new(),
            at_finished: None,
            hello: None,
            secrets: None,
            out: None,
            input: None,
            left_out: Vec::new(),
            key,
        }
    }

    pub(super) fn run(mut self, mode: &Mode) {
        if self.prepare().is_err() {
            return;
        }
        for step in mode.steps.iter().copied().flatten() {
            if self.step(*step).is_err() {
                return;
            }
        }
        // The client's further behaviour is still recorded, until it ends the connection.
        let _ = self.listen();
    }

    /// Limits the waits for the client: without the limits it could hold the thread for ever.
    fn prepare(&self) -> std::io::Result<()> {
        self.stream.set_nodelay(true)?;
        self.stream.set_read_timeout(Some(TICK))?;
        self.stream.set_write_timeout(Some(PATIENCE))
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.shared.seen());
    }

    fn step(&mut self, step: Step) -> Result<(), Over> {
        match step {
            Step::ReadHello => self.read_hello(),
            Step::Hello(hello) => self.server_hello(hello, &[], 0),
            Step::HelloWith(messages, left_out) => self.server_hello(Hello::Right, messages, left_out),
            Step::Part(messages, left_out) => {
                let octets = self.messages(messages);
                let part = self.without_the_last(octets, left_out);
                self.seal(&[&part[..], &[22]].concat())
            }
            Step::Rest => {
                let rest = std::mem::take(&mut self.left_out);
                self.seal(&[&rest[..], &[22]].concat())
            }
            Step::Send(message) => self.send_messages(&[message], 16_384),
            Step::Together(messages) => self.send_messages(messages, 16_384),
            Step::Fragments(octets, messages) => self.send_messages(messages, octets),
            Step::Clear(message) => {
                let octets = self.message(message);
                self.write(&record(22, &octets))
            }
            Step::Raw(octets) => self.write(octets),
            Step::Noise(octets) => {
                let mut noise = vec![0; octets];
                OsRng.fill_bytes(&mut noise);
                // No record type has this bit: the noise cannot begin like a record.
                noise[0] |= 0x80;
                self.write(&noise)
            }
            Step::ClearRecord(content_type, contents) => self.write(&record(content_type, contents)),
            Step::Inner(inner) => self.seal(inner),
            Step::Inners(count, inner) => (0..count).try_for_each(|_| self.seal(inner)),
            Step::ZeroInner(octets) => self.seal(&vec![0; octets]),
            Step::BadTag => self.write(&record(23, &[0x5a; 64])),
            Step::Oversized(octets) => self.write(&record(23, &vec![0x5a; octets.into()])),
            Step::ChangeCipherSpec(count) => (0..count).try_for_each(|_| self.write(&record(20, &[1]))),
            Step::ReadFinished => self.read_finished(),
            Step::Answer => self.answer(),
            Step::Drip => {
                self.drip = true;
                Ok(())
            }
            Step::Stall => self.listen(),
            Step::Close => {
                // Unread input would turn the close into a reset.
                let _ = self.stream.shutdown(std::net::Shutdown::Write);
                self.listen()
            }
            Step::Reset => {
                // It fails only on a stream that the client has reset already.
                let _ = socket2::SockRef::from(&self.stream).set_linger(Some(Duration::ZERO));
                Err(Over)
            }
        }
    }

    fn write(&mut self, octets: &[u8]) -> Result<(), Over> {
        if !self.drip {
            return self.stream.write_all(octets).map_err(|_| Over);
        }
        for octet in octets {
            self.stream.write_all(&[*octet]).map_err(|_| Over)?;
            let until = Instant::now() + DRIP;
            while Instant::now() < until {
                self.fill()?;
            }
        }
        Ok(())
    }

    /// Reads the available octets; a tick without any is not an error.
    fn fill(&mut self) -> Result<(), Over> {
        if self.shared.stopped() {
            return Err(Over);
        }
        let mut octets = [0; 4096];
        match self.stream.read(&mut octets) {
            Ok(0) => Err(Over),
            Ok(count) => {
                self.incoming.extend_from_slice(&octets[..count]);
                Ok(())
            }
            Err(error)
                if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut | ErrorKind::Interrupted) =>
            {
                Ok(())
            }
            Err(_) => Err(Over),
        }
    }

    /// Returns the client's next record: content type and contents, decrypted if possible.
    fn record(&mut self) -> Result<(u8, Vec<u8>), Over> {
        let until = Instant::now() + PATIENCE;
        loop {
            if let Some(&[content_type, _, _, high, low]) = self.incoming.first_chunk::<5>() {
                let length = usize::from(u16::from_be_bytes([high, low]));
                if self.incoming.len() >= 5 + length {
                    let body: Vec<u8> = self.incoming.drain(..5 + length).skip(5).collect();
                    return match (content_type, &mut self.input) {
                        (23, Some(input)) => input.open(&body).ok_or(Over),
                        _ => Ok((content_type, body)),
                    };
                }
            }
            if Instant::now() > until {
                return Err(Over);
            }
            self.fill()?;
        }
    }

    /// Returns the next record other than change_cipher_spec and alert.
    fn contents(&mut self) -> Result<(u8, Vec<u8>), Over> {
        loop {
            let (content_type, contents) = self.record()?;
            match (content_type, contents.as_slice()) {
                (20, _) => {}
                (21, [level, description]) => {
                    let alert = (*level, *description);
                    self.note(|seen| seen.alerts.push(alert));
                }
                (23, data) => {
                    self.note(|seen| seen.application_data.extend_from_slice(data));
                    return Ok((23, contents));
                }
                _ => return Ok((content_type, contents)),
            }
        }
    }

    /// Records the client's behaviour until it disconnects.
    fn listen(&mut self) -> Result<(), Over> {
        loop {
            let (content_type, contents) = self.contents()?;
            if content_type == 22 && self.hello.is_none() && contents.first() == Some(&1) {
                self.note(|seen| seen.hellos += 1);
            }
            if content_type == 22 && contents.first() == Some(&11) && contents.len() > 8 {
                self.note(|seen| seen.certificates += 1);
            }
        }
    }

    fn read_hello(&mut self) -> Result<(), Over> {
        let first = self.client_hello()?;
        self.note(|seen| seen.hellos += 1);
        if first.key_share.is_some() {
            self.hello = Some(first);
            return Ok(());
        }
        // A client that prefers other groups is asked for this one (RFC 8446 sections 4.1.4 and 4.4.1).
        let retry = messages::hello_retry_request(&first.session, SECP256R1);
        let hello = message(254, &self.hash());
        self.transcript = Sha256::new_with_prefix(&hello).chain_update(&retry);
        self.write(&record(22, &retry))?;
        self.hello = Some(self.client_hello()?);
        Ok(())
    }

    /// Reads a ClientHello, and adds it to the transcript.
    fn client_hello(&mut self) -> Result<ClientHello, Over> {
        let (content_type, contents) = self.contents()?;
        if content_type != 22 || contents.first() != Some(&1) {
            return Err(Over);
        }
        self.transcript.update(&contents);
        ClientHello::parse(&contents).ok_or(Over)
    }

    /// Cuts off the last `left_out` octets, which are sent later.
    fn without_the_last(&mut self, mut octets: Vec<u8>, left_out: usize) -> Vec<u8> {
        self.left_out = octets.split_off(octets.len().saturating_sub(left_out));
        octets
    }

    /// Sends a ServerHello with messages in the same record.
    fn server_hello(&mut self, kind: Hello, with: &[Message], left_out: usize) -> Result<(), Over> {
        let hello = self.hello.as_ref().ok_or(Over)?;
        let secret = EphemeralSecret::random(&mut OsRng);
        let theirs = hello.key_share.as_deref().ok_or(Over)?;
        let theirs = PublicKey::from_sec1_bytes(theirs).map_err(|_| Over)?;
        let shared = secret.diffie_hellman(&theirs);
        let mut point = EncodedPoint::from(secret.public_key()).as_bytes().to_vec();
        if matches!(kind, Hello::BadPoint) {
            point[1..].fill(0x5a);
        }
        let mut random = [0; 32];
        OsRng.fill_bytes(&mut random);
        let group = if matches!(kind, Hello::OtherGroup) { 24 } else { SECP256R1 };
        let right = ServerHello {
            random,
            session: &hello.session,
            suite: if matches!(kind, Hello::OtherSuite) { 0x1303 } else { AES_128_GCM },
            tls13: !matches!(kind, Hello::Tls12),
            key_share: (!matches!(kind, Hello::NoKeyShare)).then_some((group, point.as_slice())),
        };
        let octets = match kind {
            Hello::Retry => messages::hello_retry_request(&hello.session, SECP384R1),
            Hello::Trailing => {
                let right = right.encode();
                message(2, &[&right[4..], &[0, 0]].concat())
            }
            _ => right.encode(),
        };
        self.transcript.update(&octets);
        let secrets = Secrets::handshake(shared.raw_secret_bytes(), &self.hash());
        self.out = Some(Direction::new(&secrets.server));
        self.input = Some(Direction::new(&secrets.client));
        self.secrets = Some(secrets);
        let more = self.messages(with);
        let more = self.without_the_last(more, left_out);
        self.write(&record(22, &[octets, more].concat()))
    }

    fn hash(&self) -> [u8; 32] {
        self.transcript.clone().finalize().into()
    }

    fn seal(&mut self, inner: &[u8]) -> Result<(), Over> {
        let record = self.out.as_mut().ok_or(Over)?.seal(inner);
        self.write(&record)
    }

    /// Sends handshake messages in records of this number of octets at the most.
    fn send_messages(&mut self, messages: &[Message], octets: usize) -> Result<(), Over> {
        let all = self.messages(messages);
        for part in all.chunks(octets) {
            self.seal(&[part, &[22]].concat())?;
        }
        Ok(())
    }

    fn messages(&mut self, messages: &[Message]) -> Vec<u8> {
        messages.iter().flat_map(|message| self.message(*message)).collect()
    }

    /// Returns a message, and adds it to the transcript.
    fn message(&mut self, kind: Message) -> Vec<u8> {
        let server = self.secrets.as_ref().map_or([0; 32], |secrets| secrets.server);
        let octets = match kind {
            Message::EncryptedExtensions => messages::encrypted_extensions(0),
            Message::LongExtensions(octets) => messages::encrypted_extensions(octets),
            Message::CertificateRequest => messages::certificate_request(b"", &[4, 3]),
            Message::OddCertificateRequest => messages::certificate_request(b"", &[0xfe, 1, 0xfe, 2, 4, 3]),
            Message::LateCertificateRequest => messages::certificate_request(b"late", &[4, 3]),
            Message::Certificate(chain) => match self.credentials.chain(chain) {
                Some(credential) => {
                    self.key = &credential.key;
                    messages::certificate(&credential.chain)
                }
                None => messages::certificate(&[]),
            },
            Message::CertificateVerify(by) => self.certificate_verify(by),
            Message::Finished => message(20, &finished(&server, &self.hash())),
            Message::BadFinished => message(20, &finished(&[7; 32], &self.hash())),
            Message::KeyUpdate => message(24, &[1]),
            Message::Ticket => messages::ticket(7),
            Message::Endless => [&[11, 0xff, 0xff, 0xff][..], &vector(1, b"endless")].concat(),
            Message::Unknown => message(99, b"unknown"),
        };
        self.transcript.update(&octets);
        if matches!(kind, Message::Finished | Message::BadFinished) {
            self.at_finished = Some(self.hash());
        }
        octets
    }

    fn certificate_verify(&self, by: By) -> Vec<u8> {
        let mut transcript = self.hash();
        if matches!(by, By::OtherTranscript) {
            transcript[0] ^= 1;
        }
        let side = if matches!(by, By::AsClient) { "client" } else { "server" };
        let signed = [&[b' '; 64][..], format!("TLS 1.3, {side} CertificateVerify\0").as_bytes(), &transcript].concat();
        let key = if matches!(by, By::Another) { &self.credentials.another } else { self.key };
        let signature = if matches!(by, By::Empty) {
            Vec::new()
        } else {
            key.sign(&signed).expect("a key that was just made signs")
        };
        let scheme = if let By::Scheme(scheme) = by { scheme } else { scheme_of(key) };
        messages::certificate_verify(scheme, &signature)
    }

    /// Reads up to the client's Finished, and then changes to the application keys.
    fn read_finished(&mut self) -> Result<(), Over> {
        let mut pending = Vec::new();
        loop {
            let (content_type, contents) = self.contents()?;
            if content_type != 22 {
                // Application data under the handshake keys is invalid; it has been recorded.
                return Err(Over);
            }
            pending.extend_from_slice(&contents);
            while let Some(&[message_type, a, b, c]) = pending.first_chunk::<4>() {
                let length = 4 + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c);
                if pending.len() < length {
                    break;
                }
                let expected = self.secrets.as_ref().map(|secrets| finished(&secrets.client, &self.hash()));
                let message: Vec<u8> = pending.drain(..length).collect();
                self.transcript.update(&message);
                match message_type {
                    // An empty context and an empty list have eight octets with their header.
                    11 if length > 8 => self.note(|seen| seen.certificates += 1),
                    20 if expected.is_some_and(|expected| message[4..] == expected) => {
                        self.note(|seen| seen.finished += 1);
                        return self.application();
                    }
                    20 => return Err(Over),
                    _ => {}
                }
            }
        }
    }

    fn application(&mut self) -> Result<(), Over> {
        let transcript = self.at_finished.ok_or(Over)?;
        let secrets = self.secrets.as_ref().ok_or(Over)?.application(&transcript);
        self.out = Some(Direction::new(&secrets.server));
        self.input = Some(Direction::new(&secrets.client));
        Ok(())
    }

    fn answer(&mut self) -> Result<(), Over> {
        while self.contents()?.0 != 23 {}
        self.seal(ANSWER)?;
        self.seal(&[1, 0, 21])?;
        self.step(Step::Close)
    }
}

/// Returns the signature scheme of a key (RFC 8446 section 4.2.3).
fn scheme_of(key: &KeyPair) -> u16 {
    if key.is_compatible(&rcgen::PKCS_ECDSA_P384_SHA384) {
        0x0503
    } else if key.is_compatible(&rcgen::PKCS_RSA_SHA256) {
        0x0401
    } else {
        ECDSA_SECP256R1_SHA256
    }
}
