//! ECDSA with P-256 and SHA-256 (RFC 5758 section 3.2, RFC 5480 section 2.1.1.1).

use p256::FieldBytes;
use p256::ecdsa::{Signature, VerifyingKey, signature::Verifier};
use pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

use crate::x509::reader::{DerReader, is_minimal_integer, tag};

/// ECDSA with P-256 and SHA-256.
pub static ECDSA_P256_SHA256: &dyn SignatureVerificationAlgorithm = &EcdsaP256Sha256;

#[derive(Debug)]
struct EcdsaP256Sha256;

impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let key = VerifyingKey::from_sec1_bytes(public_key).map_err(|_| InvalidSignature)?;
        let (r, s) = scalars(signature).ok_or(InvalidSignature)?;
        let signature = Signature::from_scalars(r, s).map_err(|_| InvalidSignature)?;
        key.verify(message, &signature).map_err(|_| InvalidSignature)
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// The two numbers of an ECDSA-Sig-Value (RFC 3279 section 2.2.3). Our own cursor reads it: what p256 would bring for it is 5 KB of an image.
fn scalars(signature: &[u8]) -> Option<(FieldBytes, FieldBytes)> {
    let mut input = DerReader::new(signature);
    let mut numbers = input.enter(tag::SEQUENCE).ok()?;
    input.end().ok()?;
    let both = (scalar(&mut numbers)?, scalar(&mut numbers)?);
    numbers.end().ok()?;
    Some(both)
}

/// A positive INTEGER of at most 32 octets.
fn scalar(numbers: &mut DerReader<'_>) -> Option<FieldBytes> {
    let octets = numbers.require(tag::INTEGER).ok()?.value;
    if !is_minimal_integer(octets) || octets.first().is_none_or(|first| *first >= 0x80) {
        return None;
    }
    let octets = octets.strip_prefix(&[0]).unwrap_or(octets);
    let mut out = FieldBytes::default();
    let from = out.len().checked_sub(octets.len())?;
    out.get_mut(from..)?.copy_from_slice(octets);
    Some(out)
}
