//! Implements the key schedule and record protection of TLS_AES_128_GCM_SHA256 (RFC 8446 sections 5.2 and 7).

use aes_gcm::aead::{Aead, Payload};
use aes_gcm::{Aes128Gcm, KeyInit};
use hmac::{Hmac, Mac};
use sha2::{Digest, Sha256};

pub(super) type Secret = [u8; 32];

/// Computes HMAC-SHA256, which is also HKDF-Extract (RFC 5869 section 2.2).
pub(super) fn hmac(key: &[u8], message: &[u8]) -> Secret {
    let mut mac = <Hmac<Sha256> as Mac>::new_from_slice(key).expect("HMAC takes keys of every length");
    mac.update(message);
    mac.finalize().into_bytes().into()
}

/// Computes HKDF-Expand-Label (RFC 8446 section 7.1), one block at the most.
pub(super) fn expand(secret: &Secret, label: &str, context: &[u8], length: u8) -> Vec<u8> {
    let label = [b"tls13 ", label.as_bytes()].concat();
    let size = |octets: &[u8]| u8::try_from(octets.len()).expect("labels and hashes are short");
    let mut info = vec![0, length, size(&label)];
    info.extend_from_slice(&label);
    info.push(size(context));
    info.extend_from_slice(context);
    info.push(1);
    hmac(secret, &info)[..length.into()].to_vec()
}

fn derive(secret: &Secret, label: &str, transcript: &[u8]) -> Secret {
    expand(secret, label, transcript, 32).try_into().expect("32 octets were asked for")
}

/// The traffic secrets of one epoch.
#[derive(Clone)]
pub(super) struct Secrets {
    pub(super) client: Secret,
    pub(super) server: Secret,
    /// The secret from which the next epoch is derived.
    next: Secret,
}

impl Secrets {
    /// Derives the handshake secrets from the shared secret and the transcript up to the ServerHello.
    pub(super) fn handshake(shared: &[u8], transcript: &[u8]) -> Self {
        Self::resumed(None, shared, transcript)
    }

    /// Derives the handshake secrets of a session that was resumed with this key.
    pub(super) fn resumed(key: Option<&Secret>, shared: &[u8], transcript: &[u8]) -> Self {
        let early = hmac(&[0; 32], key.unwrap_or(&[0; 32]));
        let secret = hmac(&derive(&early, "derived", &Sha256::digest(b"")), shared);
        Self {
            client: derive(&secret, "c hs traffic", transcript),
            server: derive(&secret, "s hs traffic", transcript),
            next: hmac(&derive(&secret, "derived", &Sha256::digest(b"")), &[0; 32]),
        }
    }

    /// Derives the application secrets from the transcript up to the server's Finished.
    pub(super) fn application(&self, transcript: &[u8]) -> Self {
        Self {
            client: derive(&self.next, "c ap traffic", transcript),
            server: derive(&self.next, "s ap traffic", transcript),
            next: self.next,
        }
    }

    /// Derives the next secret of the client (RFC 8446 section 7.2).
    pub(super) fn update_client(&mut self) {
        self.client = derive(&self.client, "traffic upd", b"");
    }

    /// Derives the resumption secret from the transcript up to the client's Finished.
    pub(super) fn resumption(&self, transcript: &[u8]) -> Secret {
        derive(&self.next, "res master", transcript)
    }
}

/// Derives the key of a ticket (RFC 8446 section 4.6.1).
pub(super) fn pre_shared_key(resumption: &Secret, nonce: &[u8]) -> Secret {
    derive(resumption, "resumption", nonce)
}

/// Computes the binder of a ticket's key (RFC 8446 section 4.2.11.2).
pub(super) fn binder(key: &Secret, transcript: &[u8]) -> Secret {
    let early = hmac(&[0; 32], key);
    finished(&derive(&early, "res binder", &Sha256::digest(b"")), transcript)
}

/// Computes the verify data of a Finished (RFC 8446 section 4.4.4).
pub(super) fn finished(secret: &Secret, transcript: &[u8]) -> Secret {
    hmac(&expand(secret, "finished", b"", 32), transcript)
}

/// The record protection of one direction in one epoch.
pub(super) struct Direction {
    cipher: Aes128Gcm,
    iv: [u8; 12],
    sequence: u64,
}

impl Direction {
    pub(super) fn new(secret: &Secret) -> Self {
        let cipher = Aes128Gcm::new_from_slice(&expand(secret, "key", b"", 16)).expect("the key has 16 octets");
        let iv = expand(secret, "iv", b"", 12).try_into().expect("12 octets were asked for");
        Self { cipher, iv, sequence: 0 }
    }

    fn nonce(&mut self) -> [u8; 12] {
        let mut nonce = self.iv;
        for (to, from) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *to ^= from;
        }
        self.sequence = self.sequence.wrapping_add(1);
        nonce
    }

    /// Returns a record with this TLSInnerPlaintext.
    pub(super) fn seal(&mut self, inner: &[u8]) -> Vec<u8> {
        let length = u16::try_from(inner.len() + 16).expect("a record fits in 16 bits");
        let mut record = vec![23, 3, 3];
        record.extend_from_slice(&length.to_be_bytes());
        let nonce = self.nonce().into();
        let payload = Payload { msg: inner, aad: &record };
        let sealed = self.cipher.encrypt(&nonce, payload).expect("a record is not too long to encrypt");
        record.extend_from_slice(&sealed);
        record
    }

    /// Decrypts a record's body; returns its content type and content.
    pub(super) fn open(&mut self, body: &[u8]) -> Option<(u8, Vec<u8>)> {
        let length = u16::try_from(body.len()).ok()?;
        let header = [&[23, 3, 3][..], &length.to_be_bytes()].concat();
        let nonce = self.nonce();
        let mut inner = self.cipher.decrypt(&nonce.into(), Payload { msg: body, aad: &header }).ok()?;
        loop {
            match inner.pop()? {
                0 => {}
                content_type => return Some((content_type, inner)),
            }
        }
    }
}
