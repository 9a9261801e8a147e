//! Key exchange.

use elliptic_curve::rand_core::CryptoRngCore;
use zeroize::Zeroizing;

use crate::arithmetic;
use crate::number::{Number, number};
use crate::scrub::scrub;
use crate::{FieldBytes, PublicKey};

/// A private key for one exchange.
pub struct EphemeralSecret(Zeroizing<Number>);

impl EphemeralSecret {
    /// Makes a key of random numbers.
    #[must_use]
    pub fn random(rng: &mut impl CryptoRngCore) -> Self {
        // One number in 2^32 is not below the order.
        loop {
            let mut octets = Zeroizing::new([0; 32]);
            rng.fill_bytes(octets.as_mut());
            let secret = Self(Zeroizing::new(number(&octets)));
            if arithmetic::in_range(&secret.0) {
                return secret;
            }
        }
    }

    /// Returns the public key.
    ///
    /// # Panics
    /// Never: [`EphemeralSecret::random`] has checked the range.
    #[must_use]
    pub fn public_key(&self) -> PublicKey {
        PublicKey::of(&self.0).expect("in range")
    }

    /// Returns the secret that is shared with the owner of the other key.
    ///
    /// # Panics
    /// Never: the key is of the curve, or it would not exist.
    #[must_use]
    pub fn diffie_hellman(&self, other: &PublicKey) -> SharedSecret {
        let shared = arithmetic::agree(&self.0, other);
        scrub();
        SharedSecret(shared.expect("on the curve"))
    }
}

/// The coordinate x of the shared point (SEC 1 section 3.3.1).
pub struct SharedSecret(Zeroizing<[u8; 32]>);

impl SharedSecret {
    /// Returns the octets.
    #[must_use]
    pub fn raw_secret_bytes(&self) -> &FieldBytes {
        FieldBytes::from_slice(&*self.0)
    }
}
