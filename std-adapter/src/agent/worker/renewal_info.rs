//! Asks the CA when it suggests a renewal (RFC 9773).

use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::time::Utc;
use pki_types::{CertificateDer, UnixTime};
use tokio::sync::Mutex;

use super::under_way::UnderWay;
use crate::acme::{AcmeError, AcmeIssuer, RenewalWindow};
use crate::agent::status::CredentialStatus;
use crate::clock;

/// The bounds of the interval at which a CA is asked for renewal information (RFC 9773 section 4.3.1).
const ASK_AGAIN_AT_LEAST: Duration = Duration::from_secs(60);
const ASK_AGAIN_AT_MOST: Duration = Duration::from_secs(24 * 3600);
/// The interval after a failed query.
const ASK_AFTER_FAILURE: Duration = Duration::from_secs(3600);

/// The queries for the renewal information of the certificate in use.
pub(super) struct RenewalInfo {
    asking: UnderWay<Option<RenewalWindow>>,
    /// The time of the next query; `None` if the CA has no such information.
    ask_at: Option<UnixTime>,
}

impl RenewalInfo {
    pub(super) fn new() -> Self {
        Self { asking: UnderWay::none(), ask_at: Some(clock::now()) }
    }

    /// Makes a query due: the certificate or the CA has changed.
    pub(super) fn ask_anew(&mut self) {
        self.ask_at = Some(clock::now());
    }

    /// Returns whether a query is due and none is under way.
    pub(super) fn is_due(&self) -> bool {
        self.asking.is_none() && self.ask_at.is_some_and(|at| clock::now() >= at)
    }

    /// Begins a query about this certificate.
    pub(super) fn ask(&mut self, issuer: Arc<Mutex<AcmeIssuer>>, leaf: CertificateDer<'static>) {
        self.asking.begin(async move { issuer.lock().await.renewal_window(&leaf).await });
    }

    /// Waits for the answer to the query under way, or forever if there is none.
    pub(super) async fn answer(&mut self) -> Result<Option<RenewalWindow>, AcmeError> {
        self.asking.answer().await
    }

    /// Takes an answer; returns the start and the end of the suggested window.
    pub(super) fn take(
        &mut self,
        answer: Result<Option<RenewalWindow>, AcmeError>,
        status: &CredentialStatus,
    ) -> Option<(UnixTime, UnixTime)> {
        match answer {
            Ok(Some(RenewalWindow { start, end, ask_again })) => {
                log!(info, status, start = %Utc(start), end = %Utc(end), "the CA suggests a renewal");
                self.ask_at = later(ask_again.clamp(ASK_AGAIN_AT_LEAST, ASK_AGAIN_AT_MOST));
                Some((start, end))
            }
            Ok(None) => {
                self.ask_at = None;
                None
            }
            Err(error) => {
                log!(warn, status, "{error}");
                self.ask_at = later(ASK_AFTER_FAILURE);
                None
            }
        }
    }
}

fn later(wait: Duration) -> Option<UnixTime> {
    let seconds = clock::now().as_secs().saturating_add(wait.as_secs());
    Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
}
