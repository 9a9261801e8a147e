//! Keys that stay in a token: a TPM, a smart card, a hardware security module, reached by PKCS #11 (OASIS, version 2.40
//! and later). All calls of a module go through [`TokenKey`]; they run in a process of their own.

mod der;
#[cfg(feature = "pkcs11")]
mod helper;
mod issuing;
mod message;
#[cfg(feature = "pkcs11")]
mod module;
mod process;
#[cfg(feature = "pkcs11")]
mod relay;
mod uri;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use sha2::{Digest as _, Sha256, Sha384, Sha512};
use tokio::sync::Semaphore;

use crate::pem;
pub(crate) use der::value;
#[cfg(feature = "pkcs11")]
pub(crate) use helper::serve;
pub(crate) use issuing::IssuingKey;
use message::{Answer, Mechanism, Work};
pub(crate) use message::{Hash, KeyKind};
#[cfg(feature = "pkcs11")]
pub(crate) use process::COMMAND as HELPER;
use process::Module;
#[cfg(feature = "pkcs11")]
pub(crate) use relay::{COMMAND as RELAY, relays_started, serve_relay, start_relays};
pub(crate) use uri::{KeyUri, UriError};

/// The reason that a key in a token cannot be used. It names token and key, and never a PIN.
#[derive(Clone, Debug)]
pub(crate) enum TokenError {
    /// The URI has a fault.
    Uri(UriError),
    /// The key cannot be found, or does not sign.
    Key(String),
}

impl fmt::Display for TokenError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uri(error) => error.fmt(f),
            Self::Key(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for TokenError {}

/// A kind of signature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// ECDSA, with the hash of the curve's length
    Ecdsa,
    /// RSASSA-PSS (RFC 8017 section 8.1)
    RsaPss(Hash),
    /// RSASSA-PKCS1-v1_5 (RFC 8017 section 8.2)
    RsaPkcs1(Hash),
}

/// A private key in a token.
#[derive(Clone)]
pub(crate) struct TokenKey {
    uri: KeyUri,
    module: Arc<Module>,
    kind: KeyKind,
    public: Option<Vec<u8>>,
}

impl fmt::Debug for TokenKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TokenKey({}, {:?})", self.uri, self.kind)
    }
}

impl fmt::Display for TokenKey {
    /// Formats token and key, for messages.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.uri.fmt(f)
    }
}

impl TokenKey {
    /// Finds the key that a URI names. Blocks until the token answers, up to a time limit.
    ///
    /// # Errors
    /// Returns the fault of the URI, or the reason that there is no such key.
    pub(crate) fn find(uri: &str) -> Result<Self, TokenError> {
        let uri = KeyUri::parse(uri).map_err(TokenError::Uri)?;
        if let Some(reason) = UNAVAILABLE {
            return Err(TokenError::Key(format!("{uri}: {reason}")));
        }
        let module = Module::of(uri.module());
        match module.ask(&uri, &Work::Find) {
            Ok(Answer::Found(kind, public)) => Ok(Self { uri, module, kind, public }),
            Ok(_) => Err(TokenError::Key(format!("{uri}: the helper gave another answer than was asked for"))),
            Err(reason) => Err(TokenError::Key(format!("{uri}: {reason}"))),
        }
    }

    /// Returns the URI as it was written.
    pub(crate) fn uri(&self) -> &str {
        self.uri.text()
    }

    /// Returns the kind of the key.
    pub(crate) fn kind(&self) -> KeyKind {
        self.kind
    }

    /// Returns the turns of handshakes that may wait for the token at the same time.
    pub(crate) fn turns(&self) -> &Arc<Semaphore> {
        self.module.turns()
    }

    /// Signs a message. Blocks until the token answers, up to a time limit; other tasks of the runtime go on.
    ///
    /// # Errors
    /// Returns the reason of the token, or that it does not answer.
    pub(crate) fn sign(&self, scheme: Scheme, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let failed = |reason: String| TokenError::Key(format!("{}: {reason}", self.uri));
        let (mechanism, data) = match (scheme, self.kind) {
            (Scheme::Ecdsa, KeyKind::P256) => (Mechanism::Ecdsa, digest(Hash::Sha256, message)),
            (Scheme::Ecdsa, KeyKind::P384) => (Mechanism::Ecdsa, digest(Hash::Sha384, message)),
            (Scheme::RsaPss(hash), KeyKind::Rsa) => (Mechanism::RsaPss(hash), digest(hash, message)),
            (Scheme::RsaPkcs1(hash), KeyKind::Rsa) => (Mechanism::RsaPkcs1, digest_info(hash, message)),
            (scheme, kind) => return Err(failed(format!("found a key of {kind:?}, expected one for {scheme:?}"))),
        };
        let signed = match self.module.ask(&self.uri, &Work::Sign(mechanism, data)) {
            Ok(Answer::Signature(signature)) => match self.kind {
                KeyKind::P256 => der::ecdsa_signature(&signature, 32),
                KeyKind::P384 => der::ecdsa_signature(&signature, 48),
                KeyKind::Rsa => Some(signature),
            },
            Ok(_) => None,
            Err(reason) => return Err(failed(reason)),
        };
        signed.ok_or_else(|| failed("found a signature of another length than the key has".to_owned()))
    }
}

/// The reason that this program reaches no token.
const UNAVAILABLE: Option<&str> = if !cfg!(feature = "pkcs11") {
    Some("this program was built without the feature pkcs11, expected the name of a key file")
} else if cfg!(target_feature = "crt-static") {
    Some("this program is static and loads no modules, expected the name of a key file")
} else {
    None
};

/// Returns the file to watch for changes of a key: the key file, or the file with the PIN.
pub(crate) fn watched_file(key_file: &str) -> Option<PathBuf> {
    match KeyUri::is(key_file) {
        true => KeyUri::parse(key_file).ok()?.pin_file().map(Path::to_owned),
        false => Some(key_file.into()),
    }
}

/// Returns a warning if others may read the file of a key, or of the PIN that opens it.
pub(crate) fn key_permissions(key_file: &str) -> Option<String> {
    match KeyUri::is(key_file) {
        true => pem::secret_permissions(KeyUri::parse(key_file).ok()?.pin_file()?, "PIN"),
        false => pem::secret_permissions(Path::new(key_file), "private key"),
    }
}

fn digest(hash: Hash, message: &[u8]) -> Vec<u8> {
    match hash {
        Hash::Sha256 => Sha256::digest(message).to_vec(),
        Hash::Sha384 => Sha384::digest(message).to_vec(),
        Hash::Sha512 => Sha512::digest(message).to_vec(),
    }
}

/// Returns a DigestInfo (RFC 8017 section 9.2).
fn digest_info(hash: Hash, message: &[u8]) -> Vec<u8> {
    // The last arc of id-sha256, id-sha384, id-sha512 (RFC 8017 appendix B.1)
    let arc = match hash {
        Hash::Sha256 => 1,
        Hash::Sha384 => 2,
        Hash::Sha512 => 3,
    };
    let algorithm = [6, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 2, arc, 5, 0];
    value(0x30, &[value(0x30, &algorithm), value(0x04, &digest(hash, message))].concat())
}
