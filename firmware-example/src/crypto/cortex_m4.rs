//! Implements P-256 in assembly for Cortex-M4: the crate p256-cm4, whose numbers are eight words, the lowest first.

use edgetrust_core::crypto::{EcdsaSignature, P256Key, read_ecdsa_signature, write_ecdsa_signature};
use edgetrust_core::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use p256::elliptic_curve::ops::Reduce;
use p256::elliptic_curve::{Curve, bigint::ArrayEncoding};
use p256::{NistP256, Scalar, U256};
use sha2::{Digest, Sha256};

type Number = [u32; 8];

/// ECDSA with P-256 and SHA-256.
#[derive(Debug)]
pub(super) struct EcdsaP256Sha256;

impl SignatureVerificationAlgorithm for EcdsaP256Sha256 {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let (x, y) = point(public_key).ok_or(InvalidSignature)?;
        let (r, s) = read_ecdsa_signature(signature).ok_or(InvalidSignature)?;
        // `verify` refuses numbers out of range (SEC 1 section 4.1.4).
        if p256_cm4::verify(&x, &y, &Sha256::digest(message), &number(&r), &number(&s)) {
            Ok(())
        } else {
            Err(InvalidSignature)
        }
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

/// Decodes an uncompressed point of the curve (RFC 5480 section 2.2 demands no other form). The crate does not check
/// lengths, and does not decompress all points.
fn point(octets: &[u8]) -> Option<(Number, Number)> {
    if octets.first() != Some(&4) || octets.len() != 65 {
        return None;
    }
    let (mut x, mut y) = ([0; 8], [0; 8]);
    p256_cm4::octet_string_to_point(&mut x, &mut y, octets).then_some((x, y))
}

/// Signs with the same result as the portable code.
pub(super) fn sign(key: &P256Key, message: &[u8]) -> Option<EcdsaSignature> {
    let hash = Sha256::digest(message);
    // RFC 6979 section 3.2: bits2octets reduces
    let reduced = <Scalar as Reduce<U256>>::reduce_bytes(&hash).to_bytes();
    let secret = key.scalar();
    let nonce = rfc6979::generate_k::<Sha256, _>(&secret.into(), &NistP256::ORDER.to_be_byte_array(), &reduced, &[]);
    let (mut r, mut s) = ([0; 8], [0; 8]);
    if !p256_cm4::sign(&mut r, &mut s, &hash, &number(&secret), &number(&nonce.into())) {
        return None;
    }
    write_ecdsa_signature(&octets(&r), &octets(&s))
}

fn number(octets: &[u8; 32]) -> Number {
    let mut number = [0; 8];
    let (words, _) = octets.as_chunks::<4>();
    number.iter_mut().rev().zip(words).for_each(|(to, word)| *to = u32::from_be_bytes(*word));
    number
}

fn octets(number: &Number) -> [u8; 32] {
    let mut octets = [0; 32];
    let (words, _) = octets.as_chunks_mut::<4>();
    words.iter_mut().zip(number.iter().rev()).for_each(|(to, word)| *to = word.to_be_bytes());
    octets
}
