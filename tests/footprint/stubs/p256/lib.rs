//! P-256 without a curve: it takes and gives what the compiler cannot predict.

#![no_std]

use core::hint::black_box;

/// The key agreement.
pub mod ecdh {
    use super::{PublicKey, black_box};
    use rand_core::CryptoRngCore;

    /// An ephemeral key.
    pub struct EphemeralSecret([u8; 32]);

    /// What both sides have.
    pub struct SharedSecret([u8; 32]);

    impl EphemeralSecret {
        /// Makes a key.
        pub fn random(rng: &mut impl CryptoRngCore) -> Self {
            let mut key = [0; 32];
            rng.fill_bytes(&mut key);
            Self(black_box(key))
        }

        /// Returns the public key.
        pub fn public_key(&self) -> PublicKey {
            black_box(self.0);
            PublicKey(black_box([0; 65]))
        }

        /// Agrees.
        pub fn diffie_hellman(&self, key: &PublicKey) -> SharedSecret {
            black_box((self.0, key.0));
            SharedSecret(black_box([0; 32]))
        }
    }

    impl SharedSecret {
        /// Returns the octets.
        pub fn raw_secret_bytes(&self) -> &[u8; 32] {
            &self.0
        }
    }
}

/// A public key.
pub struct PublicKey([u8; 65]);

/// What is no key.
pub struct Error;

impl PublicKey {
    /// Reads a key.
    pub fn from_sec1_bytes(octets: &[u8]) -> Result<Self, Error> {
        black_box(octets);
        if black_box(true) { Ok(Self(black_box([0; 65]))) } else { Err(Error) }
    }
}

/// A point as octets.
pub struct EncodedPoint([u8; 65]);

impl From<&PublicKey> for EncodedPoint {
    fn from(key: &PublicKey) -> Self {
        Self(black_box(key.0))
    }
}

impl EncodedPoint {
    /// Returns the octets.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}
