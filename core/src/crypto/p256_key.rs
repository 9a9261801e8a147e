//! Keeps a P-256 key in software: PKCS #8 in and out, ECDSA with SHA-256 (RFC 5958, RFC 5915, RFC 6979).

use core::fmt;

use p256::ecdsa::signature::Signer;
use p256::ecdsa::{Signature, SigningKey};

use super::{EcdsaSignature, write_ecdsa_signature};
use crate::x509::reader::{DerReader, tag};

/// The length of a key in PKCS #8 with its public key, in octets.
pub const PKCS8_P256: usize = 138;

/// id-ecPublicKey with prime256v1 (RFC 5480 section 2.1.1).
const ALGORITHM: [u8; 19] =
    [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];

/// A P-256 private key in memory.
#[derive(Clone)]
pub struct P256Key(SigningKey);

impl fmt::Debug for P256Key {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("P256Key")
    }
}

impl P256Key {
    /// Creates a key from 32 random octets; none if they are no scalar of the curve, which practically never happens.
    pub fn from_random(octets: &[u8; 32]) -> Option<Self> {
        SigningKey::from_slice(octets).ok().map(Self)
    }

    /// Reads a key from a PrivateKeyInfo (RFC 5958 section 2); none if it is malformed or of another kind.
    pub fn from_pkcs8(der: &[u8]) -> Option<Self> {
        let mut input = DerReader::new(der);
        let mut info = input.enter(tag::SEQUENCE).ok()?;
        input.end().ok()?;
        let version = info.require(tag::INTEGER).ok()?.value;
        let algorithm = info.require(tag::SEQUENCE).ok()?.value;
        if !matches!(version, [0 | 1]) || algorithm != ALGORITHM {
            return None;
        }
        // RFC 5915 section 3
        let key = info.require(tag::OCTET_STRING).ok()?.value;
        let mut input = DerReader::new(key);
        let mut key = input.enter(tag::SEQUENCE).ok()?;
        input.end().ok()?;
        let version = key.require(tag::INTEGER).ok()?.value;
        let scalar = key.require(tag::OCTET_STRING).ok()?.value;
        if version != [1] || scalar.len() != 32 {
            return None;
        }
        SigningKey::from_slice(scalar).ok().map(Self)
    }

    /// Encodes the key as PrivateKeyInfo (RFC 5958 section 2).
    pub fn to_pkcs8(&self) -> [u8; PKCS8_P256] {
        let head = [0x30, 0x81, 0x87, 0x02, 0x01, 0x00, 0x30, 0x13];
        let middle = [0x04, 0x6d, 0x30, 0x6b, 0x02, 0x01, 0x01, 0x04, 0x20];
        let tail = [0xa1, 0x44, 0x03, 0x42, 0x00];
        let scalar = self.0.to_bytes();
        let octets = (head.into_iter().chain(ALGORITHM).chain(middle))
            .chain(scalar.iter().copied())
            .chain(tail)
            .chain(self.public_key());
        let mut out = [0; PKCS8_P256];
        out.iter_mut().zip(octets).for_each(|(to, from)| *to = from);
        out
    }

    /// The private key itself, big-endian, for signing by other means than [`P256Key::sign`].
    pub fn scalar(&self) -> [u8; 32] {
        self.0.to_bytes().into()
    }

    /// The public key, an uncompressed point (SEC 1 section 2.3.3).
    pub fn public_key(&self) -> [u8; 65] {
        let mut out = [0; 65];
        let point = self.0.verifying_key().to_encoded_point(false);
        out.iter_mut().zip(point.as_bytes()).for_each(|(to, from)| *to = *from);
        out
    }

    /// Signs a message by ECDSA with SHA-256, as ECDSA-Sig-Value (RFC 3279 section 2.2.3), without random numbers
    /// (RFC 6979).
    pub fn sign(&self, message: &[u8]) -> Option<EcdsaSignature> {
        let signature: Signature = self.0.try_sign(message).ok()?;
        let (r, s) = signature.split_bytes();
        write_ecdsa_signature(&r.into(), &s.into())
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::crypto::ECDSA_P256_SHA256;

    #[test]
    fn a_key_survives_pkcs8_and_signs() {
        let key = P256Key::from_random(&[7; 32]).unwrap();
        let der = key.to_pkcs8();
        let again = P256Key::from_pkcs8(&der).unwrap();
        assert_eq!(again.to_pkcs8(), der);
        let signature = again.sign(b"message").unwrap();
        assert!(ECDSA_P256_SHA256.verify_signature(&key.public_key(), b"message", &signature).is_ok());
        assert!(ECDSA_P256_SHA256.verify_signature(&key.public_key(), b"another", &signature).is_err());
    }

    #[test]
    fn keys_of_others_are_read_and_ours_by_them() {
        let theirs = rcgen::KeyPair::generate().unwrap();
        let read = P256Key::from_pkcs8(theirs.serialized_der()).unwrap();
        assert_eq!(read.public_key().as_slice(), theirs.public_key_raw());
        let ours = rcgen::KeyPair::try_from(read.to_pkcs8().as_slice()).unwrap();
        assert_eq!(ours.public_key_raw(), theirs.public_key_raw());
    }

    #[test]
    fn what_is_no_key_is_none() {
        assert!(P256Key::from_random(&[0; 32]).is_none());
        assert!(P256Key::from_random(&[0xff; 32]).is_none());
        let der = P256Key::from_random(&[7; 32]).unwrap().to_pkcs8();
        for end in 0..der.len() {
            assert!(P256Key::from_pkcs8(&der[..end]).is_none(), "{end}");
        }
        let p384 = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
        assert!(P256Key::from_pkcs8(p384.serialized_der()).is_none());
    }
}
