//! Decides who may say what on the control channel, how often, and how many at once.
//!
//! | caller | may | connections | offers |
//! |---|---|---|---|
//! | a gateway of a site of the mesh in force | get, offer, continue its sessions | 4 of each gateway | one a second of each gateway, and one that arrives |
//! | a certificate under a root of the mesh, from a CA that no site has | offer | 4 of each such CA, 16 of all | the same of each such CA |
//! | all others: devices of the sites, whoever is denied | nothing | none | none |
//!
//! Gateways are counted by the rule that lets them in, and strangers by the CA: whoever has the key of a CA can make
//! certificates without end. Where there are as many connections as there may be, a newer one closes the oldest, so that a
//! stolen key, or a connection whose other end has gone, locks nobody out.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgetrust_core::x509::KeyHash;
use pki_types::CertificateDer;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, sleep_until};

use super::state::ControlState;
use crate::tls::{Peer, Refusal};

/// The most connections of one caller: a gateway dials once for each certificate that its tunnels to this one show.
const OF_ONE: usize = 4;
const OF_STRANGERS: usize = 16;
/// The least time between two offers of one caller.
const BETWEEN: Duration = Duration::from_secs(1);
/// The least time between two requests of one caller to continue sessions: up to 12,800 of them a second.
const PACE: Duration = Duration::from_millis(20);
/// The most turns that wait: one on each of its connections.
const TURNS: u32 = OF_ONE as u32;
/// The most offers of gateways, and of strangers, that arrive at once: each takes memory until it is judged.
const ARRIVING: usize = 16;
const ARRIVING_OF_STRANGERS: usize = 4;

/// A peer that may say something.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Caller {
    /// A gateway of a site of the mesh in force, by the rule for it.
    Gateway(String),
    /// Somebody under a root of the mesh, by the key of the CA, which no site has.
    Stranger(KeyHash),
}

/// The reason that a peer may say nothing.
#[derive(Debug)]
pub enum CallerError {
    /// The certificate is not authorized any more.
    Refused(Refusal),
    /// The certificate is from a site of the mesh and not its gateway's.
    NoGateway(Refusal),
}

impl fmt::Display for CallerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NoGateway(refusal) => write!(f, "no gateway of a site of the mesh: {refusal}"),
        }
    }
}

impl Caller {
    /// Judges a peer now, by the mesh in force.
    pub fn of(state: &ControlState, chain: &[CertificateDer<'_>]) -> Result<Self, CallerError> {
        match state.members.admit(Some(chain)) {
            Ok(admission) => {
                let rule = admission.peer().and_then(|peer| Peer::rule(peer));
                Ok(Self::Gateway(rule.unwrap_or_default().to_owned()))
            }
            Err(no_gateway) => {
                let issuer = state.under_roots.issuer_key(chain).map_err(CallerError::Refused)?;
                // A pin is nobody's certificate here, and a site's CA issues to devices too.
                let stranger = issuer.filter(|issuer| !state.issuers.contains(issuer));
                stranger.map(Self::Stranger).ok_or(CallerError::NoGateway(no_gateway))
            }
        }
    }

    /// Returns whether it is no gateway of the mesh.
    pub fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger(_))
    }
}

/// Counts callers.
#[derive(Debug)]
pub struct Callers {
    counts: Arc<Mutex<Counts>>,
    arriving: Arc<Semaphore>,
    arriving_of_strangers: Arc<Semaphore>,
}

/// The connections and offers of all callers.
#[derive(Debug, Default)]
struct Counts {
    callers: HashMap<Caller, CallerState>,
    /// The connections of all strangers, the oldest first.
    strangers: VecDeque<OpenConnection>,
    next: u64,
}

/// The connections and offers of one caller.
#[derive(Debug, Default)]
struct CallerState {
    /// Its connections, the oldest first.
    connections: VecDeque<OpenConnection>,
    last_offer: Option<Instant>,
    arrives: bool,
    /// The turn of the last request to continue sessions.
    next_continuation: Option<Instant>,
}

impl CallerState {
    /// Returns whether nothing is lost if this is forgotten. A caller that connects anew for each offer, or to
    /// continue sessions, is not quicker by that.
    fn is_over(&self) -> bool {
        let offered_lately = self.last_offer.is_some_and(|last| last.elapsed() < BETWEEN);
        let has_turn = self.next_continuation.is_some_and(|next| next > Instant::now());
        self.connections.is_empty() && !self.arrives && !offered_lately && !has_turn
    }
}

