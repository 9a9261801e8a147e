//! Limits the work of one handshake.

use pki_types::{SignatureVerificationAlgorithm, alg_id};

use super::error::{PathErrorKind, Resource};
use crate::x509::{Exhausted, Work};

/// The limits on the work of one handshake. The caller sets them, since a device and a server differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The number of CA certificates between leaf and anchor, without self-issued ones (RFC 5280 section 4.2.1.9).
    pub intermediates: u8,
    /// The units of [`Work`] for candidates, compared octets and attributes, and signatures.
    pub work: u32,
    /// The cost of a P-256 signature check here, in units of work; other signatures are weighed against P-256.
    pub p256_check: u32,
}

impl Limits {
    /// Limits for a microcontroller: eight P-256 checks, of 0.7 million instructions at best, and most of a ninth for
    /// other work. A unit is up to 44 instructions.
    pub const DEVICE: Self = Self { intermediates: 4, work: 8 * 16_000 + 14_000, p256_check: 16_000 };
    /// Limits for a server: the work of sixty P-256 checks, of some fifty microseconds each.
    pub const SERVER: Self = Self { intermediates: 8, work: 60 * 10_000, p256_check: 10_000 };
}

/// The remaining work of one handshake.
#[derive(Debug)]
pub struct Budget {
    limits: Limits,
    pub(super) work: Work,
}

impl Budget {
    /// Creates a full budget.
    pub const fn new(limits: Limits) -> Self {
        Self { limits, work: Work::new(limits.work) }
    }

    /// Returns the limits with the work that is left.
    pub fn left(&self) -> Limits {
        Limits { work: self.work.left(), ..self.limits }
    }

    /// Spends the work of checking a signature by `key` over `message`, before the check.
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

/// The work of looking at a candidate or a revocation list, without its names.
pub(super) const CANDIDATE: usize = 16;

/// Returns the largest cost of a check with this key, in sixteenths of a P-256 check.
fn sixteenths(algorithm: &dyn SignatureVerificationAlgorithm, key: &[u8]) -> u64 {
    /// The first octets of the AlgorithmIdentifiers of ML-DSA (RFC 9881 section 2).
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
    // RSA: a modular squaring costs the square of the modulus's length, and each bit of the exponent takes one.
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
