//! A TLS 1.3 client with exactly one fault: its messages cross a change of keys (RFC 8446 section 5.1).
//!
//! TLS_AES_128_GCM_SHA256 and secp256r1 only. The client verifies no server.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use p256::ecdh::EphemeralSecret;
use p256::{EncodedPoint, PublicKey};
use rand_core::{OsRng, RngCore};
use rcgen::SigningKey;
use sha2::{Digest, Sha256};

use super::keys::{Direction, Secrets, finished};
use super::messages::{self, SECP256R1, message, record};
use crate::pki::Credential;

const ECDSA_SECP256R1_SHA256: u16 = 0x0403;

/// The place of a message that belongs behind a change of keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Across {
    /// No message crosses a change of keys.
    Nothing,
    /// An unencrypted Finished follows in the record of the ClientHello.
    Hello,
    /// A Finished starts in the record of the ClientHello, and ends encrypted.
    HelloHalf,
    /// A KeyUpdate follows in the record of the Finished, under the handshake keys.
    Finished,
    /// A KeyUpdate starts in the record of the Finished, and ends under the next keys.
    FinishedHalf,
    /// A second KeyUpdate follows in the record of the first, under the previous keys.
    KeyUpdate,
}

impl Across {
    /// All variants that a server must refuse.
    pub const ALL: [Self; 5] = [Self::Hello, Self::HelloHalf, Self::Finished, Self::FinishedHalf, Self::KeyUpdate];
}

/// The server's reaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The server answered with application data: the octets of the first record.
    Served(Vec<u8>),
    /// The server ended the connection with this alert (RFC 8446 section 6).
    Alert(u8),
    /// The server ended the connection without an alert.
    Ended,
}

/// Connects, shows the credential, and sends `request` if the server lets the handshake finish.
///
/// # Errors
/// Returns the connection's error, and fails if the server does not speak TLS 1.3 with this cipher suite.
pub fn ask(server: SocketAddr, credential: &Credential, across: Across, request: &[u8]) -> io::Result<Outcome> {
    let stream = TcpStream::connect(server)?;
    stream.set_nodelay(true)?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    let mut client = Client { stream, transcript: Sha256::new(), input: None, out: None, incoming: Vec::new(), across };
    match client.run(credential, request) {
        Err(Stop::Over(outcome)) => Ok(outcome),
        Err(Stop::Io(error)) if matches!(error.kind(), ErrorKind::ConnectionReset | ErrorKind::BrokenPipe) => {
            // Octets that the server sent earlier may still be readable.
            Ok(client.last_words())
        }
        Err(Stop::Io(error)) => Err(error),
        Ok(octets) => Ok(Outcome::Served(octets)),
    }
}

enum Stop {
    Over(Outcome),
    Io(io::Error),
}

