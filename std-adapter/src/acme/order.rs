//! Carries out an order (RFC 8555 section 7.4), stored with its key before finalization, so that no crash loses it.

use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::rotation::FailureKind;
use instant_acme::{
    Account, AuthorizationStatus, CertificateIdentifier, ChallengeStatus, Identifier, NewOrder, Order, OrderStatus,
    Problem,
};
use pki_types::CertificateDer;
use serde::{Deserialize, Serialize};
use tokio::time::{Instant, sleep};

use super::challenge::{self, Answer};
use super::error::{AcmeError, JsonFault, Remedy, Shown};
use super::http::LastAnswers;
use super::http01::Responders;
use super::key;
use super::settings::Settings;
use crate::pem;
use crate::store::{Entry, Held};
use crate::tls::LiveCredential;

const FILE: &str = Entry::Order.name();

/// The longest time that a CA may take to validate, and to issue.
const VALIDATION: Duration = Duration::from_secs(180);

/// The first and the longest interval between two polls of a CA that sends no Retry-After.
const FIRST_LOOK: Duration = Duration::from_millis(100);
const LONGEST_LOOK: Duration = Duration::from_secs(5);

/// The number of times that a challenge is reported as ready to a CA that does not take it up.
const READY_ATTEMPTS: u32 = 4;

/// A pending order.
#[derive(Clone, Deserialize, Serialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Pending {
    directory_url: String,
    domains: Vec<String>,
    /// The order's URL; `None` until the CA has answered.
    url: Option<String>,
    /// The certificate's key, PKCS #8, base64; or the URI of a key in a token, in base64 too.
    key: String,
}

impl Pending {
    pub(super) fn key(&self) -> Result<Vec<u8>, AcmeError> {
        // The decoder's error message holds an octet of the key.
        BASE64_STANDARD.decode(&self.key).map_err(|_| storage(format!("{FILE}: key: expected base64")))
    }

    async fn write(&self, held: &dyn Held) -> Result<(), AcmeError> {
        held.keep(Entry::Order, &serde_json::to_vec_pretty(self).map_err(storage)?).await.map_err(storage)
    }

    /// Loads the order that a crash left, if for the same directory and names; else stores a new key before requests.
    async fn load(held: &dyn Held, settings: &Settings) -> Result<Self, AcmeError> {
        if let Some(json) = held.look(Entry::Order).await.map_err(storage)? {
            match serde_json::from_slice::<Self>(&json) {
                Ok(pending)
                    if settings.is_for(&pending.directory_url, &pending.domains)
                        && settings.has_key(&pending.key()?) =>
                {
                    return Ok(pending);
                }
                Ok(_) => log!(
                    info,
                    settings.which(),
                    "the order that was begun is for other names or another key: it is dropped"
                ),
                // The order is written as a whole, so a malformed one is not ours: a new order costs nothing.
                Err(error) => {
                    let fault = JsonFault(&error);
                    log!(info, settings.which(), "the order that was begun is dropped: {FILE} cannot be read: {fault}");
                }
            }
        }
        let key = match &settings.key {
            Some(uri) => uri.as_bytes().to_vec(),
            None => key::generate(settings.key_type)
                .map_err(|error| AcmeError::new("the certificate's key", FailureKind::Refused, error))?,
        };
        let pending = Self {
            directory_url: settings.directory_url.clone(),
            domains: settings.domains.clone(),
            url: None,
            key: BASE64_STANDARD.encode(key),
        };
        pending.write(held).await?;
        Ok(pending)
    }
}

fn storage(reason: impl std::fmt::Display) -> AcmeError {
    AcmeError::new("the order's file", FailureKind::Transient, reason)
}

/// Removes an order whose certificate is stored, or that can no longer succeed.
pub(super) async fn forget(held: &dyn Held) -> Result<(), AcmeError> {
    held.forget(Entry::Order).await.map_err(storage)
}

/// Removes an order left by a crash after its certificate was stored, which would be fetched again as a renewal.
pub(super) async fn forget_done(held: &dyn Held, kept_key: &[u8]) -> Result<(), AcmeError> {
    let pending = held.look(Entry::Order).await.map_err(storage)?;
    let pending = pending.and_then(|json| serde_json::from_slice::<Pending>(&json).ok());
    // A key in a token is that of every order: one that is under way is made again.
    let done = pending.is_some_and(|pending| pending.key().is_ok_and(|key| key == kept_key));
    if done { forget(held).await } else { Ok(()) }
}

/// The parts that carrying out an order needs.
pub(super) struct Context<'a> {
    pub(super) settings: &'a Settings,
    pub(super) account: &'a Account,
    pub(super) last: &'a LastAnswers,
    pub(super) responders: &'a Responders,
    pub(super) credential: &'a LiveCredential,
    /// The certificate that the new one is to replace, for a CA with renewal information (RFC 9773 section 5).
    pub(super) replaces: Option<&'a CertificateIdentifier<'static>>,
}

