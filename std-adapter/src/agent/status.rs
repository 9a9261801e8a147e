//! Provides the status of running credentials.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime};

use arc_swap::ArcSwap;
use edgetrust_core::rotation::{Phase, Policy, Serving, State};
use pki_types::UnixTime;
use tokio::sync::Notify;

use crate::clock;
use crate::histogram::{Distribution, Histogram};
use crate::replica::Standing;
use crate::store::Home;

/// The status of a credential at one moment.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// `issued`, `expired`, `fallback` or `nothing`.
    pub serving: &'static str,
    /// `waiting`, `issuing`, `backing_off`, `persisting`, `on_trial` or `starting`.
    pub phase: &'static str,
    /// The time from which the newest certificate counts: its begin, or its arrival where it is backdated by more.
    pub not_before: Option<UnixTime>,
    /// The end of the newest certificate.
    pub not_after: Option<UnixTime>,
    /// The time of the next deadline.
    pub next: Option<UnixTime>,
    /// The reason that the last attempt failed; `None` after one that succeeded.
    pub last_error: Option<String>,
}

/// The standing of a gateway among those that share its credential, at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stood {
    pub(crate) standing: Standing,
    /// That moment.
    pub(crate) at: SystemTime,
    /// The time since which this gateway keeps an older certificate than the store has.
    pub(crate) behind_since: Option<SystemTime>,
}

/// The status of one credential.
#[derive(Debug)]
pub struct CredentialStatus {
    /// The first of the credential's names.
    pub name: String,
    /// The home of the credential, which two credentials of one name do not share.
    pub home: Home,
    snapshot: Mutex<Snapshot>,
    /// The standing of this gateway among those that share the credential, if it shares one.
    stood: Mutex<Option<Stood>>,
    issued: AtomicU64,
    failed: AtomicU64,
    orders: Histogram,
    /// Notified when another certificate is shown to peers.
    shown: Arc<Notify>,
}

/// From step-ca on the same network to the ten minutes after which an attempt is given up.
const DURATIONS: [Duration; 9] = [
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
    Duration::from_secs(10),
    Duration::from_secs(30),
    Duration::from_secs(60),
    Duration::from_secs(180),
    Duration::from_secs(600),
];

impl CredentialStatus {
    #[cfg(test)]
    pub(super) fn new(name: String, home: Home) -> Self {
        Self::reporting(name, home, &Credentials::default())
    }

    /// Creates the status of a credential in the folder `/s` that stands so among others.
    #[cfg(test)]
    pub(crate) fn sharing(name: &str, standing: Option<Standing>) -> Self {
        let credential = Self::new(name.to_owned(), Home::folder("/s"));
        credential.stand(standing);
        credential
    }

    /// Creates the status of a credential; `all` hears when another certificate is shown.
    pub(super) fn reporting(name: String, home: Home, all: &Credentials) -> Self {
        Self {
            shown: all.shown.clone(),
            name,
            home,
            snapshot: Mutex::default(),
            stood: Mutex::default(),
            issued: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            orders: Histogram::new(&DURATIONS),
        }
    }

    /// Returns the current status.
    pub fn now(&self) -> Snapshot {
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns how this gateway stands among those that share the credential, if it shares one.
    pub(crate) fn stood(&self) -> Option<Stood> {
        self.stood.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(super) fn stand(&self, standing: Option<Standing>) {
        let mut stood = self.stood.lock().unwrap_or_else(PoisonError::into_inner);
        let before = stood.take().and_then(|stood| stood.behind_since);
        *stood = standing.map(|standing| {
            let at = clock::system();
            let behind_since = (standing.behind() > 0).then(|| before.unwrap_or(at));
            Stood { standing, at, behind_since }
        });
    }

    /// Returns the number of certificates obtained since the start.
    pub fn issued_total(&self) -> u64 {
        self.issued.load(Ordering::Relaxed)
    }

    /// Returns the number of attempts that failed since the start.
    pub fn failed_total(&self) -> u64 {
        self.failed.load(Ordering::Relaxed)
    }

    /// Returns how long orders took that the CA answered, with a certificate or an error.
    pub fn order_durations(&self) -> Distribution {
        self.orders.distribution()
    }

    pub(super) fn ordered(&self, took: Duration) {
        self.orders.observe(took);
    }

    /// Tells that another certificate is shown to peers.
    pub(super) fn is_shown(&self) {
        self.shown.notify_one();
    }

    pub(super) fn issued(&self) {
        self.issued.fetch_add(1, Ordering::Relaxed);
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).last_error = None;
    }

    pub(super) fn failed(&self, reason: String) {
        self.failed.fetch_add(1, Ordering::Relaxed);
        self.snapshot.lock().unwrap_or_else(PoisonError::into_inner).last_error = Some(reason);
    }

    pub(super) fn set(&self, state: &State, policy: &Policy) {
        let mut snapshot = self.snapshot.lock().unwrap_or_else(PoisonError::into_inner);
        snapshot.serving = match state.serving {
            Serving::Nothing => "nothing",
            Serving::Issued => "issued",
            Serving::Expired => "expired",
            Serving::Fallback => "fallback",
        };
        snapshot.phase = match state.phase {
            Phase::Unprovisioned | Phase::AwaitingTime { .. } => "starting",
            Phase::Waiting { .. } => "waiting",
            Phase::Issuing { .. } => "issuing",
            Phase::BackingOff { .. } => "backing_off",
            Phase::Persisting { .. } => "persisting",
            Phase::OnTrial { .. } => "on_trial",
        };
        snapshot.not_before = state.shown().map(|shown| shown.start());
        snapshot.not_after = state.shown().map(|shown| shown.not_after);
        snapshot.next = state.next_deadline(policy);
    }
}

/// The status of all current credentials, by name.
#[derive(Clone, Debug, Default)]
pub struct Credentials {
    all: Arc<ArcSwap<Vec<Arc<CredentialStatus>>>>,
    shown: Arc<Notify>,
}

impl Credentials {
    /// Waits until another certificate is shown to peers.
    pub(crate) async fn shown(&self) {
        self.shown.notified().await;
    }

    /// Returns the current credentials.
    pub fn all(&self) -> Arc<Vec<Arc<CredentialStatus>>> {
        self.all.load_full()
    }

    pub(super) fn set(&self, mut all: Vec<Arc<CredentialStatus>>) {
        all.sort_by(|one, other| (&one.name, &one.home).cmp(&(&other.name, &other.home)));
        self.all.store(Arc::new(all));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_gateway_is_behind_from_the_first_look_that_finds_it_so() {
        let credential = CredentialStatus::sharing("a.example", None);
        let stand = |published, kept| {
            credential.stand(Some(Standing { published, kept, ..Standing::default() }));
            credential.stood().unwrap()
        };
        assert_eq!(stand(3, 3).behind_since, None);
        let first = stand(4, 3);
        assert_eq!(first.behind_since, Some(first.at));
        assert_eq!(stand(5, 3).behind_since, first.behind_since, "it has been behind since then");
        assert_eq!(stand(5, 5).behind_since, None);
        credential.stand(None);
        assert_eq!(credential.stood(), None);
    }
}
