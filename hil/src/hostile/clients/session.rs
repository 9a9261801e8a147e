//! A client's connection, of which each step can be left out, repeated and changed.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use p256::ecdh::EphemeralSecret;
use p256::{EncodedPoint, PublicKey};
use rand_core::{OsRng, RngCore};
use rcgen::SigningKey;
use sha2::{Digest, Sha256};

use super::super::client::Outcome;
use super::super::keys::{Direction, Secret, Secrets, finished, pre_shared_key};
use super::super::messages::{self, RETRY, message, record, ticket_of, vector};
use super::hello::{Hello, PSK_KEY_EXCHANGE_MODES};
use crate::pki::Credential;

/// The time after which a server that says nothing is given up.
const PATIENCE: Duration = Duration::from_secs(20);

const ECDSA_SECP256R1_SHA256: u16 = 0x0403;

/// The request of a client that comes so far.
const REQUEST: &[u8] = b"request";

/// The end of a connection.
pub(super) enum Over {
    Outcome(Outcome),
    Io(io::Error),
}

impl From<io::Error> for Over {
    fn from(error: io::Error) -> Self {
        match error.kind() {
            // Octets that came before a reset are lost.
            ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset | ErrorKind::BrokenPipe => {
                Self::Outcome(Outcome::Ended)
            }
            _ => Self::Io(error),
        }
    }
}

fn malformed(what: &str) -> Over {
    Over::Io(io::Error::new(ErrorKind::InvalidData, what.to_owned()))
}

/// A session that the server gave a ticket for.
pub(super) struct Ticket {
    pub(super) identity: Vec<u8>,
    pub(super) key: Secret,
}

pub(super) struct Session<'a> {
    server: SocketAddr,
    pub(super) credential: &'a Credential,
    /// A certificate that the server does not know.
    pub(super) another: &'a Credential,
    stream: TcpStream,
    pub(super) transcript: Sha256,
    secret: Option<EphemeralSecret>,
    /// The key of a session that was offered.
    pub(super) pre_shared: Option<Secret>,
    secrets: Option<Secrets>,
    next: Option<Secrets>,
    pub(super) input: Option<Direction>,
    pub(super) out: Option<Direction>,
    incoming: Vec<u8>,
    /// True if the server's flight is still to be read.
    is_waiting: bool,
}

impl<'a> Session<'a> {
    pub(super) fn connect(server: SocketAddr, credential: &'a Credential, another: &'a Credential) -> io::Result<Self> {
        let stream = TcpStream::connect(server)?;
        stream.set_nodelay(true)?;
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(Self {
            server,
            credential,
            another,
            stream,
            transcript: Sha256::new(),
            secret: None,
            pre_shared: None,
            secrets: None,
            next: None,
            input: None,
            out: None,
            incoming: Vec::new(),
            is_waiting: false,
        })
    }

    /// Returns a right ClientHello, with a key of its own.
    pub(super) fn hello(&mut self) -> Hello {
        let secret = EphemeralSecret::random(&mut OsRng);
        let point = EncodedPoint::from(secret.public_key());
        self.secret = Some(secret);
        let mut random = [0; 32];
        OsRng.fill_bytes(&mut random);
        Hello::new(random, point.as_bytes())
    }

