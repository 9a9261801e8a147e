//! The key agreement on secp256r1 (RFC 8446 section 7.4.2).

use p256::ecdh::EphemeralSecret;
use p256::{EncodedPoint, PublicKey};
use rand_core::CryptoRngCore;

use crate::error::{Error, Fault};
use crate::message::POINT;
use crate::secret::Secret;

/// An ephemeral key.
pub(crate) struct Agreement(EphemeralSecret);

impl core::fmt::Debug for Agreement {
    /// Leaves out the key.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.write_str("Agreement")
    }
}

impl Agreement {
    #[inline(never)]
    pub(crate) fn new(rng: &mut impl CryptoRngCore) -> Self {
        Self(EphemeralSecret::random(rng))
    }

    /// Returns the share, an uncompressed point (RFC 8446 section 4.2.8.2). It is computed each time.
    #[inline(never)]
    pub(crate) fn share(&self) -> [u8; POINT] {
        let mut share = [0; POINT];
        let point = EncodedPoint::from(&self.0.public_key());
        share.iter_mut().zip(point.as_bytes()).for_each(|(to, from)| *to = *from);
        share
    }

    /// Agrees with the peer's share, which must be an uncompressed point of the curve (RFC 8446 section 4.2.8.2).
    #[inline(never)]
    pub(crate) fn agree(self, share: &[u8]) -> Result<Secret, Error> {
        const UNCOMPRESSED: u8 = 4;
        let point = share.first() == Some(&UNCOMPRESSED) && share.len() == POINT;
        let key = PublicKey::from_sec1_bytes(share).ok().filter(|_| point);
        let key = key.ok_or(Error::Peer(Fault::Illegal("key_share")))?;
        Ok(Secret((*self.0.diffie_hellman(&key).raw_secret_bytes()).into()))
    }
}
