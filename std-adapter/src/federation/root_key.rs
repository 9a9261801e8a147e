//! The private key of a root: in a file with a password, or in a token, whose URI the file then holds.

use rcgen::{KeyPair, PublicKeyData, SignatureAlgorithm, SigningKey};

use super::key::{self, Password};
use crate::token::{IssuingKey, KeyKind};

/// A root's key that can sign.
#[derive(Debug)]
pub(crate) enum RootKey {
    /// A key in memory.
    Opened(Box<KeyPair>),
    /// A key in a token.
    Token(Box<IssuingKey>),
}

impl RootKey {
    /// Finds a key in a token.
    ///
    /// # Errors
    /// Fails if there is no such key, or it is of a kind that roots do not have.
    pub(crate) fn in_token(uri: &str) -> Result<Self, String> {
        let key = IssuingKey::find(uri).map_err(|error| error.to_string())?;
        match key.key().kind() {
            KeyKind::P256 | KeyKind::P384 => Ok(Self::Token(Box::new(key))),
            KeyKind::Rsa => Err(format!("{}: found an RSA key, expected P-256 or P-384 for a root", key.key())),
        }
    }

    /// Returns the text of the key's file: the encrypted key, or the URI.
    pub(super) fn file(&self, password: Option<&Password>) -> Result<String, String> {
        match self {
            Self::Opened(key) => key::encrypt(key, password.ok_or("found no password")?),
            Self::Token(key) => Ok(format!("{}\n", key.key().uri())),
        }
    }

    /// Returns what failed, in the words of the token if it was there.
    pub(super) fn failed(&self, error: rcgen::Error) -> String {
        let reason = match self {
            Self::Opened(_) => None,
            Self::Token(key) => key.reason(),
        };
        reason.map_or_else(|| error.to_string(), |reason| reason.to_string())
    }
}

impl From<KeyPair> for RootKey {
    fn from(key: KeyPair) -> Self {
        Self::Opened(Box::new(key))
    }
}

impl PublicKeyData for RootKey {
    fn der_bytes(&self) -> &[u8] {
        match self {
            Self::Opened(key) => key.der_bytes(),
            Self::Token(key) => key.der_bytes(),
        }
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        match self {
            Self::Opened(key) => PublicKeyData::algorithm(&**key),
            Self::Token(key) => key.algorithm(),
        }
    }
}

impl SigningKey for RootKey {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        match self {
            Self::Opened(key) => key.sign(message),
            Self::Token(key) => key.sign(message),
        }
    }
}