impl From<io::Error> for Stop {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn malformed(what: &str) -> Stop {
    Stop::Io(io::Error::new(ErrorKind::InvalidData, what.to_owned()))
}

struct Client {
    stream: TcpStream,
    transcript: Sha256,
    input: Option<Direction>,
    out: Option<Direction>,
    /// Received handshake messages that have not been processed.
    incoming: Vec<u8>,
    across: Across,
}

impl Client {
    fn run(&mut self, credential: &Credential, request: &[u8]) -> Result<Vec<u8>, Stop> {
        let secret = EphemeralSecret::random(&mut OsRng);
        let hello = client_hello(EncodedPoint::from(secret.public_key()).as_bytes());
        self.transcript.update(&hello);
        // Well formed, with arbitrary contents.
        let early = message(20, &[0; 32]);
        let (with, rest) = match self.across {
            Across::Hello => (&early[..], &[][..]),
            Across::HelloHalf => early.split_at(20),
            _ => (&[][..], &[][..]),
        };
        self.stream.write_all(&record(22, &[&hello[..], with].concat()))?;

        let server_hello = self.message()?;
        let share =
            messages::key_share_of(&server_hello).ok_or_else(|| malformed("no ServerHello with a key share"))?;
        let theirs = PublicKey::from_sec1_bytes(&share).map_err(|_| malformed("a key share that is no point"))?;
        let shared = secret.diffie_hellman(&theirs);
        let secrets = Secrets::handshake(shared.raw_secret_bytes(), &self.hash());
        self.input = Some(Direction::new(&secrets.server));
        self.out = Some(Direction::new(&secrets.client));
        while self.message()?.first() != Some(&20) {}
        let next = secrets.application(&self.hash());

        if self.across == Across::HelloHalf {
            self.seal(22, rest)?;
        }
        let certificate = messages::certificate(&credential.chain);
        self.send(&certificate)?;
        let signed = [&[b' '; 64][..], b"TLS 1.3, client CertificateVerify\0", &self.hash()].concat();
        let signature = credential.key.sign(&signed).map_err(|_| malformed("a key that does not sign"))?;
        let verify = messages::certificate_verify(ECDSA_SECP256R1_SHA256, &signature);
        self.send(&verify)?;
        let finished = message(20, &finished(&secrets.client, &self.hash()));
        let key_update = message(24, &[0]);
        let (with, rest) = match self.across {
            Across::Finished => (&key_update[..], &[][..]),
            Across::FinishedHalf => key_update.split_at(3),
            _ => (&[][..], &[][..]),
        };
        self.seal(22, &[&finished[..], with].concat())?;
        self.input = Some(Direction::new(&next.server));
        self.out = Some(Direction::new(&next.client));
        if !rest.is_empty() {
            self.seal(22, rest)?;
        }
        if self.across == Across::KeyUpdate {
            self.seal(22, &[&key_update[..], &key_update].concat())?;
        }
        self.seal(23, request)?;
        loop {
            // Tickets may come first.
            if let (23, octets) = self.record()? {
                return Ok(octets);
            }
        }
    }

    fn hash(&self) -> [u8; 32] {
        self.transcript.clone().finalize().into()
    }

    fn seal(&mut self, content_type: u8, contents: &[u8]) -> Result<(), Stop> {
        let out = self.out.as_mut().ok_or_else(|| malformed("no keys yet"))?;
        let record = out.seal(&[contents, &[content_type]].concat());
        Ok(self.stream.write_all(&record)?)
    }

    /// Sends a message in a record of its own.
    fn send(&mut self, message: &[u8]) -> Result<(), Stop> {
        self.transcript.update(message);
        self.seal(22, message)
    }

    /// Returns the server's next handshake message, and adds it to the transcript.
    fn message(&mut self) -> Result<Vec<u8>, Stop> {
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
    fn record(&mut self) -> Result<(u8, Vec<u8>), Stop> {
        loop {
            let mut header = [0; 5];
            if let Err(error) = self.stream.read_exact(&mut header) {
                return Err(match error.kind() {
                    ErrorKind::UnexpectedEof => Stop::Over(Outcome::Ended),
                    _ => Stop::Io(error),
                });
            }
            let [content_type, _, _, high, low] = header;
            let mut body = vec![0; u16::from_be_bytes([high, low]).into()];
            self.stream.read_exact(&mut body)?;
            let (content_type, contents) = match (content_type, &mut self.input) {
                (23, Some(input)) => input.open(&body).ok_or_else(|| malformed("a record of other keys"))?,
                _ => (content_type, body),
            };
            match (content_type, contents.as_slice()) {
                (20, _) => {}
                (21, [_, description]) => return Err(Stop::Over(Outcome::Alert(*description))),
                _ => return Ok((content_type, contents)),
            }
        }
    }

    fn last_words(&mut self) -> Outcome {
        loop {
            match self.record() {
                Ok(_) => {}
                Err(Stop::Over(outcome)) => return outcome,
                Err(Stop::Io(_)) => return Outcome::Ended,
            }
        }
    }
}

/// Builds a ClientHello (RFC 8446 section 4.1.2).
fn client_hello(point: &[u8]) -> Vec<u8> {
    let mut random = [0; 32];
    OsRng.fill_bytes(&mut random);
    messages::client_hello(&random, SECP256R1, point, ECDSA_SECP256R1_SHA256)
}
