//! The hash of the handshake messages so far (RFC 8446 section 4.4.1).

use sha2::{Digest, Sha256};

use crate::key_schedule::Hash;

#[derive(Clone, Debug)]
pub(crate) struct Transcript(Sha256);

impl Transcript {
    pub(crate) fn new() -> Self {
        Self(Sha256::new())
    }

    #[inline(never)]
    pub(crate) fn add(&mut self, message: &[u8]) {
        self.0.update(message);
    }

    #[inline(never)]
    pub(crate) fn hash(&self) -> Hash {
        self.0.clone().finalize().into()
    }

    /// Returns the hash with these octets added.
    #[cfg(feature = "resumption")]
    #[inline(never)]
    pub(crate) fn hash_with(&self, octets: &[u8]) -> Hash {
        self.0.clone().chain_update(octets).finalize().into()
    }

    /// Puts the message_hash in the place of the first ClientHello, before a HelloRetryRequest is added.
    #[inline(never)]
    pub(crate) fn retry(&mut self) {
        let first = self.hash();
        self.0 = Sha256::new().chain_update([254, 0, 0, 32]).chain_update(first);
    }
}
