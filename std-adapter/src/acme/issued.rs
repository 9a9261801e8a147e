//! Holds a new certificate with its key, until it is stored.

use pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, UnixTime};

use crate::tls::Credential;

/// A new certificate that has been verified and whose key fits, but that is not yet stored.
#[derive(Clone)]
pub struct Issued {
    /// The private key, PKCS #8 in DER.
    pub key: Vec<u8>,
    /// The chain, leaf first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The start of the validity (RFC 5280 section 4.1.2.5).
    pub not_before: UnixTime,
    /// The end of the validity (RFC 5280 section 4.1.2.5).
    pub not_after: UnixTime,
}

impl std::fmt::Debug for Issued {
    /// Formats the certificate without its key.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued").field("not_after", &self.not_after).finish_non_exhaustive()
    }
}

impl Issued {
    /// Returns the credential that rustls presents.
    ///
    /// # Errors
    /// Fails if the key does not fit the certificate.
    pub fn credential(&self) -> Result<Credential, String> {
        let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(self.key.clone()));
        Credential::new(self.chain.clone(), key).map_err(|error| error.to_string())
    }
}
