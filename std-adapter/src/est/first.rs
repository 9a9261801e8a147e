//! Gives devices without a certificate their first one (RFC 7030 section 4.2.1), each by a voucher.

use std::sync::Arc;
use std::time::Duration;

use arc_swap::ArcSwap;
use edgetrust_core::request::{CertificationRequest, OneName};
use edgetrust_core::x509::{KeyHash, SubjectPublicKeyInfo};
use pki_types::CertificateDer;
use tokio::time::timeout;

use super::denial::Denial;
use super::first_orders::{FirstOrders, Outcome};
use super::reenroll::{Orders, decode, key_fits, order_for};
use super::secret::KeptHash;
use super::state::{EstState, FirstEnrollment};
use super::voucher::Objection;
use super::voucher_file::VoucherFileError;
use super::vouchers::{Claim, Vouchers};
use crate::clock;
use crate::tls::{ShownRequest, provider};

/// The time that a device waits for its certificate before it is told to ask again (RFC 7030 section 4.2.3).
const WAIT: Duration = Duration::from_secs(10);
/// The time after which it asks again, in seconds.
const AGAIN_S: u32 = 5;

/// A device that has shown a name and a password.
#[derive(Clone, Debug)]
pub(super) struct Claimant {
    pub(super) name: String,
    pub(super) secret: KeptHash,
}

/// A device's certificate, and the intermediates that are sent with it.
#[derive(Debug)]
pub(super) struct Given {
    pub(super) answer: Vec<CertificateDer<'static>>,
    /// It was given before.
    pub(super) is_repeat: bool,
}

impl Claimant {
    /// Checks name and password; returns the name as the voucher has it.
    pub(super) async fn check(&mut self, first: &FirstEnrollment) -> Result<(), Denial> {
        let (file, asked) = (first.vouchers.clone(), self.clone());
        let vouchers = aside(move || file.read()).await?;
        let found = vouchers.check(&asked.name, &asked.secret, clock::now());
        self.name = found.map_err(|objection| self.denied(&objection))?.name().to_owned();
        Ok(())
    }

    /// Returns the certificate for a request that the device has proven to have the key of.
    pub(super) async fn enroll(&self, state: &Arc<EstState>, work: &Work<'_>, body: &[u8]) -> Result<Given, Denial> {
        let der = decode(body)?;
        let request = CertificationRequest::from_der(&der)
            .map_err(|error| Denial::malformed(format!("the body is no certification request: {error}")))?;
        let given = self.judged(state, work, &request).await;
        given.map_err(|denial| Denial { requested: Some(Box::new(ShownRequest::new(&request))), ..denial })
    }

    async fn judged(
        &self,
        state: &Arc<EstState>,
        work: &Work<'_>,
        request: &CertificationRequest<'_>,
    ) -> Result<Given, Denial> {
        let first = state.first()?;
        let spki = request.subject_public_key_info();
        key_fits(&spki, state.issuer.settings().key_type)?;
        request
            .verify(provider().signature_verification_algorithms.all)
            .map_err(|error| Denial::malformed(format!("the certification request: {error}")))?;
        // The device is told no more than of a wrong password: neither uses the voucher up.
        let name = OneName::new(&self.name).ok_or_else(|| self.denied(&"its name is too long"))?;
        request
            .is_for(&name)
            .map_err(|error| self.denied(&format_args!("the certification request is for another name: {error}")))?;
        // The configuration may have changed since the voucher was made.
        self.is_let_in(state, &spki)?;
        let key = KeptHash::of_key(spki.der);
        let given = match self.claim(first, key).await? {
            Claim::Repeat(answer) => Given { answer, is_repeat: true },
            Claim::Order => {
                let (octets, spki) = (request.der().to_vec(), spki.der.to_vec());
                let order = self.clone().order(state.clone(), work.orders.clone(), key, octets, spki);
                let mut outcome = work.first_orders.begin(&self.name, key, order)?;
                let done = timeout(WAIT, outcome.wait_for(Option::is_some)).await;
                let done = done.map_err(|_| Denial::accepted(AGAIN_S))?;
                let done = done.map_err(|_| Denial::later("the order ended without an outcome"))?;
                let answer = done.clone().unwrap_or_else(|| Err(Denial::later("the order has no outcome")))?;
                Given { answer, is_repeat: false }
            }
        };
        // And while the CA was asked.
        self.is_let_in(&work.shared.load(), &spki)?;
        Ok(given)
    }

