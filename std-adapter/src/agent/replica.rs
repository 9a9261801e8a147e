//! One of several gateways that share a credential: what it does when the store changes, and how it obtains the next
//! certificate.

use std::future::pending;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::mesh::Digest;
use edgetrust_core::rotation::{Policy, SlotCertificate};
use pki_types::UnixTime;
use tokio::sync::watch;
use tokio::task::AbortHandle;

use crate::acme::{AcmeError, GivenAnswer, Responders, Settings, Which, give_answer, verify};
use crate::clock;
use crate::replica::{
    Bucket, DocumentError, ObtainError, Obtained, Revision, SealingKeys, Seen, Shared, SharedError, SharedHeld,
    Standing, kept_generation,
};
use crate::store::{ChallengeAnswer, Held, Record, StorageError};
use crate::tls::LiveCredential;

/// The time for which a store may be away before a gateway without any certificate orders one for itself.
const PATIENCE: Duration = Duration::from_secs(60);

/// The shortest time that one waits for another gateway: one that is gone is found out within a lease.
const SHORTEST: Duration = Duration::from_secs(15);

/// The longest time that a gateway without any certificate waits for one that orders.
const LONGEST: Duration = Duration::from_secs(300);

/// The shortest time before the end of a certificate at which no other gateway is asked any more: a store that does not
/// answer takes a while each time.
const HURRY: Duration = Duration::from_secs(60);

/// Returns the time from which a certificate is needed although the other gateways cannot be asked: half of the time
/// that renewals have is for the store to come back.
pub(crate) fn urgent_at(active: &SlotCertificate, policy: &Policy) -> UnixTime {
    let left = (policy.lead_s(active) / 2).max(HURRY.as_secs());
    UnixTime::since_unix_epoch(Duration::from_secs(active.not_after.as_secs().saturating_sub(left)))
}

/// The news that a change of the store brings to a worker.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum News {
    Nothing,
    /// There is a certificate to take.
    Newer,
    /// The store is back, and an attempt had failed for want of it.
    Back,
}

/// The number of leases that a gateway in a hurry loses before it orders for itself: whoever writes into the store without
/// end makes every order fail.
const LOSSES: u32 = 3;

/// A gateway that shares a credential, until the value is dropped.
#[derive(Debug)]
pub(crate) struct Replica {
    sharing: Sharing,
    changes: watch::Receiver<Seen>,
    /// The fault that was logged last, with its revision.
    told: Option<(Revision, DocumentError)>,
    /// The answers that this gateway gives for another one, with what gives them.
    answers: Vec<(ChallengeAnswer, GivenAnswer)>,
    following: AbortHandle,
}

impl Drop for Replica {
    fn drop(&mut self) {
        self.following.abort();
    }
}

/// The parts of a replica that an order works with.
#[derive(Clone, Debug)]
pub(crate) struct Sharing {
    shared: Arc<Shared>,
    held: Arc<SharedHeld>,
    which: Which,
}

/// Returns the place of a credential in a store: gateways that ask one directory for the same names share it.
fn place(settings: &Settings) -> String {
    let mut asked = settings.directory_url.clone();
    for domain in &settings.domains {
        asked.push('\n');
        asked.push_str(domain);
    }
    let digest = Digest::of(asked.as_bytes());
    let digest: String = digest.octets().iter().take(8).map(|octet| format!("{octet:02x}")).collect();
    // For people who look into the store; a dot would begin another token of a subject.
    let first = settings.domains.first().map_or("", String::as_str);
    let first: String = first.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).take(64).collect();
    format!("{first}-{digest}")
}

/// Returns the name of this machine, for people.
fn machine() -> String {
    let name = rustix::system::uname();
    let name = name.nodename().to_string_lossy();
    let plain: String = name.chars().filter(|c| c.is_ascii_alphanumeric() || *c == '-').take(32).collect();
    if plain.is_empty() { "gateway".to_owned() } else { plain }
}

impl Replica {
    /// Joins the gateways that share the credential of these settings, if they name a store.
    ///
    /// # Errors
    /// Fails if the folder, or what leads to the store, cannot be read.
    pub(crate) async fn of(local: Arc<dyn Held>, settings: &Settings, seed: u64) -> Result<Option<Self>, StorageError> {
        let Some(storage) = &settings.storage else { return Ok(None) };
        let (bucket, keys) = storage.open(&settings.denied_keys)?;
        Self::join(local, settings, bucket, keys, seed).await.map(Some)
    }

