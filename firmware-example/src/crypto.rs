//! Selects the P-256 that verifies certificates and signs for this device: portable code, or with the feature
//! `p256-cm4` assembly for this processor.
//!
//! Key exchange stays embedded-tls's own.

#[cfg(feature = "p256-cm4")]
mod cortex_m4;

use edgetrust_core::crypto::{EcdsaSignature, P256Key};
use edgetrust_core::embedded_tls::ClientCredential;
use edgetrust_core::pki_types::SignatureVerificationAlgorithm;

/// ECDSA with P-256 and SHA-256.
#[cfg(not(feature = "p256-cm4"))]
pub static ECDSA: &dyn SignatureVerificationAlgorithm = edgetrust_core::crypto::ECDSA_P256_SHA256;
/// ECDSA with P-256 and SHA-256.
#[cfg(feature = "p256-cm4")]
pub static ECDSA: &dyn SignatureVerificationAlgorithm = &cortex_m4::EcdsaP256Sha256;

/// Signs a message by ECDSA with SHA-256; needs no random numbers (RFC 6979).
#[must_use]
pub fn sign(key: &P256Key, message: &[u8]) -> Option<EcdsaSignature> {
    #[cfg(not(feature = "p256-cm4"))]
    return key.sign(message);
    #[cfg(feature = "p256-cm4")]
    return cortex_m4::sign(key, message);
}

/// A certificate and its key in memory.
#[derive(Clone, Debug)]
pub struct Credential<'a> {
    /// The certificate in DER.
    pub certificate: &'a [u8],
    /// The certificate's private key.
    pub key: P256Key,
}

impl ClientCredential for Credential<'_> {
    fn certificate(&self) -> &[u8] {
        self.certificate
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        sign(&self.key, message)
    }
}