/// A connection, and how it is told to close.
#[derive(Clone, Debug)]
struct OpenConnection {
    number: u64,
    close: Arc<Notify>,
}

impl Default for Callers {
    fn default() -> Self {
        Self {
            counts: Arc::default(),
            arriving: Arc::new(Semaphore::new(ARRIVING)),
            arriving_of_strangers: Arc::new(Semaphore::new(ARRIVING_OF_STRANGERS)),
        }
    }
}

/// A connection that counts while this is held.
#[derive(Debug)]
pub struct CallerPermit {
    counts: Arc<Mutex<Counts>>,
    caller: Caller,
    connection: OpenConnection,
}

/// Locks the counts. A panic elsewhere leaves no partial count.
fn lock(counts: &Mutex<Counts>) -> MutexGuard<'_, Counts> {
    counts.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the oldest to close while there are too many.
fn make_room(connections: &mut VecDeque<OpenConnection>, most: usize) {
    while connections.len() > most {
        if let Some(oldest) = connections.pop_front() {
            oldest.close.notify_one();
        }
    }
}

impl Callers {
    /// Counts a connection of a caller. Where there are as many as there may be, the oldest is told to close.
    pub fn permit(&self, caller: &Caller) -> CallerPermit {
        let mut counts = lock(&self.counts);
        let counts = &mut *counts;
        let connection = OpenConnection { number: counts.next, close: Arc::default() };
        counts.next = counts.next.wrapping_add(1);
        let state = counts.callers.entry(caller.clone()).or_default();
        state.connections.push_back(connection.clone());
        make_room(&mut state.connections, OF_ONE);
        if caller.is_stranger() {
            counts.strangers.push_back(connection.clone());
            make_room(&mut counts.strangers, OF_STRANGERS);
        }
        CallerPermit { counts: self.counts.clone(), caller: caller.clone(), connection }
    }

    /// Counts an offer that arrives.
    ///
    /// # Errors
    /// Says why it may not: the last one of this caller is too near, one arrives already, or too many of others do.
    pub fn offer_permit(&self, permit: &CallerPermit, now: Instant) -> Result<OfferPermit, &'static str> {
        const BUSY: &str = "another offer arrives";
        if !permit.may_offer(now) {
            return Err("an offer a second");
        }
        let all = if permit.caller.is_stranger() { &self.arriving_of_strangers } else { &self.arriving };
        let of_all = all.clone().try_acquire_owned().map_err(|_| BUSY)?;
        let mut counts = lock(&self.counts);
        let state = counts.callers.get_mut(&permit.caller).filter(|state| !state.arrives).ok_or(BUSY)?;
        state.arrives = true;
        Ok(OfferPermit { counts: self.counts.clone(), caller: permit.caller.clone(), _of_all: of_all })
    }
}

/// An offer that arrives, which counts while this is held.
#[derive(Debug)]
pub struct OfferPermit {
    counts: Arc<Mutex<Counts>>,
    caller: Caller,
    _of_all: OwnedSemaphorePermit,
}

impl Drop for OfferPermit {
    fn drop(&mut self) {
        if let Some(state) = lock(&self.counts).callers.get_mut(&self.caller) {
            state.arrives = false;
        }
    }
}

impl CallerPermit {
    /// Waits for the caller's turn to continue sessions, on whichever of its connections. A turn that nobody waits for any
    /// more delays the others by no more than those of all its connections would.
    pub(super) async fn turn_to_continue(&self) {
        sleep_until(self.next_turn(Instant::now())).await;
    }

    fn next_turn(&self, now: Instant) -> Instant {
        let after = |time: Instant, turns: u32| time.checked_add(PACE.saturating_mul(turns)).unwrap_or(time);
        let mut counts = lock(&self.counts);
        let Some(state) = counts.callers.get_mut(&self.caller) else { return now };
        let turn = after(state.next_continuation.unwrap_or(now).max(now), 1).min(after(now, TURNS));
        state.next_continuation = Some(turn);
        turn
    }

    /// Counts an offer; returns false if the last one is too near.
    fn may_offer(&self, now: Instant) -> bool {
        let mut counts = lock(&self.counts);
        let Some(state) = counts.callers.get_mut(&self.caller) else { return false };
        let near = state.last_offer.is_some_and(|last| now.duration_since(last) < BETWEEN);
        if !near {
            state.last_offer = Some(now);
        }
        !near
    }