impl Context<'_> {
    fn failed(&self, doing: &'static str) -> impl FnOnce(instant_acme::Error) -> AcmeError {
        let last = self.last.get();
        move |error| AcmeError::of(doing, &error, last)
    }

    /// Carries out the stored order, or a new one, for a key of our own; returns the key and the certificate's chain.
    pub(super) async fn carry_out(
        &self,
        held: &dyn Held,
    ) -> Result<(Vec<u8>, Vec<CertificateDer<'static>>), AcmeError> {
        let pending = Pending::load(held, self.settings).await?;
        let key = pending.key()?;
        // Before the CA hears of an order: a token may be away.
        let request = key::request(&key, &self.settings.domains)
            .map_err(|error| AcmeError::new("the request", FailureKind::Transient, error))?;
        let order = match &pending.url {
            Some(url) => self.resume(url).await?,
            None => {
                let order = self.new_order().await?;
                Pending { url: Some(order.url().to_owned()), ..pending.clone() }.write(held).await?;
                order
            }
        };
        Ok((key, self.complete(order, &request, Some(held), &mut false).await?))
    }

    /// Carries out an order for another party's key and request; `url` keeps the order for another attempt, and
    /// `asked` becomes true before the CA is asked to issue.
    pub(super) async fn carry_out_for(
        &self,
        request: &[u8],
        url: &mut Option<String>,
        asked: &mut bool,
    ) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
        let order = match url {
            Some(url) => self.resume(url).await?,
            None => {
                let order = self.new_order().await?;
                *url = Some(order.url().to_owned());
                order
            }
        };
        self.complete(order, request, None, asked).await
    }

    /// Takes an order from its current state to the certificate.
    async fn complete(
        &self,
        mut order: Order,
        request: &[u8],
        held: Option<&dyn Held>,
        asked: &mut bool,
    ) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
        let since = Instant::now();
        let mut look = FIRST_LOOK;
        loop {
            let status = order.state().status;
            log!(debug, self.settings.which(), url = order.url(), ?status, "state of the order");
            match status {
                OrderStatus::Pending => self.authorize(&mut order, held).await?,
                OrderStatus::Ready => {
                    *asked = true;
                    order.finalize_csr(request).await.map_err(self.failed("finalize"))?;
                    if matches!(order.state().status, OrderStatus::Valid) {
                        continue;
                    }
                }
                OrderStatus::Processing => {}
                OrderStatus::Valid => {
                    let chain = order.certificate().await.map_err(self.failed("the certificate"))?;
                    let chain =
                        chain.ok_or_else(|| AcmeError::new("the certificate", FailureKind::Transient, "not ready"))?;
                    return certificates(&chain);
                }
                OrderStatus::Invalid => return Err(invalid("the order is invalid", order.state().error.as_ref())),
            }
            if since.elapsed() > VALIDATION.saturating_mul(2) {
                return Err(AcmeError::new("the order", FailureKind::Transient, format!("still {status:?}")));
            }
            self.pause(&mut look).await;
            order.refresh().await.map_err(self.failed("the order"))?;
        }
    }

    async fn resume(&self, url: &str) -> Result<Order, AcmeError> {
        log!(info, self.settings.which(), %url, "the order is resumed");
        self.account.order(url.to_owned()).await.map_err(|error| {
            let error = AcmeError::of("the order", &error, self.last.get());
            // The order is gone, or another account's: RFC 8555 leaves the problem's type open. Network and nonce
            // errors already have a remedy.
            if error.remedy == Remedy::None { error.remedy(Remedy::NewOrder) } else { error }
        })
    }

    async fn new_order(&self) -> Result<Order, AcmeError> {
        let identifiers: Vec<Identifier> = self.settings.domains.iter().map(|domain| identifier(domain)).collect();
        let mut new = NewOrder::new(&identifiers);
        if let Some(profile) = &self.settings.profile {
            new = new.profile(profile);
        }
        let order = match self.replaces {
            None => self.account.new_order(&new).await,
            Some(replaced) => {
                let replacing = NewOrder::new(&identifiers).replaces(replaced.clone());
                let replacing = match &self.settings.profile {
                    Some(profile) => replacing.profile(profile),
                    None => replacing,
                };
                match self.account.new_order(&replacing).await {
                    // The certificate was replaced before, or is another account's: the order matters more.
                    Err(instant_acme::Error::Api(problem)) => {
                        let reason = Shown(&problem);
                        log!(
                            info,
                            self.settings.which(),
                            "the CA refuses an order that replaces {replaced}, so one without is made: {reason}"
                        );
                        self.account.new_order(&new).await
                    }
                    other => other,
                }
            }
        };
        let order = order.map_err(self.failed("a new order"))?;
        let (domains, replaces) = (&self.settings.domains, self.replaces.is_some());
        log!(info, self.settings.which(), url = order.url(), ?domains, replaces, "an order was created");
        Ok(order)
    }

    /// Proves control of every name.
    async fn authorize(&self, order: &mut Order, held: Option<&dyn Held>) -> Result<(), AcmeError> {
        // The answers stay until the CA has validated.
        let mut answers: Vec<Answer> = Vec::new();
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(self.failed("an authorization"))?;
            let name = authorization.identifier().to_string();
            match authorization.status {
                AuthorizationStatus::Pending => {}
                AuthorizationStatus::Valid => continue,
                _ => return Err(not_ours(&name, authorization.challenges.iter().find_map(|one| one.error.as_ref()))),
            }
            let offered: Vec<_> = authorization.challenges.iter().map(|one| format!("{:?}", one.r#type)).collect();
            let wanted = challenge::acme_type(self.settings.challenge_type);
            let Some(mut challenge) = authorization.challenge(wanted) else {
                let reason = format!("{name}: the CA offers {}, challenge_type asks for another", offered.join(", "));
                return Err(AcmeError::new("the challenge", FailureKind::Refused, reason).remedy(Remedy::NewOrder));
            };
            // step-ca leaves order and authorization pending when a challenge has become invalid.
            if challenge.status == ChallengeStatus::Invalid {
                return Err(not_ours(&name, challenge.error.as_ref()));
            }
            let given = challenge::answer(self.settings, self.responders, self.credential, held, &challenge);
            answers.push(given.await?);
            if challenge.status == ChallengeStatus::Processing {
                continue;
            }
            let mut look = FIRST_LOOK;
            for attempt in 1.. {
                match challenge.set_ready().await {
                    Ok(()) => break,
                    Err(error) => {
                        let error = AcmeError::of("the validation", &error, self.last.get());
                        log!(debug, self.settings.which(), %name, attempt, "not validated yet: {error}");
                        // step-ca validates before it answers: an unreachable address stays pending and may be
                        // retried.
                        let unreachable = self.last.get().is_some_and(|last| last.status < 400);
                        if attempt >= READY_ATTEMPTS || !unreachable {
                            return Err(AcmeError { reason: format!("{name}: {}", error.reason), ..error });
                        }
                        look = look.saturating_mul(3);
                        self.pause(&mut look).await;
                    }
                }
            }
        }
        self.validated(order).await
    }

    /// Waits until the CA has validated every name.
    async fn validated(&self, order: &mut Order) -> Result<(), AcmeError> {
        let since = Instant::now();
        let mut look = FIRST_LOOK;
        let mut authorizations = order.authorizations();
        while let Some(authorization) = authorizations.next().await {
            let mut authorization = authorization.map_err(self.failed("an authorization"))?;
            loop {
                let state = authorization.refresh().await.map_err(self.failed("an authorization"))?;
                let name = state.identifier().to_string();
                let failed = state.challenges.iter().find(|one| one.status == ChallengeStatus::Invalid);
                match state.status {
                    AuthorizationStatus::Valid => break,
                    AuthorizationStatus::Pending if failed.is_none() && since.elapsed() < VALIDATION => {}
                    AuthorizationStatus::Pending if failed.is_none() => {
                        let reason = format!("{name}: not validated after {} s", VALIDATION.as_secs());
                        return Err(AcmeError::new("the validation", FailureKind::Transient, reason));
                    }
                    _ => return Err(not_ours(&name, failed.and_then(|failed| failed.error.as_ref()))),
                }
                self.pause(&mut look).await;
            }
        }
        Ok(())
    }

    /// Sleeps as long as the CA says (RFC 8555 section 7.5.1), else a little longer each time.
    async fn pause(&self, look: &mut Duration) {
        let wished =
            self.last.get().and_then(|last| last.retry_after_s).map(|seconds| Duration::from_secs(seconds.into()));
        sleep(wished.unwrap_or(*look).min(VALIDATION)).await;
        *look = look.saturating_mul(2).min(LONGEST_LOOK);
    }
}

