//! The own certificate and its key.

use edgetrust_core::crypto::EcdsaSignature;

/// A chain, and a P-256 key that may be in a secure element.
pub trait Credential {
    /// Returns the DER of a certificate: 0 is the leaf, and its intermediates follow, each the issuer of the one before
    /// (RFC 8446 section 4.4.2). `None` ends the chain.
    fn certificate(&self, index: usize) -> Option<&[u8]>;

    /// Signs `message` by ECDSA with SHA-256, or returns `None` if the key cannot be used.
    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature>;
}

/// The credential type of a client without a certificate.
#[derive(Clone, Copy, Debug)]
pub enum NoCredential {}

impl Credential for NoCredential {
    fn certificate(&self, _index: usize) -> Option<&[u8]> {
        match *self {}
    }

    fn sign(&mut self, _message: &[u8]) -> Option<EcdsaSignature> {
        match *self {}
    }
}
