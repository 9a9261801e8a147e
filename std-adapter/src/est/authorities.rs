//! Collects the CAs of a location for `cacerts`: the roots, and the intermediates that a path from a device's
//! certificate to a root needs (RFC 7030 section 4.1.3).

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgetrust_core::store::certificates;
use edgetrust_core::x509::Certificate;
use pki_types::CertificateDer;
use tokio::time::{Instant, timeout};
use tracing::{debug, warn};

use crate::acme::DeviceIssuer;
use crate::clock;
use crate::store::{Entry, Held};
use crate::tls::{Credential, provider};

/// The number of learned certificates that are kept; the oldest go first.
const MAX_LEARNED: usize = 8;
/// The intervals at which the CA is asked for its intermediates, after an answer and after a failure.
const AGAIN: Duration = Duration::from_secs(3600);
const AFTER_FAILURE: Duration = Duration::from_secs(60);
/// The time limit of a query.
const PATIENCE: Duration = Duration::from_secs(5);

/// The CAs that are sent to devices.
pub(super) struct Authorities {
    /// The anchors that the configuration names.
    configured: Vec<CertificateDer<'static>>,
    /// The certificates that the configuration pins, which are not sent.
    pinned: Vec<CertificateDer<'static>>,
    /// The intermediates that the configuration names.
    known: Vec<CertificateDer<'static>>,
    /// The roots that issued certificates must lead to. If they are the system's, only those in use are sent.
    roots: Vec<CertificateDer<'static>>,
    /// The server's credential, whose chain may have come from the same CA.
    credential: Credential,
    held: Arc<dyn Held>,
    learned: Mutex<Vec<CertificateDer<'static>>>,
    /// Held while the learned certificates change and are written: an older list never replaces a newer one.
    writing: tokio::sync::Mutex<()>,
    /// The time of the next query.
    next: tokio::sync::Mutex<Instant>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Authorities {
    pub(super) async fn new(
        configured: Vec<CertificateDer<'static>>,
        pinned: Vec<CertificateDer<'static>>,
        known: Vec<CertificateDer<'static>>,
        credential: Credential,
        issuer: &DeviceIssuer,
    ) -> Self {
        let held = issuer.held().clone();
        let kept = held.look(Entry::Authorities).await.unwrap_or_else(|error| {
            warn!("est: the intermediates that were kept cannot be read: {error}");
            None
        });
        let learned = certificates(&kept.unwrap_or_default()).map(|der| der.to_vec().into()).collect();
        Self {
            configured,
            pinned,
            known,
            roots: issuer.settings().anchors.clone(),
            credential,
            held,
            learned: Mutex::new(learned),
            writing: tokio::sync::Mutex::new(()),
            next: tokio::sync::Mutex::new(Instant::now()),
        }
    }

    /// Adds the chain of an issued certificate, or the intermediates that the CA publishes.
    pub(super) async fn learn(&self, above: &[CertificateDer<'static>]) {
        let _writing = self.writing.lock().await;
        let kept = {
            let mut learned = lock(&self.learned);
            let before = learned.len();
            for certificate in above {
                if !learned.contains(certificate) && !self.configured.contains(certificate) {
                    learned.push(certificate.clone());
                }
            }
            if learned.len() == before {
                return;
            }
            let too_many = learned.len().saturating_sub(MAX_LEARNED);
            learned.drain(..too_many);
            // In DER, one after the other.
            learned.iter().flat_map(|der| der.to_vec()).collect::<Vec<u8>>()
        };
        // A certificate that cannot be written is learned again with the next issued one.
        if let Err(error) = self.held.keep(Entry::Authorities, &kept).await {
            warn!("est: the CA's intermediates cannot be kept: {error}");
        }
    }

    /// Asks the CA for its intermediates if a query is due; before the first order, no other source may have them.
    pub(super) async fn ask(&self, issuer: &DeviceIssuer) {
        let mut next = self.next.lock().await;
        if *next > Instant::now() {
            return;
        }
        let wait = match timeout(PATIENCE, issuer.intermediates()).await {
            Ok(Ok(found)) => {
                self.learn(&found).await;
                AGAIN
            }
            Ok(Err(error)) => {
                debug!("est: the CA does not tell its intermediates: {error}");
                AFTER_FAILURE
            }
            Err(_) => AFTER_FAILURE,
        };
        *next = Instant::now().checked_add(wait).unwrap_or(*next);
    }

    /// Returns the anchors, and the currently valid CAs whose signatures lead to one of them.
    pub(super) fn all(&self) -> Vec<CertificateDer<'static>> {
        let own = self.credential.chain();
        let learned = lock(&self.learned).clone();
        let mut all: Vec<_> = self.configured.iter().filter(|der| self.is_told(der)).cloned().collect();
        for certificate in &learned {
            let mut roots = self.roots.iter().filter(|root| !self.pinned.contains(root));
            let root = roots.find(|root| !all.contains(root) && is_signed_by(certificate, root));
            all.extend(root.cloned());
        }
        let mut candidates: Vec<_> =
            learned.iter().chain(&self.known).chain(own.get(1..).unwrap_or_default()).collect();
        candidates.retain(|der| self.is_told(der));
        loop {
            let before = all.len();
            for certificate in &candidates {
                if !all.contains(certificate) && all.iter().any(|issuer| is_signed_by(certificate, issuer)) {
                    all.push((*certificate).clone());
                }
            }
            if all.len() == before {
                return all;
            }
        }
    }

    /// Returns whether a certificate is a CA that has not expired and is not pinned for its own holder.
    fn is_told(&self, der: &CertificateDer<'static>) -> bool {
        is_authority(der) && !self.pinned.contains(der)
    }
}

/// Returns whether a certificate is a CA that has not expired.
fn is_authority(der: &CertificateDer<'_>) -> bool {
    Certificate::from_der(der).is_ok_and(|certificate| {
        certificate.extensions().basic_constraints.is_some_and(|constraints| constraints.ca)
            && certificate.validity().not_after >= clock::now()
    })
}

fn is_signed_by(der: &CertificateDer<'_>, issuer: &CertificateDer<'_>) -> bool {
    let (Ok(certificate), Ok(issuer)) = (Certificate::from_der(der), Certificate::from_der(issuer)) else {
        return false;
    };
    let key = issuer.subject_public_key_info();
    certificate.issuer().matches(&issuer.subject())
        && provider().signature_verification_algorithms.all.iter().any(|algorithm| {
            algorithm.signature_alg_id().as_ref() == certificate.signature_algorithm()
                && algorithm.public_key_alg_id().as_ref() == key.algorithm
                && algorithm.verify_signature(key.public_key, certificate.tbs(), certificate.signature()).is_ok()
        })
}
