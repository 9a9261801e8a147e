//! The curve, and points of it.

use elliptic_curve::consts::U32;
use elliptic_curve::sec1::ValidatePublicKey;
use elliptic_curve::{Curve, Error, FieldBytesEncoding, bigint::U256};
use zeroize::Zeroizing;

use crate::arithmetic;
use crate::number::{Number, number, octets};
use crate::scrub::scrub;

/// NIST P-256, secp256r1 (SEC 2 section 2.4.2).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct NistP256;

impl Curve for NistP256 {
    type FieldBytesSize = U32;
    type Uint = U256;

    const ORDER: U256 = U256::from_be_hex("ffffffff00000000ffffffffffffffffbce6faada7179e84f3b9cac2fc632551");
}

impl FieldBytesEncoding<NistP256> for U256 {}

impl ValidatePublicKey for NistP256 {
    fn validate_public_key(
        secret_key: &SecretKey,
        public_key: &elliptic_curve::sec1::EncodedPoint<Self>,
    ) -> Result<(), Error> {
        let ours = PublicKey::of(&Zeroizing::new(number(&secret_key.to_bytes().into()))).ok_or(Error)?;
        if ours.to_encoded_point(false).as_bytes() == public_key.as_bytes() { Ok(()) } else { Err(Error) }
    }
}

/// A number or coordinate, big-endian.
pub type FieldBytes = elliptic_curve::FieldBytes<NistP256>;

/// A private key.
pub type SecretKey = elliptic_curve::SecretKey<NistP256>;

/// A point of the curve other than the point at infinity.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublicKey {
    pub(crate) x: Number,
    pub(crate) y: Number,
}

impl PublicKey {
    /// Decodes an uncompressed point (SEC 1 section 2.3.4).
    ///
    /// # Errors
    /// Fails if it is in another form, or not on the curve.
    pub fn from_sec1_bytes(octets: &[u8]) -> Result<Self, Error> {
        let octets = octets.try_into().map_err(|_| Error)?;
        arithmetic::decode(octets).ok_or(Error)
    }

    /// Encodes the point without compression, whatever is asked for.
    #[must_use]
    pub fn to_encoded_point(&self, _compress: bool) -> EncodedPoint {
        let mut encoded = [4; 65];
        let coordinates = octets(&self.x).into_iter().chain(octets(&self.y));
        encoded.iter_mut().skip(1).zip(coordinates).for_each(|(to, octet)| *to = octet);
        EncodedPoint(encoded)
    }

    /// Returns the public key of a private one, unless that is out of range.
    pub(crate) fn of(secret: &Number) -> Option<Self> {
        let point = arithmetic::public_key(secret);
        scrub();
        point
    }
}

/// An uncompressed point, encoded (SEC 1 section 2.3.3).
#[derive(Clone, Copy, Debug)]
pub struct EncodedPoint([u8; 65]);

impl EncodedPoint {
    /// Returns the octets.
    #[must_use]
    pub const fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for EncodedPoint {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl From<&PublicKey> for EncodedPoint {
    fn from(key: &PublicKey) -> Self {
        key.to_encoded_point(false)
    }
}