    /// Checks that the rules let the device in, with this name and this key.
    fn is_let_in(&self, state: &EstState, spki: &SubjectPublicKeyInfo<'_>) -> Result<(), Denial> {
        state.first()?.names.give(&self.name).map_err(Denial::forbidden)?;
        match state.tls.load().0.denied(&[KeyHash::of(spki)], clock::now()) {
            Some(_) => Err(Denial::forbidden("the certification request: its key is denied")),
            None => Ok(()),
        }
    }

    /// Notes the key in the voucher, before the CA hears of it.
    async fn claim(&self, first: &FirstEnrollment, key: KeptHash) -> Result<Claim, Denial> {
        let changed = self.change(first, move |vouchers, Self { name, secret }| {
            let claim = vouchers.claim(name, secret, &key, clock::now());
            let changed = claim == Ok(Claim::Order);
            (claim, changed)
        });
        changed.await?.map_err(|objection| self.denied(&objection))
    }

    /// Changes the vouchers in a thread of its own: disks are slow, and others may hold the lock.
    async fn change<T: Send + 'static>(
        &self,
        first: &FirstEnrollment,
        change: impl FnOnce(&mut Vouchers, &Self) -> (T, bool) + Send + 'static,
    ) -> Result<T, Denial> {
        let (file, own) = (first.vouchers.clone(), self.clone());
        aside(move || file.change(|vouchers| change(vouchers, &own))).await
    }

    fn denied(&self, reason: &dyn std::fmt::Display) -> Denial {
        Denial::unauthorized(format!("voucher for {}: {reason}", self.name.escape_debug()))
    }

    /// Orders the certificate and keeps it before anybody gets it.
    async fn order(
        self,
        state: Arc<EstState>,
        orders: Orders,
        key: KeptHash,
        request: Vec<u8>,
        spki: Vec<u8>,
    ) -> Outcome {
        let first = state.first()?;
        let mut asked = false;
        let ordered = order_for(&state.issuer, &orders, vec![self.name.clone()], (&request, &spki), &mut asked).await;
        let chain = match ordered {
            Ok(chain) => chain,
            Err(denial) => {
                if !asked {
                    // Another key may come: the CA has signed nothing.
                    self.change(first, move |vouchers, own| (vouchers.release(&own.name, &own.secret, &key), true))
                        .await?;
                }
                return Err(denial);
            }
        };
        state.authorities.learn(chain.get(1..).unwrap_or_default()).await;
        let admitted = state.tls.load().0.admit_chain(Some(&chain), clock::now());
        admitted.map_err(|refusal| {
            Denial::forbidden(format!(
                "gateway.est would not let the new certificate in, so it is not given: {refusal}"
            ))
        })?;
        let answer = state.answer(&chain).to_vec();
        let kept = answer.clone();
        let issued = self.change(first, move |vouchers, own| {
            let issued = vouchers.issued(&own.name, &own.secret, &key, &kept, clock::now());
            (issued, issued.is_ok())
        });
        issued.await?.map_err(|objection: Objection| self.denied(&objection))?;
        Ok(answer)
    }
}

/// The parts of the server that an enrollment needs.
pub(super) struct Work<'a> {
    /// The current state, which may become another one meanwhile.
    pub(super) shared: &'a ArcSwap<EstState>,
    pub(super) first_orders: &'a FirstOrders,
    pub(super) orders: &'a Orders,
}

/// Runs work on files in a thread of its own.
async fn aside<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, VoucherFileError> + Send + 'static,
) -> Result<T, Denial> {
    let done = tokio::task::spawn_blocking(work).await;
    done.map_err(Denial::later)?.map_err(|error| Denial::hidden_later(format!("the vouchers: {error}")))
}
