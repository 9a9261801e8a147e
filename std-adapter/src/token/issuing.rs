//! Signs certificates and requests with a key in a token.

use std::fmt;
use std::sync::{Mutex, PoisonError};

use rcgen::{PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384, PKCS_RSA_SHA256};
use rcgen::{PublicKeyData, SignatureAlgorithm, SigningKey};

use super::message::{Hash, KeyKind};
use super::{Scheme, TokenError, TokenKey};

/// A key in a token with its public key, as certificates need it.
pub(crate) struct IssuingKey {
    key: TokenKey,
    public: Vec<u8>,
    /// The reason of the last signature that failed, which rcgen does not pass on.
    failed: Mutex<Option<TokenError>>,
}

impl fmt::Debug for IssuingKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.key.fmt(f)
    }
}

impl IssuingKey {
    /// Finds the key that a URI names, and its public key.
    ///
    /// # Errors
    /// Returns the fault of the URI, the reason that there is no such key, or that its public key is not beside it.
    pub(crate) fn find(uri: &str) -> Result<Self, TokenError> {
        let key = TokenKey::find(uri)?;
        let none = "found no public key with the id of the private key in the token, expected one beside it";
        let public = key.public.clone().ok_or_else(|| TokenError::Key(format!("{key}: {none}")))?;
        Ok(Self { key, public, failed: Mutex::default() })
    }

    /// Returns the key.
    pub(crate) fn key(&self) -> &TokenKey {
        &self.key
    }

    /// Returns why the last signature failed.
    pub(crate) fn reason(&self) -> Option<TokenError> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

impl PublicKeyData for IssuingKey {
    fn der_bytes(&self) -> &[u8] {
        &self.public
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self.key.kind() {
            KeyKind::P256 => &PKCS_ECDSA_P256_SHA256,
            KeyKind::P384 => &PKCS_ECDSA_P384_SHA384,
            KeyKind::Rsa => &PKCS_RSA_SHA256,
        }
    }
}

impl SigningKey for IssuingKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let scheme = match self.key.kind() {
            KeyKind::P256 | KeyKind::P384 => Scheme::Ecdsa,
            KeyKind::Rsa => Scheme::RsaPkcs1(Hash::Sha256),
        };
        self.key.sign(scheme, message).map_err(|error| {
            *self.failed.lock().unwrap_or_else(PoisonError::into_inner) = Some(error);
            rcgen::Error::RemoteKeyError
        })
    }
}