    /// Joins the gateways that share this credential. Nothing waits for the store: what the folder has is shown first.
    ///
    /// # Errors
    /// Fails if the folder cannot be read.
    pub(crate) async fn join(
        local: Arc<dyn Held>,
        settings: &Settings,
        bucket: Arc<dyn Bucket>,
        keys: Arc<SealingKeys>,
        seed: u64,
    ) -> Result<Self, StorageError> {
        let place = place(settings);
        let kept = kept_generation(&*local, &place).await?;
        let id = format!("{:08x}", seed >> 32);
        let shared = Arc::new(Shared::new((bucket, keys), &place, (&machine(), &id), kept));
        let held = Arc::new(SharedHeld::new(local, shared.clone(), place));
        let followed = shared.clone();
        let following = tokio::spawn(async move { followed.follow().await }).abort_handle();
        let changes = shared.seen();
        let sharing = Sharing { shared, held, which: settings.which() };
        Ok(Self { sharing, changes, told: None, answers: Vec::new(), following })
    }

    pub(crate) fn held(&self) -> Arc<dyn Held> {
        self.sharing.held.clone()
    }

    pub(crate) fn sharing(&self) -> Sharing {
        self.sharing.clone()
    }

    /// Returns the home without the store.
    pub(crate) fn local(&self) -> Arc<dyn Held> {
        self.sharing.held.local()
    }

    /// Waits until the store has changed; forever where a credential is not shared.
    pub(crate) async fn changed_of(replica: &mut Option<Self>) {
        let changed = match replica {
            Some(replica) => replica.changes.changed().await.is_ok(),
            None => false,
        };
        if !changed {
            pending::<()>().await;
        }
    }

    /// Follows a change of the store: gives the answers of another gateway, keeps a copy of the account, and brings back
    /// what a store has lost.
    pub(crate) async fn attend(
        &mut self,
        settings: &Settings,
        responders: &Responders,
        credential: &LiveCredential,
    ) -> News {
        let Sharing { shared, held, which } = self.sharing.clone();
        let seen = self.changes.borrow_and_update().clone();
        let fault = seen.fault.clone().map(|fault| (seen.revision, fault));
        if let Some((_, fault)) = fault.clone().filter(|_| fault != self.told) {
            log!(error, which, "what gateways share cannot be used: {}", shared.faulty(fault));
        }
        self.told = fault;
        if let Some((_, reason)) = &seen.away {
            log!(warn, which, "the store that gateways share is away: {reason}");
            return News::Nothing;
        }
        let (revision, answers) = shared.answers();
        // The holder gives its answers itself.
        let answers = if shared.holds() { Vec::new() } else { answers };
        self.answers.retain(|(answer, _)| answers.contains(answer));
        for answer in answers {
            if self.answers.iter().any(|(given, _)| *given == answer) {
                continue;
            }
            match give_answer(settings, responders, credential, &answer).await {
                Ok(given) => self.answers.push((answer, given)),
                Err(error) => {
                    log!(warn, which, "another gateway orders, and its challenge is not answered here: {error}")
                }
            }
        }
        shared.attend(revision).await;
        if let Err(error) = held.copy_account().await {
            log!(warn, which, "the account that gateways share is not copied: {error}");
        }
        self.bring_back().await;
        // The attempt takes what is newer, too.
        let back = seen.fault.is_none() && shared.take_missed();
        if shared.has_newer() {
            News::Newer
        } else if back {
            News::Back
        } else {
            News::Nothing
        }
    }

    /// Returns whether there is a certificate to take.
    pub(crate) fn has_newer(&self) -> bool {
        self.sharing.shared.has_newer()
    }

    /// Writes the certificate of this gateway into a store that has an older one.
    async fn bring_back(&self) {
        let Sharing { shared, held, which } = &self.sharing;
        let Some(certificate) = shared.went_back() else { return };
        let Some(record) = held.record(&certificate).await else { return };
        match shared.restore(&record).await {
            Ok(()) => log!(
                warn,
                which,
                "the store that gateways share went back: its certificate is replaced by the newer one of this gateway"
            ),
            // Another gateway may have been faster; else the next change brings it up again.
            Err(error) => log!(info, which, "the store that gateways share went back: {error}"),
        }
    }

