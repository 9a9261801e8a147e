//! Describes public keys in readable form.

use edgetrust_core::x509::SubjectPublicKeyInfo;
use pki_types::alg_id;

use crate::tls::provider;

/// The lengths of RSA keys that signatures are verified with, in bits (NIST SP 800-131A allows no shorter ones).
const RSA_BITS: std::ops::RangeInclusive<usize> = 2048..=8192;

/// Returns the type of a key, and its bits.
pub(super) fn describe(spki: &SubjectPublicKeyInfo<'_>) -> String {
    let known = [
        (alg_id::ECDSA_P256, "ECDSA P-256"),
        (alg_id::ECDSA_P384, "ECDSA P-384"),
        (alg_id::ECDSA_P521, "ECDSA P-521"),
        (alg_id::ED25519, "Ed25519"),
    ];
    if let Some((_, name)) = known.iter().find(|(id, _)| id.as_ref() == spki.algorithm) {
        return (*name).to_owned();
    }
    match bits(spki) {
        Some(bits) => format!("RSA, {bits} bits"),
        None => format!("of another kind, {} octets", spki.public_key.len()),
    }
}

/// Returns the length of a key of a known type, in bits.
pub(super) fn bits(spki: &SubjectPublicKeyInfo<'_>) -> Option<usize> {
    match spki.algorithm {
        algorithm if algorithm == alg_id::ECDSA_P256.as_ref() => Some(256),
        algorithm if algorithm == alg_id::ECDSA_P384.as_ref() => Some(384),
        algorithm if algorithm == alg_id::ECDSA_P521.as_ref() => Some(521),
        algorithm if algorithm == alg_id::ED25519.as_ref() => Some(256),
        algorithm if algorithm == alg_id::RSA_ENCRYPTION.as_ref() => rsa_bits(spki.public_key),
        _ => None,
    }
}

/// Returns why no signature can be verified with this key.
pub(super) fn unusable(spki: &SubjectPublicKeyInfo<'_>) -> Option<String> {
    let provider = provider();
    let algorithms = provider.signature_verification_algorithms.all;
    if !algorithms.iter().any(|algorithm| algorithm.public_key_alg_id().as_ref() == spki.algorithm) {
        return Some("its key is of an unsupported kind".to_owned());
    }
    let is_rsa = spki.algorithm == alg_id::RSA_ENCRYPTION.as_ref();
    match bits(spki) {
        Some(bits) if is_rsa && !RSA_BITS.contains(&bits) => {
            Some(format!("its RSA key has {bits} bits, expected {} to {}", RSA_BITS.start(), RSA_BITS.end()))
        }
        None if is_rsa => Some("its RSA key cannot be read".to_owned()),
        _ => None,
    }
}

/// Returns the bits of the modulus (RFC 8017 appendix A.1.1).
fn rsa_bits(key: &[u8]) -> Option<usize> {
    let (modulus, _) = value(value(key, 0x30)?.0, 0x02)?;
    let zeros = modulus.iter().take_while(|octet| **octet == 0).count();
    let first = modulus.get(zeros)?;
    let octets = modulus.len().checked_sub(zeros)?;
    octets.checked_mul(8)?.checked_sub(usize::try_from(first.leading_zeros()).ok()?)
}

/// Returns the contents of one value in DER, and the octets after the value.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (found, rest) = der.split_first()?;
    let (first, rest) = rest.split_first()?;
    let (length, rest) = match usize::from(*first) {
        length @ ..0x80 => (length, rest),
        octets => {
            let (length, rest) = rest.split_at_checked(octets & 0x7f)?;
            let length =
                length.iter().try_fold(0_usize, |sum, octet| sum.checked_mul(256)?.checked_add((*octet).into()));
            (length?, rest)
        }
    };
    if *found == tag { rest.split_at_checked(length) } else { None }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_a_modulus() {
        assert_eq!(rsa_bits(&[0x30, 6, 2, 1, 5, 2, 1, 3]), Some(3));
        assert_eq!(rsa_bits(&[0x30, 7, 2, 2, 0, 0x80, 2, 1, 3]), Some(8));
        let mut key = vec![0x30, 0x82, 1, 8, 2, 0x82, 1, 1, 0, 0xc0];
        key.extend([0; 255]);
        key.extend([2, 1, 3]);
        assert_eq!(rsa_bits(&key), Some(2048));
        for broken in [&[][..], &[0x30], &[0x30, 0x85, 1], &[0x30, 3, 2, 5, 1], &[0x30, 2, 2, 0], &[0x31, 3, 2, 1, 1]] {
            assert_eq!(rsa_bits(broken), None, "{broken:02x?}");
        }
    }
}
