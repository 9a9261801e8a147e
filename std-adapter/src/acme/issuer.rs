//! Obtains one certificate after the other from one directory.

use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::config::RenewVia;
use edgetrust_core::rotation::FailureKind;
use edgetrust_core::x509::Certificate;
use instant_acme::{Account, CertificateIdentifier, RevocationReason, RevocationRequest};
use pki_types::{CertificateDer, UnixTime};

use super::error::{AcmeError, Remedy};
use super::http::{Http, HttpError, LastAnswers};
use super::http01::Responders;
use super::issued::credential;
use super::order::Context;
use super::rounds::Rounds;
use super::settings::Settings;
use super::verify::verify;
use super::{account, order, step_ca};
use crate::clock;
use crate::store::{Held, Record};
use crate::tls::LiveCredential;

/// The time in which a CA suggests a renewal (RFC 9773 section 4.2), and the interval until the next query.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RenewalWindow {
    /// The start of the window.
    pub start: UnixTime,
    /// The end of the window.
    pub end: UnixTime,
    /// The time to wait before the next query.
    pub ask_again: Duration,
}

/// Obtains certificates from one directory.
pub struct AcmeIssuer {
    settings: Settings,
    held: Arc<dyn Held>,
    responders: Responders,
    credential: LiveCredential,
    http: Http,
    last: LastAnswers,
    account: Option<Account>,
    /// The identifier of the certificate in use, if the CA has renewal information.
    replaces: Option<CertificateIdentifier<'static>>,
}

impl std::fmt::Debug for AcmeIssuer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("AcmeIssuer").field("settings", &self.settings).finish_non_exhaustive()
    }
}

impl AcmeIssuer {
    /// Creates an issuer, which sends no request yet. The servers that present `credential` answer tls-alpn-01.
    ///
    /// # Errors
    /// Fails if the directory's roots cannot be used.
    pub fn new(
        settings: Settings,
        held: Arc<dyn Held>,
        responders: Responders,
        credential: LiveCredential,
    ) -> Result<Self, HttpError> {
        let last = LastAnswers::default();
        let http = Http::new(&settings, last.clone())?;
        Ok(Self { settings, held, responders, credential, http, last, account: None, replaces: None })
    }

    /// Returns the account, restored or newly created.
    ///
    /// # Errors
    /// Returns why there is no account.
    pub async fn account(&mut self) -> Result<&mut Account, AcmeError> {
        if self.account.is_none() {
            self.account = Some(account::account(&self.settings, &*self.held, &self.http, &self.last).await?);
        }
        self.account.as_mut().ok_or_else(|| AcmeError::new("the account", FailureKind::Transient, "there is none"))
    }

    /// Obtains a certificate by the pending order, or else by a new one. [`forget_order`] ends the order.
    ///
    /// # Errors
    /// Returns why there is no certificate, and when another attempt is worthwhile.
    pub async fn issue(&mut self) -> Result<Record, AcmeError> {
        self.read_account_anew();
        let mut rounds = Rounds::default();
        loop {
            let error = match self.attempt().await {
                Ok(record) => return Ok(record),
                Err(error) => error,
            };
            match error.remedy {
                Remedy::NewOrder => order::forget(&*self.held).await?,
                Remedy::NewAccount => {
                    log!(warn, self.settings.which(), "the CA does not know the account any more: {error}");
                    order::forget(&*self.held).await?;
                    account::forget(&*self.held, &self.settings).await?;
                    self.account = None;
                }
                Remedy::AnotherNonce | Remedy::Again | Remedy::None => {}
            }
            rounds.another(&self.settings, error).await?;
        }
    }

    /// Forgets an account that another gateway may have changed.
    fn read_account_anew(&mut self) {
        if self.settings.storage.is_some() {
            self.account = None;
        }
    }

    async fn attempt(&mut self) -> Result<Record, AcmeError> {
        self.account().await?;
        let account = self.account.as_ref();
        let account = account.ok_or_else(|| AcmeError::new("the account", FailureKind::Transient, "there is none"))?;
        let context = Context {
            settings: &self.settings,
            account,
            last: &self.last,
            responders: &self.responders,
            credential: &self.credential,
            replaces: self.replaces.as_ref(),
        };
        let (key, chain) = context.carry_out(&*self.held).await?;
        self.checked(key, chain)
    }