/// Returns the identifier of a name (RFC 8555 section 7.1.3) or of an address (RFC 8738 section 3).
fn identifier(domain: &str) -> Identifier {
    match domain.parse() {
        Ok(address) => Identifier::Ip(address),
        Err(_) => Identifier::Dns(domain.to_owned()),
    }
}

/// Returns the error of a failed validation; its order can no longer succeed.
fn not_ours(name: &str, problem: Option<&Problem>) -> AcmeError {
    let reason = match problem {
        Some(problem) => format!("{name}: {}", Shown(problem)),
        None => format!("{name}: the CA gives no reason"),
    };
    AcmeError::new("the validation", FailureKind::Transient, reason).remedy(Remedy::NewOrder)
}

fn invalid(doing: &'static str, problem: Option<&Problem>) -> AcmeError {
    let error = match problem {
        Some(problem) => AcmeError::problem(doing, problem),
        None => AcmeError::new(doing, FailureKind::Transient, "the CA gives no reason"),
    };
    error.remedy(Remedy::NewOrder)
}

fn certificates(text: &str) -> Result<Vec<CertificateDer<'static>>, AcmeError> {
    // The CA still has the certificate.
    pem::certificates(text.as_bytes())
        .map_err(|error| AcmeError::new("the certificate", FailureKind::Transient, error).remedy(Remedy::Again))
}
