//! A certificate chain with its private key.

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use edgetrust_core::x509::Certificate;
use pki_types::UnixTime;
use rustls::sign::CertifiedKey;

use super::provider;
use crate::pem::{self, PemError};

/// A certificate chain, leaf first, with the key that fits the leaf.
#[derive(Clone, Debug)]
pub struct Credential {
    pub(super) key: Arc<CertifiedKey>,
}

/// Why there is no credential.
#[derive(Debug)]
pub enum CredentialError {
    /// A file is not as it should be.
    Pem(PemError),
    /// The key is of no kind that the provider can sign with, or does not fit the certificate.
    Key {
        /// The certificate's file.
        cert_file: PathBuf,
        /// The key's file.
        key_file: PathBuf,
        /// What rustls says.
        error: rustls::Error,
    },
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::Key { cert_file, key_file, error: rustls::Error::InconsistentKeys(_) } => write!(
                f,
                "{}: the private key does not match the first certificate of {}",
                key_file.display(),
                cert_file.display()
            ),
            Self::Key { key_file, error, .. } => write!(f, "{}: unusable private key: {error}", key_file.display()),
        }
    }
}

impl std::error::Error for CredentialError {}

impl Credential {
    /// Reads a chain and its key; they must fit.
    ///
    /// # Errors
    /// The file, and what is wrong with it.
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, CredentialError> {
        let chain = pem::read_certificates(cert_file).map_err(CredentialError::Pem)?;
        let key = pem::read_private_key(key_file).map_err(CredentialError::Pem)?;
        let key =
            CertifiedKey::from_der(chain, key, &provider()).and_then(|key| key.keys_match().map(|()| key)).map_err(
                |error| CredentialError::Key { cert_file: cert_file.to_owned(), key_file: key_file.to_owned(), error },
            )?;
        Ok(Self { key: Arc::new(key) })
    }

    /// From when to when the leaf is valid.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        let validity = Certificate::from_der(self.key.cert.first()?).ok()?.validity();
        Some((validity.not_before, validity.not_after))
    }

    /// The chain in DER, leaf first.
    pub fn chain(&self) -> &[pki_types::CertificateDer<'static>] {
        &self.key.cert
    }
}
