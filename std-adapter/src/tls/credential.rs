//! Holds a certificate chain with its private key, fixed or replaceable while in use.

use std::fmt;
#[cfg(feature = "cli")]
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwapOption;
use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, PrivateKeyDer, UnixTime};
#[cfg(feature = "cli")]
use rustls::ServerConfig;
use rustls::sign::CertifiedKey;

#[cfg(feature = "cli")]
use super::challenge::{ChallengeCertificate, Challenges};
use super::provider;
#[cfg(feature = "cli")]
use super::token_key;
use crate::pem::{self, PemError};
#[cfg(feature = "cli")]
use crate::token::{TokenError, TokenKey};

/// The start of a key's name that is a URI and no file's name (RFC 7512).
const TOKEN: &str = "pkcs11:";

/// A certificate chain to show to peers, leaf first, with the leaf's private key. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Credential(Kind);

#[derive(Clone, Debug)]
enum Kind {
    Fixed(Arc<Pair>),
    Live(LiveCredential),
}

/// A chain with its key, as rustls takes them.
#[derive(Debug)]
struct Pair {
    certified: Arc<CertifiedKey>,
    /// The key's place, if it is in a token.
    #[cfg(feature = "cli")]
    token: Option<TokenKey>,
}

impl Pair {
    fn new(certified: CertifiedKey) -> Arc<Self> {
        Arc::new(Self {
            certified: Arc::new(certified),
            #[cfg(feature = "cli")]
            token: None,
        })
    }
}

/// A credential that is empty at first and can be replaced while in use, for handshakes that begin afterwards.
#[derive(Clone, Debug, Default)]
pub struct LiveCredential(Arc<Live>);

#[derive(Debug, Default)]
struct Live {
    current: ArcSwapOption<Pair>,
    generation: AtomicU64,
    #[cfg(feature = "cli")]
    challenges: Arc<Challenges>,
}

/// The reason a credential cannot be loaded.
#[derive(Debug)]
pub enum CredentialError {
    /// A file is unreadable or malformed.
    Pem(PemError),
    /// The key is in a token and cannot be used; the text names both.
    Token {
        /// The certificate's file.
        cert_file: PathBuf,
        /// The token's error.
        reason: String,
    },
    /// The provider cannot sign with the key, or the key does not match the certificate.
    Key {
        /// The certificate's file.
        cert_file: PathBuf,
        /// The key's file.
        key_file: PathBuf,
        /// The error of rustls.
        error: rustls::Error,
    },
}

impl fmt::Display for CredentialError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pem(error) => error.fmt(f),
            Self::Token { cert_file, reason } => write!(f, "the key of {}: {reason}", cert_file.display()),
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

impl std::error::Error for CredentialError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Pem(error) => Some(error),
            Self::Token { .. } => None,
            Self::Key { error, .. } => Some(error),
        }
    }
}

impl Credential {
    /// Reads a chain and its key, which must match. In the `edgetrust` program the key's file may be the URI of a key in
    /// a token (RFC 7512).
    ///
    /// # Errors
    /// Returns the file and its fault.
    pub fn load(cert_file: &Path, key_file: &Path) -> Result<Self, CredentialError> {
        let chain = pem::read_certificates(cert_file).map_err(CredentialError::Pem)?;
        let uri =
            key_file.to_str().filter(|name| name.get(..TOKEN.len()).is_some_and(|it| it.eq_ignore_ascii_case(TOKEN)));
        if let Some(uri) = uri {
            let failed = |reason| CredentialError::Token { cert_file: cert_file.to_owned(), reason };
            #[cfg(feature = "cli")]
            return TokenKey::find(uri)
                .and_then(|key| Self::in_token(chain, key))
                .map_err(|error| failed(error.to_string()));
            #[cfg(not(feature = "cli"))]
            return Err(failed(format!("found {uri}, expected a file: the library has no keys in tokens")));
        }
        let key = pem::read_private_key(key_file).map_err(CredentialError::Pem)?;
        Self::new(chain, key).map_err(|error| CredentialError::Key {
            cert_file: cert_file.to_owned(),
            key_file: key_file.to_owned(),
            error: error.0,
        })
    }

    /// Creates a credential from a chain, leaf first, and its key, which must match.
    ///
    /// # Errors
    /// Fails if the provider cannot sign with the key, or the key is another certificate's.
    pub fn new(chain: Vec<CertificateDer<'static>>, key: PrivateKeyDer<'static>) -> Result<Self, KeyError> {
        let key = CertifiedKey::from_der(chain, key, &provider()).map_err(KeyError)?;
        key.keys_match().map_err(KeyError)?;
        Ok(Self(Kind::Fixed(Pair::new(key))))
    }

    /// Creates a credential whose key is in a token. The key signs once, to show that it is the chain's.
    ///
    /// # Errors
    /// Fails if the key does not sign, or is another certificate's.
    #[cfg(feature = "cli")]
    pub(crate) fn in_token(chain: Vec<CertificateDer<'static>>, key: TokenKey) -> Result<Self, TokenError> {
        let certified = Arc::new(token_key::certify(chain, key.clone())?);
        Ok(Self(Kind::Fixed(Arc::new(Pair { certified, token: Some(key) }))))
    }