    /// Waits until a newer connection takes the place of this one.
    pub async fn displaced(&self) {
        self.connection.close.notified().await;
    }
}

impl Drop for CallerPermit {
    fn drop(&mut self) {
        let mut counts = lock(&self.counts);
        let counts = &mut *counts;
        let others = |connection: &OpenConnection| connection.number != self.connection.number;
        counts.strangers.retain(others);
        if let Some(state) = counts.callers.get_mut(&self.caller) {
            state.connections.retain(others);
        }
        counts.callers.retain(|_, state| !state.is_over());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str) -> Caller {
        Caller::Gateway(name.to_owned())
    }

    fn is_told(permit: &CallerPermit) -> bool {
        polled(permit.displaced()).is_some()
    }

    /// Polls a future once.
    fn polled<T>(future: impl Future<Output = T>) -> Option<T> {
        let mut context = std::task::Context::from_waker(std::task::Waker::noop());
        match std::pin::pin!(future).poll(&mut context) {
            std::task::Poll::Ready(value) => Some(value),
            std::task::Poll::Pending => None,
        }
    }

    #[test]
    fn a_newer_connection_takes_the_place_of_the_oldest_of_its_caller() {
        let callers = Callers::default();
        let permits: Vec<_> = (0..4).map(|_| callers.permit(&gateway("a"))).collect();
        let other = callers.permit(&gateway("b"));
        assert!(!permits.iter().any(is_told));
        let fifth = callers.permit(&gateway("a"));
        assert!(is_told(&permits[0]) && !permits[1..].iter().any(is_told) && !is_told(&fifth) && !is_told(&other));
        drop((permits, fifth, other));
        assert!(lock(&callers.counts).callers.is_empty());
    }

    #[test]
    fn strangers_are_bounded_by_ca_and_together() {
        let callers = Callers::default();
        let stranger = |number: u8| Caller::Stranger(KeyHash::new([number; 32]));
        let first: Vec<_> = (0..5).map(|_| callers.permit(&stranger(0))).collect();
        assert!(is_told(&first[0]) && !first[1..].iter().any(is_told));
        let more: Vec<_> = (1..=13).map(|number| callers.permit(&stranger(number))).collect();
        assert!(is_told(&first[1]) && !more.iter().any(is_told));
        drop((first, more));
        assert!(lock(&callers.counts).strangers.is_empty());
    }

    #[test]
    fn turns_are_of_one_caller_on_all_its_connections_and_wait_for_no_more_than_these() {
        let (callers, now) = (Callers::default(), Instant::now());
        let (one, another, other) =
            (callers.permit(&gateway("a")), callers.permit(&gateway("a")), callers.permit(&gateway("b")));
        let wait = |permit: &CallerPermit| permit.next_turn(now).duration_since(now).as_millis();
        assert_eq!([wait(&one), wait(&another), wait(&one), wait(&other)], [20, 40, 60, 20]);
        // Whoever asks and leaves holds nobody up for long.
        assert_eq!([wait(&one), wait(&one), wait(&another)], [80, 80, 80]);
        // Connecting anew is no way to have a turn at once.
        drop((one, another));
        assert_eq!(wait(&callers.permit(&gateway("a"))), 80);
    }

    #[test]
    fn offers_keep_their_distance_and_come_one_at_a_time() {
        let (callers, now) = (Callers::default(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        let (a, again, b) =
            (callers.permit(&gateway("a")), callers.permit(&gateway("a")), callers.permit(&gateway("b")));
        assert_eq!([0, 999, 1000].map(|at| a.may_offer(after(at))), [true, false, true]);
        assert!(!again.may_offer(after(1999)) && b.may_offer(after(1999)));
        let offer_permit = callers.offer_permit(&a, after(3000)).unwrap();
        assert_eq!(callers.offer_permit(&again, after(3500)).unwrap_err(), "an offer a second");
        assert_eq!(callers.offer_permit(&again, after(4000)).unwrap_err(), "another offer arrives");
        assert!(callers.offer_permit(&b, after(4000)).is_ok());
        drop(offer_permit);
        assert!(callers.offer_permit(&again, after(5000)).is_ok());
    }
}