    pub(super) fn write(&mut self, octets: &[u8]) -> Result<(), Over> {
        // A server that has refused does not read any more: its alert may still be there.
        match self.stream.write_all(octets) {
            Err(error) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
                Err(Over::Outcome(self.listen()?))
            }
            other => Ok(other?),
        }
    }

    /// Sends a ClientHello in a record of its own.
    pub(super) fn send_hello(&mut self, hello: &[u8]) -> Result<(), Over> {
        self.add_hello(hello);
        self.write(&record(22, hello))
    }

    /// Takes note of a ClientHello that is sent otherwise.
    pub(super) fn add_hello(&mut self, hello: &[u8]) {
        self.transcript.update(hello);
        self.is_waiting = true;
    }

    /// Sends a right ClientHello, and reads the server's flight.
    pub(super) fn start(&mut self) -> Result<(), Over> {
        let hello = self.hello().encode();
        self.send_hello(&hello)?;
        self.flight()
    }

    /// Reads a HelloRetryRequest.
    pub(super) fn retry(&mut self) -> Result<(), Over> {
        let hello = message(254, &self.hash());
        let found = self.message()?;
        if found.get(6..38) != Some(&RETRY[..]) {
            return Err(malformed("no HelloRetryRequest"));
        }
        self.transcript = Sha256::new_with_prefix(&hello).chain_update(&found);
        Ok(())
    }

    /// Reads the server's flight up to its Finished.
    pub(super) fn flight(&mut self) -> Result<(), Over> {
        self.is_waiting = false;
        let hello = self.message()?;
        let share = messages::key_share_of(&hello).ok_or_else(|| malformed("no ServerHello with a key share"))?;
        let theirs = PublicKey::from_sec1_bytes(&share).map_err(|_| malformed("a key share that is no point"))?;
        let shared = self.secret.as_ref().ok_or_else(|| malformed("no key"))?.diffie_hellman(&theirs);
        let secrets = Secrets::resumed(self.pre_shared.as_ref(), shared.raw_secret_bytes(), &self.hash());
        self.input = Some(Direction::new(&secrets.server));
        self.out = Some(Direction::new(&secrets.client));
        while self.message()?.first() != Some(&20) {}
        let next = secrets.application(&self.hash());
        // Alerts of a server that has finished are under its next key.
        self.input = Some(Direction::new(&next.server));
        (self.secrets, self.next) = (Some(secrets), Some(next));
        Ok(())
    }

    pub(super) fn hash(&self) -> [u8; 32] {
        self.transcript.clone().finalize().into()
    }

    pub(super) fn seal(&mut self, inner: &[u8]) -> Result<(), Over> {
        let out = self.out.as_mut().ok_or_else(|| malformed("no keys yet"))?;
        let record = out.seal(inner);
        self.write(&record)
    }

    /// Adds messages to the transcript that are sent otherwise.
    pub(super) fn transcript_add(&mut self, messages: &[u8]) {
        self.transcript.update(messages);
    }

    /// Sends messages in one encrypted record, and adds them to the transcript.
    pub(super) fn send(&mut self, messages: &[u8]) -> Result<(), Over> {
        self.transcript.update(messages);
        self.seal(&[messages, &[22]].concat())
    }

    /// Returns the Certificate with the right chain.
    pub(super) fn certificate(&self) -> Vec<u8> {
        messages::certificate(&self.credential.chain)
    }

    /// Returns a CertificateVerify over the messages so far and these after them.
    pub(super) fn verify(&self, after: &[u8]) -> Result<Vec<u8>, Over> {
        self.verify_as("client", self.credential, after)
    }

    /// Returns a CertificateVerify of a side, by the key of a credential.
    pub(super) fn verify_as(&self, side: &str, by: &Credential, after: &[u8]) -> Result<Vec<u8>, Over> {
        let hash: [u8; 32] = self.transcript.clone().chain_update(after).finalize().into();
        let signed = [&[b' '; 64][..], format!("TLS 1.3, {side} CertificateVerify\0").as_bytes(), &hash].concat();
        let signature = by.key.sign(&signed).map_err(|_| malformed("a key that does not sign"))?;
        Ok(messages::certificate_verify(ECDSA_SECP256R1_SHA256, &signature))
    }

    /// Sends Certificate and CertificateVerify.
    pub(super) fn authenticate(&mut self) -> Result<(), Over> {
        let certificate = self.certificate();
        self.send(&certificate)?;
        let verify = self.verify(&[])?;
        self.send(&verify)
    }

    /// Returns the Finished.
    pub(super) fn finished(&self) -> Vec<u8> {
        let secret = self.secrets.as_ref().map_or([0; 32], |secrets| secrets.client);
        message(20, &finished(&secret, &self.hash()))
    }

    /// Sends the Finished, and takes the next key.
    pub(super) fn finish(&mut self) -> Result<(), Over> {
        let finished = self.finished();
        self.send(&finished)?;
        self.application();
        Ok(())
    }

    pub(super) fn application(&mut self) {
        self.out = self.next.as_ref().map(|next| Direction::new(&next.client));
    }

    /// Makes the whole handshake.
    pub(super) fn handshake(&mut self) -> Result<(), Over> {
        self.start()?;
        self.authenticate()?;
        self.finish()
    }

    /// Sends the request.
    pub(super) fn request(&mut self) -> Result<(), Over> {
        self.seal(&[REQUEST, &[23]].concat())
    }

    /// Takes the key after a KeyUpdate.
    pub(super) fn update(&mut self) {
        if let Some(next) = &mut self.next {
            next.update_client();
        }
        self.application();
    }

    /// Makes a connection for a ticket, and begins another one.
    pub(super) fn ticket(&mut self) -> Result<Ticket, Over> {
        let mut hello = self.hello();
        hello.set(PSK_KEY_EXCHANGE_MODES, vector(1, &[1]));
        let hello = hello.encode();
        self.send_hello(&hello)?;
        self.flight()?;
        self.authenticate()?;
        self.finish()?;
        let resumption = self.next.as_ref().map(|next| next.resumption(&self.hash()));
        let resumption = resumption.ok_or_else(|| malformed("no keys"))?;
        let found = loop {
            if let (22, contents) = self.record()? {
                break contents;
            }
        };
        let (nonce, identity) = ticket_of(&found).ok_or_else(|| malformed("no ticket"))?;
        let key = pre_shared_key(&resumption, &nonce);
        self.reconnect()?;
        self.pre_shared = Some(key);
        Ok(Ticket { identity, key })
    }

    /// Begins another connection.
    pub(super) fn reconnect(&mut self) -> Result<(), Over> {
        *self = Self::connect(self.server, self.credential, self.another).map_err(Over::Io)?;
        Ok(())
    }

    /// Returns the server's next handshake message, and adds it to the transcript.
    fn message(&mut self) -> Result<Vec<u8>, Over> {
        loop {
            if let Some(&[_, a, b, c]) = self.incoming.first_chunk::<4>() {
                let length = 4 + usize::from(a) * 65_536 + usize::from(b) * 256 + usize::from(c);
                if self.incoming.len() >= length {
                    let message: Vec<u8> = self.incoming.drain(..length).collect();
                    self.transcript.update(&message);
                    return Ok(message);
                }
            }
            match self.record()? {
                (22, contents) => self.incoming.extend_from_slice(&contents),
                _ => return Err(malformed("application data amid the handshake")),
            }
        }
    }

    /// Returns the next record other than change_cipher_spec, decrypted; an alert is the end.
    fn record(&mut self) -> Result<(u8, Vec<u8>), Over> {
        loop {
            let mut header = [0; 5];
            self.stream.read_exact(&mut header)?;
            let [content_type, _, _, high, low] = header;
            let mut body = vec![0; u16::from_be_bytes([high, low]).into()];
            self.stream.read_exact(&mut body)?;
            let (content_type, contents) = match (content_type, &mut self.input) {
                (23, Some(input)) => input.open(&body).ok_or_else(|| malformed("a record of other keys"))?,
                _ => (content_type, body),
            };
            match (content_type, contents.as_slice()) {
                (20, _) => {}
                (21, [_, description]) => return Err(Over::Outcome(Outcome::Alert(*description))),
                _ => return Ok((content_type, contents)),
            }
        }
    }

    /// Sends nothing more, and reads the server's reaction.
    pub(super) fn listen(&mut self) -> Result<Outcome, Over> {
        // It fails only where the server has closed already.
        let _ = self.stream.shutdown(Shutdown::Write);
        if self.is_waiting {
            self.flight()?;
        }
        loop {
            // Tickets and new keys are of no interest here.
            if let (23, octets) = self.record()? {
                return Ok(Outcome::Served(octets));
            }
        }
    }
}
