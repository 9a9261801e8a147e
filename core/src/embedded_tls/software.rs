//! A credential with its key in memory.

use super::ClientCredential;
use crate::crypto::{EcdsaSignature, P256Key};

/// A certificate and its key in memory.
#[derive(Clone, Debug)]
pub struct SoftwareCredential<'a> {
    /// The certificate, DER.
    pub certificate: &'a [u8],
    /// The certificate's key.
    pub key: P256Key,
}

impl ClientCredential for SoftwareCredential<'_> {
    fn certificate(&self) -> &[u8] {
        self.certificate
    }

    fn sign(&mut self, message: &[u8]) -> Option<EcdsaSignature> {
        self.key.sign(message)
    }
}
