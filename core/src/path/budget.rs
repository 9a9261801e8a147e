//! Work that one handshake may cost.

use pki_types::{SignatureVerificationAlgorithm, alg_id};

use super::error::{PathErrorKind, Resource};
use crate::x509::{Exhausted, Work};

/// Work that one handshake may cost. The caller's to set: a device and a server differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CA certificates between leaf and anchor, self-issued ones not counted (as RFC 5280 section 4.2.1.9 counts).
    pub intermediates: u8,
    /// Units of [`Work`]: candidates, octets and attributes compared, signatures.
    pub work: u32,
    /// What checking a P-256 signature costs here, in units of work; other signatures are weighed against it.
    pub p256_check: u32,
}

impl Limits {
    /// For a microcontroller: eight P-256 checks, of 0.7 million instructions at best, and as much as most of a ninth besides. A unit is up to
    /// 44 of its instructions.
    pub const DEVICE: Self = Self { intermediates: 4, work: 8 * 16_000 + 14_000, p256_check: 16_000 };
    /// For a server: as much as sixty P-256 checks, of some fifty microseconds each.
    pub const SERVER: Self = Self { intermediates: 8, work: 60 * 10_000, p256_check: 10_000 };
}

/// What is left of the limits; one for each handshake.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    pub(super) work: Work,
}

impl Budget {
    /// A full budget.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, work: Work::new(limits.work) }
    }

    /// What is left.
    pub fn left(&self) -> Limits {
        Limits { work: self.work.left(), ..self.limits }
    }

    /// A signature over so many octets by a key, before it is checked.
    pub(super) fn signature_check(
        &mut self,
        algorithm: &dyn SignatureVerificationAlgorithm,
        key: &[u8],
        message: &[u8],
    ) -> Result<(), PathErrorKind> {
        let checks = u64::from(self.limits.p256_check).saturating_mul(sixteenths(algorithm, key)) / 16;
        let units = usize::try_from(checks).unwrap_or(usize::MAX).saturating_add(message.len());
        self.work.spend(units).map_err(PathErrorKind::from)
    }
}

/// Sixteenths of a P-256 check that a check with this key takes at most.
fn sixteenths(algorithm: &dyn SignatureVerificationAlgorithm, key: &[u8]) -> u64 {
    /// What begins the AlgorithmIdentifiers of ML-DSA (RFC 9881 section 2).
    const ML_DSA: [u8; 10] = [0x06, 0x09, 0x60, 0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x03];
    let id = algorithm.public_key_alg_id();
    if id == alg_id::ECDSA_P256 || id == alg_id::ED25519 {
        return 16;
    }
    if id == alg_id::ECDSA_P384 {
        return 4 * 16;
    }
    if id == alg_id::ECDSA_P521 {
        return 10 * 16;
    }
    if id.as_ref().starts_with(&ML_DSA) {
        return 4 * 16;
    }
    // RSA: a modular square grows with the square of the modulus, and there are as many as the exponent has bits.
    let octets = u64::try_from(key.len()).unwrap_or(u64::MAX);
    let square = octets.saturating_mul(octets) >> 13;
    if key.ends_with(&[0x02, 0x03, 0x01, 0x00, 0x01]) { square.max(4) } else { square.saturating_mul(4).max(4) }
}

impl From<Exhausted> for PathErrorKind {
    fn from(_: Exhausted) -> Self {
        Self::Budget(Resource::Work)
    }
}

#[cfg(all(feature = "p256", feature = "p384"))]
#[cfg(test)]
mod tests {
    use super::*;
    use crate::crypto::{ECDSA_P256_SHA256, ECDSA_P384_SHA384};

    #[test]
    fn signatures_are_weighed_by_key_and_message() {
        let mut budget = Budget::new(Limits { intermediates: 0, work: 500, p256_check: 100 });
        assert_eq!(budget.signature_check(ECDSA_P256_SHA256, &[0; 65], &[0; 50]), Ok(()));
        assert_eq!(budget.left().work, 350);
        let refused = Err(PathErrorKind::Budget(Resource::Work));
        assert_eq!(budget.signature_check(ECDSA_P384_SHA384, &[0; 97], &[]), refused);
        assert_eq!(budget.signature_check(ECDSA_P256_SHA256, &[0; 65], &[]), refused, "what is gone is gone");
    }
}