    /// Obtains a certificate for the key and names of a valid one, if renewal is configured so and step-ca permits it;
    /// otherwise with a new order.
    ///
    /// # Errors
    /// Returns why there is no certificate, and when another attempt is worthwhile.
    pub async fn renew(&mut self, current: &Record) -> Result<Record, AcmeError> {
        // With another key than the configured one only an order helps.
        if self.settings.renew_via == RenewVia::StepCa && self.settings.has_key(&current.key) {
            let renewed = step_ca::renew(&self.settings, current).await;
            match renewed.and_then(|chain| self.checked(current.key.clone(), chain)) {
                Ok(record) => return Ok(record),
                Err(error) => {
                    log!(
                        warn,
                        self.settings.which(),
                        "step-ca does not renew the certificate, so it is ordered: {error}"
                    );
                }
            }
        }
        self.issue().await
    }

    /// Verifies the chain and checks that the key fits.
    fn checked(&self, key: Vec<u8>, chain: Vec<CertificateDer<'static>>) -> Result<Record, AcmeError> {
        // Whatever the fault, another order may yield a better certificate.
        let refused = |reason: String| {
            AcmeError::new("the new certificate", FailureKind::Refused, reason).remedy(Remedy::NewOrder)
        };
        verify(&self.settings, &chain, clock::now()).map_err(|error| refused(error.to_string()))?;
        let leaf = chain.first().and_then(|leaf| Certificate::from_der(leaf).ok());
        let validity = leaf.ok_or_else(|| refused("it does not parse".to_owned()))?.validity();
        let record = Record { key, chain, not_before: validity.not_before, not_after: validity.not_after };
        credential(&record).map_err(|error| refused(error.to_string()))?;
        Ok(record)
    }

    /// Returns the window in which the CA suggests renewing this certificate, or `None` if the CA suggests none.
    ///
    /// # Errors
    /// Returns why the CA cannot be asked.
    pub async fn renewal_window(&mut self, leaf: &CertificateDer<'_>) -> Result<Option<RenewalWindow>, AcmeError> {
        let Some(identifier) = certificate_identifier(leaf) else { return Ok(None) };
        self.read_account_anew();
        let last = self.last.clone();
        let (info, ask_again) = match self.account().await?.renewal_info(&identifier).await {
            Ok(found) => found,
            Err(instant_acme::Error::Unsupported(_)) => return Ok(None),
            Err(error) => return Err(AcmeError::of("renewal information", &error, last.get())),
        };
        let time = |at: time::OffsetDateTime| {
            let seconds = u64::try_from(at.unix_timestamp()).unwrap_or(0);
            UnixTime::since_unix_epoch(Duration::from_secs(seconds))
        };
        // RFC 9773 section 5
        self.replaces = Some(identifier);
        let window = info.suggested_window;
        Ok(Some(RenewalWindow { start: time(window.start), end: time(window.end), ask_again }))
    }

    /// Revokes a certificate (RFC 8555 section 7.6).
    ///
    /// # Errors
    /// Returns why the certificate is not revoked.
    pub async fn revoke(&mut self, leaf: &CertificateDer<'_>, key_compromise: bool) -> Result<(), AcmeError> {
        let reason = if key_compromise { RevocationReason::KeyCompromise } else { RevocationReason::Superseded };
        let last = self.last.clone();
        let account = self.account().await?;
        let revoked = account.revoke(&RevocationRequest { certificate: leaf, reason: Some(reason) }).await;
        revoked.map_err(|error| AcmeError::of("the revocation", &error, last.get()))
    }

    /// Replaces the account's key (RFC 8555 section 7.3.5).
    ///
    /// # Errors
    /// Returns why the key is not replaced.
    pub async fn roll_account_key(&mut self) -> Result<(), AcmeError> {
        self.account().await?;
        let Some(account) = self.account.as_mut() else { return Ok(()) };
        account::rollover(account, &*self.held, &self.settings, &self.last).await
    }
}

/// Removes the order whose certificate is stored.
///
/// # Errors
/// Fails if the order cannot be removed.
pub async fn forget_order(held: &dyn Held) -> Result<(), AcmeError> {
    order::forget(held).await
}

/// Removes, after a start, an order that a crash left although its certificate is stored.
///
/// # Errors
/// Fails if the order cannot be read or removed.
pub async fn forget_done_order(held: &dyn Held, kept_key: &[u8]) -> Result<(), AcmeError> {
    order::forget_done(held, kept_key).await
}

/// Returns the identifier of RFC 9773 section 4.1, or `None` if the certificate has no authority key identifier.
fn certificate_identifier(leaf: &CertificateDer<'_>) -> Option<CertificateIdentifier<'static>> {
    let certificate = Certificate::from_der(leaf).ok()?;
    let authority = certificate.extensions().authority_key_identifier.and_then(|found| found.key_identifier)?;
    let identifier = CertificateIdentifier::new(authority.into(), certificate.serial().into());
    Some(identifier.into_owned())
}
