//! Answers tls-alpn-01 (RFC 8737): a handshake with a certificate that is for a CA's validation only.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustls::ServerConfig;
use rustls::server::ResolvesServerCert;
use rustls::sign::CertifiedKey;

/// The ALPN protocol of a validation (RFC 8737 section 6.2).
pub(super) const ALPN: &[u8] = b"acme-tls/1";

/// The certificates for pending validations, by the name to validate.
#[derive(Default)]
pub(super) struct Challenges {
    pending: Mutex<HashMap<String, Arc<CertifiedKey>>>,
    count: AtomicUsize,
}

impl fmt::Debug for Challenges {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} challenges", self.count.load(Ordering::Relaxed))
    }
}

/// A guard: a validation is answered until the guard is dropped.
#[derive(Debug)]
pub(crate) struct ChallengeCertificate {
    challenges: Arc<Challenges>,
    name: String,
}

impl Drop for ChallengeCertificate {
    fn drop(&mut self) {
        self.challenges.forget(&self.name);
    }
}

impl Challenges {
    fn pending(&self) -> MutexGuard<'_, HashMap<String, Arc<CertifiedKey>>> {
        self.pending.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn answer(self: &Arc<Self>, name: &str, certificate: Option<Arc<CertifiedKey>>) -> ChallengeCertificate {
        let name = name.to_ascii_lowercase();
        let mut pending = self.pending();
        if let Some(certificate) = certificate {
            pending.insert(name.clone(), certificate);
        }
        self.count.store(pending.len(), Ordering::Release);
        ChallengeCertificate { challenges: self.clone(), name }
    }

    fn forget(&self, name: &str) {
        let mut pending = self.pending();
        pending.remove(name);
        self.count.store(pending.len(), Ordering::Release);
    }

    /// Returns whether no validation is pending. Called before each handshake, so without a lock.
    pub(super) fn is_empty(&self) -> bool {
        self.count.load(Ordering::Acquire) == 0
    }

    fn find(&self, name: &str) -> Option<Arc<CertifiedKey>> {
        self.pending().get(&name.to_ascii_lowercase()).cloned()
    }

    /// Returns the configuration that answers the validation of a name; no client certificate is requested.
    #[cfg(feature = "tokio")]
    pub(super) fn config(&self, name: &str) -> Option<io::Result<Arc<ServerConfig>>> {
        let certificate = self.find(name)?;
        // RFC 8737 section 3: TLS 1.2 or higher
        let config = ServerConfig::builder_with_provider(super::provider())
            .with_safe_default_protocol_versions()
            .map_err(io::Error::other)
            .map(|builder| {
                let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(Only(certificate)));
                config.alpn_protocols = vec![ALPN.to_vec()];
                Arc::new(config)
            });
        Some(config)
    }
}

#[cfg(feature = "tokio")]
#[derive(Debug)]
struct Only(Arc<CertifiedKey>);

#[cfg(feature = "tokio")]
impl ResolvesServerCert for Only {
    fn resolve(&self, _: rustls::server::ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(self.0.clone())
    }
}
