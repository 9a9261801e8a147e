//! Verifies the signatures of certificates and revocation lists within a budget.

use pki_types::SignatureVerificationAlgorithm;

use super::Budget;
use super::error::PathErrorKind;
use crate::x509::{ObjectIdentifier, SubjectPublicKeyInfo};

/// Verifies a signature with a key, given the contents of the signatureAlgorithm, the octets signed, and the signature.
pub(super) fn verify(
    (signature_algorithm, message, signature): (&[u8], &[u8], &[u8]),
    key: &SubjectPublicKeyInfo<'_>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
    budget: &mut Budget,
) -> Result<(), PathErrorKind> {
    let oid = ObjectIdentifier::algorithm(signature_algorithm);
    let mut outcome = Err(PathErrorKind::SignatureAlgorithmMismatch(oid));
    for algorithm in algorithms {
        if algorithm.signature_alg_id().as_ref() != signature_algorithm
            || algorithm.public_key_alg_id().as_ref() != key.algorithm
        {
            continue;
        }
        budget.signature_check(*algorithm, key.public_key, message)?;
        match algorithm.verify_signature(key.public_key, message, signature) {
            Ok(()) => return Ok(()),
            Err(_) => outcome = Err(PathErrorKind::BadSignature),
        }
    }
    outcome
}