    /// Creates a credential that only a validation sees. The certificate has a critical extension that rustls does not
    /// know (RFC 8737 section 3), so rustls cannot check whether the key matches.
    ///
    /// # Errors
    /// Fails if the provider cannot sign with the key.
    #[cfg(feature = "cli")]
    pub(crate) fn for_validation(
        certificate: CertificateDer<'static>,
        key: PrivateKeyDer<'static>,
    ) -> Result<Self, KeyError> {
        let key = provider().key_provider.load_private_key(key).map_err(KeyError)?;
        Ok(Self(Kind::Fixed(Pair::new(CertifiedKey::new(vec![certificate], key)))))
    }

    /// Returns the chain and key shown now; `None` if no certificate was obtained yet.
    pub(super) fn current(&self) -> Option<Arc<CertifiedKey>> {
        self.pair().map(|pair| pair.certified.clone())
    }

    fn pair(&self) -> Option<Arc<Pair>> {
        match &self.0 {
            Kind::Fixed(pair) => Some(pair.clone()),
            Kind::Live(live) => live.0.current.load_full(),
        }
    }

    /// Returns the token with the key that is shown now; `None` if the key is in memory.
    #[cfg(feature = "cli")]
    pub(crate) fn token(&self) -> Option<TokenKey> {
        self.pair()?.token.clone()
    }

    /// Returns the turns of handshakes that wait for the key's token; `None` if the key is in memory.
    #[cfg(feature = "cli")]
    pub(super) fn turns(&self) -> Option<Arc<tokio::sync::Semaphore>> {
        self.pair()?.token.as_ref().map(|token| token.turns().clone())
    }

    /// Returns whether both show the same certificate, now and after each replacement.
    #[cfg(feature = "cli")]
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (&self.0, &other.0) {
            (Kind::Fixed(one), Kind::Fixed(other)) => one.certified.cert == other.certified.cert,
            (Kind::Live(one), Kind::Live(other)) => Arc::ptr_eq(&one.0, &other.0),
            (Kind::Fixed(_), Kind::Live(_)) | (Kind::Live(_), Kind::Fixed(_)) => false,
        }
    }

    /// Returns a number that grows with each replacement.
    pub(super) fn generation(&self) -> u64 {
        match &self.0 {
            Kind::Fixed(_) => 0,
            Kind::Live(live) => live.0.generation.load(Ordering::Acquire),
        }
    }

    /// Returns the pending validations of the credential's names (RFC 8737).
    #[cfg(feature = "cli")]
    fn challenges(&self) -> Option<&Challenges> {
        match &self.0 {
            Kind::Fixed(_) => None,
            Kind::Live(live) => Some(&live.0.challenges),
        }
    }

    /// Returns whether a validation may come now.
    #[cfg(feature = "cli")]
    pub(super) fn is_challenged(&self) -> bool {
        self.challenges().is_some_and(|challenges| !challenges.is_empty())
    }

    /// Returns the configuration that answers the validation of a name; no client certificate is requested.
    #[cfg(feature = "cli")]
    pub(super) fn challenge_config(&self, name: &str) -> Option<io::Result<Arc<ServerConfig>>> {
        self.challenges()?.config(name)
    }

    /// Returns the first and last second of the leaf's validity; `None` if no certificate was obtained yet.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        let current = self.current()?;
        let validity = Certificate::from_der(current.cert.first()?).ok()?.validity();
        Some((validity.not_before, validity.not_after))
    }

    /// Returns the chain in DER, leaf first; empty if no certificate was obtained yet.
    pub fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.current().map(|current| current.cert.clone()).unwrap_or_default()
    }
}

impl LiveCredential {
    /// Creates an empty credential.
    pub fn new() -> Self {
        Self::default()
    }

    /// Returns a credential that follows this one's replacements, for settings of servers and clients.
    pub fn credential(&self) -> Credential {
        Credential(Kind::Live(self.clone()))
    }

    /// Replaces the credential for handshakes that begin afterwards.
    pub fn replace(&self, credential: &Credential) {
        self.0.current.store(credential.pair());
        self.0.generation.fetch_add(1, Ordering::Release);
    }

    /// Answers validations of `name` with this certificate until the returned value is dropped (RFC 8737 section 3).
    #[cfg(feature = "cli")]
    pub(crate) fn answer(&self, name: &str, certificate: &Credential) -> ChallengeCertificate {
        self.0.challenges.answer(name, certificate.current())
    }
}

/// The reason a key cannot be used.
#[derive(Clone, Debug, PartialEq)]
pub struct KeyError(rustls::Error);

impl fmt::Display for KeyError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            rustls::Error::InconsistentKeys(_) => f.write_str("the private key does not match the certificate"),
            error => write!(f, "unusable private key: {error}"),
        }
    }
}

impl std::error::Error for KeyError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}
