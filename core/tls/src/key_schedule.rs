//! The key schedule (RFC 8446 section 7.1): each stage is made from the one before, and cannot go back.
//!
//! ```text
//! pre-shared key → Early → (EC)DHE → Handshake → Main
//! ```

use hmac::{Hmac, Mac};
use sha2::Sha256;
use subtle::ConstantTimeEq;

use crate::secret::Secret;

/// The hash of a transcript.
pub(crate) type Hash = [u8; 32];

/// The hash of nothing.
const EMPTY: Hash = [
    0xe3, 0xb0, 0xc4, 0x42, 0x98, 0xfc, 0x1c, 0x14, 0x9a, 0xfb, 0xf4, 0xc8, 0x99, 0x6f, 0xb9, 0x24, 0x27, 0xae, 0x41,
    0xe4, 0x64, 0x9b, 0x93, 0x4c, 0xa4, 0x95, 0x99, 0x1b, 0x78, 0x52, 0xb8, 0x55,
];

fn mac(key: &[u8; 32], parts: &[&[u8]]) -> Secret {
    // A key of any length is allowed (RFC 2104 section 2), and this one is never refused.
    let Ok(mut mac) = <Hmac<Sha256> as Mac>::new_from_slice(key) else { return Secret([0; 32]) };
    parts.iter().for_each(|part| mac.update(part));
    Secret(mac.finalize().into_bytes().into())
}

/// HKDF-Extract (RFC 5869 section 2.2).
#[inline(never)]
fn extract(salt: &[u8; 32], key: &[u8; 32]) -> Secret {
    mac(salt, &[key])
}

/// HKDF-Expand-Label (RFC 8446 section 7.1) of at most 32 octets: one block of HKDF-Expand.
#[inline(never)]
pub(crate) fn expand(secret: &Secret, label: &[u8], context: &[u8], length: u8) -> Secret {
    const PREFIX: &[u8] = b"tls13 ";
    // Both are shorter than 256 octets: labels are constants or checked, contexts hashes or nonces.
    let label_length = u8::try_from(PREFIX.len().saturating_add(label.len())).unwrap_or(u8::MAX);
    let context_length = u8::try_from(context.len()).unwrap_or(u8::MAX);
    mac(&secret.0, &[&[0, length, label_length], PREFIX, label, &[context_length], context, &[1]])
}

/// Derive-Secret (RFC 8446 section 7.1).
#[inline(never)]
fn derive(secret: &Secret, label: &[u8], hash: &Hash) -> Secret {
    expand(secret, label, hash, 32)
}

/// The MAC of a Finished or a binder (RFC 8446 section 4.4.4), by a secret of its sender.
#[inline(never)]
pub(crate) fn finished(secret: &Secret, hash: &Hash) -> Hash {
    mac(&expand(secret, b"finished", &[], 32).0, &[hash]).0
}

/// Compares two MACs in constant time.
pub(crate) fn is_equal(one: &Hash, other: &Hash) -> bool {
    one.ct_eq(other).into()
}

/// The early secret.
#[derive(Clone, Debug)]
pub(crate) struct Early(Secret);

impl Early {
    pub(crate) fn new(pre_shared: Option<&Secret>) -> Self {
        Self(extract(&[0; 32], pre_shared.map_or(&[0; 32], |key| &key.0)))
    }

    /// The secret for the binder of a pre-shared key from a ticket.
    #[cfg(feature = "resumption")]
    pub(crate) fn binder(&self) -> Secret {
        derive(&self.0, b"res binder", &EMPTY)
    }

    pub(crate) fn handshake(self, shared: &Secret) -> Handshake {
        Handshake(extract(&derive(&self.0, b"derived", &EMPTY).0, &shared.0))
    }
}

/// The handshake secret.
#[derive(Clone, Debug)]
pub(crate) struct Handshake(Secret);

/// The secrets of both directions.
#[derive(Debug)]
pub(crate) struct Directions {
    pub(crate) client: Secret,
    pub(crate) server: Secret,
}

impl Handshake {
    /// `hash` is of ClientHello to ServerHello.
    #[inline(never)]
    pub(crate) fn traffic(&self, hash: &Hash) -> Directions {
        Directions { client: derive(&self.0, b"c hs traffic", hash), server: derive(&self.0, b"s hs traffic", hash) }
    }

    pub(crate) fn main(self) -> Main {
        Main(extract(&derive(&self.0, b"derived", &EMPTY).0, &[0; 32]))
    }
}

/// The main secret, which RFC 8446 calls the master secret.
#[derive(Clone, Debug)]
pub(crate) struct Main(Secret);

impl Main {
    /// `hash` is of ClientHello to the server's Finished.
    #[inline(never)]
    pub(crate) fn traffic(&self, hash: &Hash) -> Directions {
        Directions { client: derive(&self.0, b"c ap traffic", hash), server: derive(&self.0, b"s ap traffic", hash) }
    }

    /// `hash` is of ClientHello to the server's Finished.
    #[cfg(feature = "exporter")]
    pub(crate) fn exporter(&self, hash: &Hash) -> Secret {
        derive(&self.0, b"exp master", hash)
    }

    /// `hash` is of ClientHello to the client's Finished.
    #[cfg(feature = "resumption")]
    pub(crate) fn resumption(&self, hash: &Hash) -> Secret {
        derive(&self.0, b"res master", hash)
    }
}

/// The next secret of a direction (RFC 8446 section 7.2).
pub(crate) fn next(secret: &Secret) -> Secret {
    expand(secret, b"traffic upd", &[], 32)
}

/// The pre-shared key of a ticket (RFC 8446 section 4.6.1).
#[cfg(feature = "resumption")]
pub(crate) fn pre_shared_key(resumption: &Secret, nonce: &[u8]) -> Secret {
    expand(resumption, b"resumption", nonce, 32)
}

/// Keying material (RFC 8446 section 7.5).
#[cfg(feature = "exporter")]
pub(crate) fn export(exporter: &Secret, label: &[u8], context: &Hash) -> Secret {
    expand(&derive(exporter, label, &EMPTY), b"exporter", context, 32)
}
