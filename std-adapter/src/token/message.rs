//! The messages between the program and the helper that has a PKCS #11 module loaded: one to a packet, in JSON.

use serde::{Deserialize, Serialize};

/// The size limit of a message, in octets. A signature has at most 2 KiB, and a URI 1 KiB.
pub(super) const MAX_MESSAGE: usize = 32 * 1024;

/// A request with its number, which its answer repeats.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Request {
    pub(super) number: u64,
    /// The key's URI, as it was written.
    pub(super) uri: String,
    pub(super) work: Work,
}

/// The work that is asked of a key.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Work {
    /// Says what the key is. The key is looked for again, also if it was found before.
    Find,
    /// Signs a digest, or for PKCS #1 a DigestInfo.
    Sign(Mechanism, Vec<u8>),
}

/// The mechanisms of PKCS #11 that are used. None hashes: not every token can.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(super) enum Mechanism {
    /// CKM_ECDSA
    Ecdsa,
    /// CKM_RSA_PKCS_PSS with this hash, and a salt of its length
    RsaPss(Hash),
    /// CKM_RSA_PKCS
    RsaPkcs1,
}

/// A hash function.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum Hash {
    /// SHA-256
    Sha256,
    /// SHA-384
    Sha384,
    /// SHA-512
    Sha512,
}

/// An answer with the number of its request.
#[derive(Debug, Deserialize, Serialize)]
pub(super) struct Response {
    pub(super) number: u64,
    pub(super) answer: Answer,
}

/// The outcome of a request.
#[derive(Clone, Debug, Deserialize, Serialize)]
pub(super) enum Answer {
    /// The kind of the key, and the bits of its public key if the token tells it (RFC 5280 section 4.1.2.7).
    Found(KeyKind, Option<Vec<u8>>),
    /// The signature as PKCS #11 has it.
    Signature(Vec<u8>),
    /// The request fails, and fails again if it is repeated.
    Refused(String),
    /// The token has refused the PIN. The same one must not be tried again: tokens lock themselves after a few tries.
    PinRefused(String),
    /// The token was lost, or is not there. A helper that starts anew may find it.
    Lost(String),
}

/// The kinds of keys that sign.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, Serialize)]
pub(crate) enum KeyKind {
    /// ECDSA with P-256
    P256,
    /// ECDSA with P-384
    P384,
    /// RSA with at least 2048 bits
    Rsa,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_messages_fit() {
        let request =
            Request { number: u64::MAX, uri: "a".repeat(1024), work: Work::Sign(Mechanism::Ecdsa, vec![255; 128]) };
        assert!(serde_json::to_vec(&request).unwrap().len() < MAX_MESSAGE);
        // RSA with 16,384 bits
        let found = Answer::Found(KeyKind::Rsa, Some(vec![255; 2048 + 64]));
        for answer in [Answer::Signature(vec![255; 2048]), found] {
            assert!(serde_json::to_vec(&Response { number: u64::MAX, answer }).unwrap().len() < MAX_MESSAGE);
        }
    }
}