    /// Returns the standing of this gateway among those that share the credential.
    pub(crate) fn standing(&self) -> Standing {
        self.sharing.shared.standing()
    }
}

impl Sharing {
    /// Returns the next certificate: of another gateway, or what `order` obtains. While the store is away a gateway
    /// orders for itself only when its certificate is near its end, from `urgent` on, or when it has had none for a while.
    ///
    /// # Errors
    /// Returns why there is none.
    pub(crate) async fn obtain<F>(
        &self,
        settings: &Settings,
        urgent: Option<UnixTime>,
        order: impl Fn() -> F,
    ) -> Result<Record, AcmeError>
    where
        F: Future<Output = Result<Record, AcmeError>>,
    {
        let Self { shared, held, which } = self;
        held.set_alone(false);
        shared.set_missed(false);
        let patience = match urgent {
            Some(at) => Duration::from_secs(at.as_secs().saturating_sub(clock::now().as_secs())).max(SHORTEST),
            None => LONGEST,
        };
        let usable = |record: &Record| match verify(settings, &record.chain, clock::now()) {
            Ok(()) => true,
            Err(error) => {
                log!(warn, which, "the certificate of another gateway is not shown, and another is ordered: {error}");
                false
            }
        };
        if shared.losses() >= LOSSES && urgent.is_none_or(|at| clock::now() >= at) {
            log!(warn, which, "this gateway orders for itself, since its lease was taken again and again");
            held.set_alone(true);
            return order().await;
        }
        match shared.obtain(patience, usable, &order).await {
            Ok(Obtained::Ordered(record)) => Ok(record),
            Ok(Obtained::Taken(record)) => {
                log!(info, which, "the certificate that another gateway ordered is taken");
                Ok(record)
            }
            Err(ObtainError::Order(error)) => {
                // The store may be the reason, whatever the order says.
                shared.set_missed(shared.away_for().is_some());
                Err(error)
            }
            Err(ObtainError::Shared(error)) if error.is_of_the_store() && self.is_urgent(&error, urgent) => {
                log!(warn, which, "this gateway orders for itself, since no other can be asked: {error}");
                held.set_alone(true);
                order().await
            }
            Err(ObtainError::Shared(error)) => {
                shared.set_missed(error.is_of_the_store());
                Err(AcmeError::of_the_store(&error))
            }
        }
    }

    /// Returns whether a certificate is needed although the other gateways cannot be asked.
    fn is_urgent(&self, error: &SharedError, urgent: Option<UnixTime>) -> bool {
        match urgent {
            Some(at) => clock::now() >= at,
            None => {
                matches!(error, SharedError::Slow(_)) || self.shared.away_for().is_some_and(|away| away >= PATIENCE)
            }
        }
    }

    /// Uses the store again, after a certificate of this gateway alone was kept.
    pub(crate) fn is_kept(&self) {
        self.held.set_alone(false);
    }

    /// Changes what gateways share, such as the account, while none of them orders.
    ///
    /// # Errors
    /// Returns why the change was not made.
    pub(crate) async fn while_held<F>(&self, work: impl FnOnce() -> F) -> Result<(), AcmeError>
    where
        F: Future<Output = Result<(), AcmeError>>,
    {
        let done = self.shared.while_held(work).await.map_err(|error| match error {
            ObtainError::Order(error) => error,
            ObtainError::Shared(error) => AcmeError::of_the_store(&error),
        });
        if let Err(error) = self.held.copy_account().await {
            log!(warn, self.which, "the account that gateways share is not copied: {error}");
        }
        done
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgetrust_core::store::Slot;

    #[test]
    fn the_store_has_half_of_the_time_of_renewals() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let policy = Policy::default();
        // A day, renewed eight hours before its end; an hour, renewed after two thirds; and two minutes.
        for (lifetime, left) in [(24 * 3600, 4 * 3600), (3600, 600), (120, 60)] {
            let active = SlotCertificate {
                slot: Slot::A,
                not_before: at(1_000),
                not_after: at(1_000 + lifetime),
                received: at(1_000),
            };
            assert_eq!(urgent_at(&active, &policy), at(1_000 + lifetime - left), "{lifetime}");
        }
    }
}
