//! Orders certificates for devices that cannot order for themselves and whose requests have been approved.

use std::sync::Arc;

use edgetrust_core::rotation::FailureKind;
use edgetrust_core::x509::Certificate;
use pki_types::CertificateDer;
use tokio::sync::Mutex;

use super::account;
use super::error::{AcmeError, Remedy};
use super::http::{Http, HttpError, LastAnswers};
use super::http01::Responders;
use super::order::Context;
use super::rounds::Rounds;
use super::settings::Settings;
use super::step_ca;
use super::verify::verify;
use crate::clock;
use crate::store::Held;
use crate::tls::LiveCredential;

/// Orders certificates for other parties' keys, several at a time. Orders are not stored; the key's owner asks again.
#[derive(Debug)]
pub struct DeviceIssuer {
    settings: Settings,
    held: Arc<dyn Held>,
    responders: Responders,
    /// Locked while the account is restored or created, so that two orders do not create two accounts.
    account: Mutex<()>,
}

impl DeviceIssuer {
    /// Creates an issuer with the account that `held` keeps; the names of `settings` do not count.
    ///
    /// # Errors
    /// Fails if the directory's roots cannot be used.
    pub fn new(settings: Settings, held: Arc<dyn Held>, responders: Responders) -> Result<Self, HttpError> {
        Http::new(&settings, LastAnswers::default())?;
        Ok(Self { settings, held, responders, account: Mutex::new(()) })
    }

    /// Returns the settings that the issuer was created with.
    pub fn settings(&self) -> &Settings {
        &self.settings
    }

    /// Returns what keeps the account.
    pub fn held(&self) -> &Arc<dyn Held> {
        &self.held
    }

    /// Orders a certificate for these names with an approved PKCS #10 request; returns the verified chain, leaf first,
    /// without the root. `asked` becomes true before the CA is asked to issue.
    ///
    /// # Errors
    /// Returns why there is no certificate, and when another attempt is worthwhile.
    pub async fn issue(
        &self,
        names: Vec<String>,
        request: &[u8],
        public_key_info: &[u8],
        asked: &mut bool,
    ) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
        let settings = Settings { domains: names, ..self.settings.clone() };
        let mut rounds = Rounds::default();
        let mut url = None;
        loop {
            let error = match self.attempt(&settings, request, &mut url, asked).await {
                Ok(chain) => return self.checked(&settings, chain, public_key_info),
                Err(error) => error,
            };
            if error.remedy == Remedy::NewAccount {
                log!(warn, settings.which(), "the CA does not know the account any more: {error}");
                let _one = self.account.lock().await;
                account::forget(&*self.held, &settings).await?;
                url = None;
            }
            rounds.another(&settings, error).await?;
        }
    }

    /// Returns the intermediates of a CA that publishes them, as step-ca does.
    ///
    /// # Errors
    /// Returns why there are no intermediates.
    pub async fn intermediates(&self) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
        step_ca::intermediates(&self.settings).await
    }

    async fn attempt(
        &self,
        settings: &Settings,
        request: &[u8],
        url: &mut Option<String>,
        asked: &mut bool,
    ) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
        // The last answer is read after a request, so each order has its own.
        let last = LastAnswers::default();
        let http = Http::new(settings, last.clone());
        let http = http.map_err(|error| AcmeError::new("the directory", FailureKind::Refused, error))?;
        let account = {
            let _one = self.account.lock().await;
            account::account(settings, &*self.held, &http, &last).await?
        };
        let context = Context {
            settings,
            account: &account,
            last: &last,
            responders: &self.responders,
            credential: &LiveCredential::new(),
            replaces: None,
        };
        context.carry_out_for(request, url, asked).await
    }

    /// Verifies that peers accept the chain and that its key is the request's; returns the part of the chain to send.
    fn checked(
        &self,
        settings: &Settings,
        mut chain: Vec<CertificateDer<'static>>,
        public_key_info: &[u8],
    ) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
        let refused = |reason: String| AcmeError::new("the new certificate", FailureKind::Refused, reason);
        verify(settings, &chain, clock::now()).map_err(|error| refused(error.to_string()))?;
        let leaf = chain.first().and_then(|leaf| Certificate::from_der(leaf).ok());
        let leaf = leaf.ok_or_else(|| refused("it does not parse".to_owned()))?;
        if leaf.subject_public_key_info().der != public_key_info {
            return Err(refused("it is for another key than the request's".to_owned()));
        }
        let names = leaf.extensions().subject_alt_name.into_iter().flatten().count();
        if names != settings.domains.len() {
            let asked = settings.domains.len();
            return Err(refused(format!("it has {names} names, expected the {asked} that were asked for")));
        }
        chain.retain(|one| !Certificate::from_der(one).is_ok_and(|one| one.is_self_issued()));
        Ok(chain)
    }
}
