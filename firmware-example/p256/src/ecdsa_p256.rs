//! Signatures.

use sha2::{Digest, Sha256};
use signature::{Error, Signer, Verifier};
use zeroize::Zeroizing;

use crate::arithmetic;
use crate::number::{Number, number, octets, reduced};
use crate::scrub::scrub;
use crate::{EncodedPoint, FieldBytes, PublicKey, SecretKey};

/// A signature: two numbers from 1 to the order less 1.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Signature {
    r: Number,
    s: Number,
}

impl Signature {
    /// Makes a signature of its two numbers, big-endian.
    ///
    /// # Errors
    /// Fails if one of them is out of range.
    pub fn from_scalars(r: impl Into<FieldBytes>, s: impl Into<FieldBytes>) -> Result<Self, Error> {
        let [r, s] = [r.into(), s.into()].map(|octets| number(&octets.into()));
        let in_range = arithmetic::in_range(&r) && arithmetic::in_range(&s);
        if in_range { Ok(Self { r, s }) } else { Err(Error::new()) }
    }

    /// Returns its two numbers, big-endian.
    #[must_use]
    pub fn split_bytes(&self) -> (FieldBytes, FieldBytes) {
        (octets(&self.r).into(), octets(&self.s).into())
    }
}

/// A signature in DER. None is ever made: embedded-tls names the type for a provider that verifies nobody.
#[derive(Clone, Debug)]
pub struct DerSignature(&'static [u8]);

impl AsRef<[u8]> for DerSignature {
    fn as_ref(&self) -> &[u8] {
        self.0
    }
}

/// A private key.
#[derive(Clone)]
pub struct SigningKey {
    secret: Zeroizing<Number>,
    public: VerifyingKey,
}

impl SigningKey {
    /// Reads a key of 32 octets, big-endian.
    ///
    /// # Errors
    /// Fails if it is of another length, 0, or not below the order.
    pub fn from_slice(octets: &[u8]) -> Result<Self, Error> {
        let octets = octets.try_into().map_err(|_| Error::new())?;
        let secret = Zeroizing::new(number(octets));
        let public = PublicKey::of(&secret).ok_or_else(Error::new)?;
        Ok(Self { secret, public: VerifyingKey(public) })
    }

    /// Returns the key, big-endian.
    #[must_use]
    pub fn to_bytes(&self) -> FieldBytes {
        octets(&self.secret).into()
    }

    /// Returns the public key.
    #[must_use]
    pub const fn verifying_key(&self) -> &VerifyingKey {
        &self.public
    }
}

impl From<&SecretKey> for SigningKey {
    /// # Panics
    /// Never: the range was checked when the key was made.
    fn from(key: &SecretKey) -> Self {
        Self::from_slice(Zeroizing::new(key.to_bytes()).as_slice()).expect("in range")
    }
}

impl Signer<Signature> for SigningKey {
    /// Signs by RFC 6979, with the same result as the portable code.
    fn try_sign(&self, message: &[u8]) -> Result<Signature, Error> {
        let digest = digest(message);
        let signature = arithmetic::sign(&self.secret, &digest);
        scrub();
        let (r, s) = signature.ok_or_else(Error::new)?;
        Ok(Signature { r, s })
    }
}

impl Signer<DerSignature> for SigningKey {
    fn try_sign(&self, _: &[u8]) -> Result<DerSignature, Error> {
        Err(Error::new())
    }
}

/// Returns the digest of a message as a number below the order.
fn digest(message: &[u8]) -> Number {
    reduced(&number(&Sha256::digest(message).into()))
}

/// A public key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct VerifyingKey(PublicKey);

impl VerifyingKey {
    /// Decodes an uncompressed point (SEC 1 section 2.3.4).
    ///
    /// # Errors
    /// Fails if it is in another form, or not on the curve.
    pub fn from_sec1_bytes(octets: &[u8]) -> Result<Self, Error> {
        PublicKey::from_sec1_bytes(octets).map(Self).map_err(|_| Error::new())
    }

    /// Encodes the point without compression, whatever is asked for.
    #[must_use]
    pub fn to_encoded_point(&self, compress: bool) -> EncodedPoint {
        self.0.to_encoded_point(compress)
    }
}

impl Verifier<Signature> for VerifyingKey {
    fn verify(&self, message: &[u8], signature: &Signature) -> Result<(), Error> {
        let fits = arithmetic::verify(&self.0, &digest(message), (&signature.r, &signature.s));
        if fits { Ok(()) } else { Err(Error::new()) }
    }
}
