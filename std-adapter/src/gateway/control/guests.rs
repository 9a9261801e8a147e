//! Who may say what on the control channel, how often, and how many at once.
//!
//! | guest | may | connections | offers |
//! |---|---|---|---|
//! | a gateway of a site of the mesh in force | get and offer | 4 of each gateway | one a second of each gateway, and one that arrives |
//! | a certificate under a root of the mesh, from a CA that no site has | offer | 4 of each such CA, 16 of all | the same of each such CA |
//! | all others: devices of the sites, whoever is denied | nothing | none | none |
//!
//! Gateways are counted by the rule that lets them in, and strangers by the CA: whoever has the key of a CA can make
//! certificates without end. One that comes when there are enough takes the place of the oldest, so that a stolen key, or a
//! connection whose other end has gone, locks nobody out.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgetrust_core::x509::KeyHash;
use pki_types::CertificateDer;
use tokio::sync::{Notify, Semaphore, SemaphorePermit};
use tokio::time::Instant;

use super::speaking::Speaking;
use crate::tls::{Peer, Refusal};

/// The most connections of one guest: a gateway dials once for each of its tunnels to this one.
const OF_ONE: usize = 4;
const OF_STRANGERS: usize = 16;
/// The least time between two offers of one guest.
const BETWEEN: Duration = Duration::from_secs(1);
/// The most offers of gateways, and of strangers, that arrive at once: each takes memory until it is judged.
const ARRIVING: usize = 16;
const ARRIVING_OF_STRANGERS: usize = 4;

/// Who has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guest {
    /// A gateway of a site of the mesh in force, by the rule for it.
    Gateway(String),
    /// Somebody under a root of the mesh, by the key of the CA, which no site has.
    Stranger(KeyHash),
}

/// The reason that somebody may say nothing.
#[derive(Debug)]
pub(super) enum NoGuest {
    /// The certificate is not authorized any more.
    Refused(Refusal),
    /// The certificate is from a site of the mesh and not its gateway's.
    NoGateway(Refusal),
}

impl fmt::Display for NoGuest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::NoGateway(refusal) => write!(f, "no gateway of a site of the mesh: {refusal}"),
        }
    }
}

impl Guest {
    /// Judges a peer now, by the mesh in force.
    pub(super) fn of(speaking: &Speaking, shown: &[CertificateDer<'_>]) -> Result<Self, NoGuest> {
        match speaking.members.admit(Some(shown)) {
            Ok(admission) => {
                let rule = admission.peer().and_then(|peer| Peer::rule(peer));
                Ok(Self::Gateway(rule.unwrap_or_default().to_owned()))
            }
            Err(no_gateway) => {
                let issuer = speaking.under_roots.issuer_key(shown).map_err(NoGuest::Refused)?;
                // A pin is nobody's certificate here, and a site's CA issues to devices too.
                let stranger = issuer.filter(|issuer| !speaking.issuers.contains(issuer));
                stranger.map(Self::Stranger).ok_or(NoGuest::NoGateway(no_gateway))
            }
        }
    }

    pub(super) fn is_stranger(&self) -> bool {
        matches!(self, Self::Stranger(_))
    }
}

/// Counts guests.
#[derive(Debug)]
pub(super) struct Guests {
    here: Arc<Mutex<Here>>,
    arriving: Semaphore,
    arriving_of_strangers: Semaphore,
}

/// Who is here.
#[derive(Debug, Default)]
struct Here {
    guests: HashMap<Guest, Visits>,
    /// The connections of all strangers, the oldest first.
    strangers: VecDeque<Place>,
    next: u64,
}

/// What one guest has.
#[derive(Debug, Default)]
struct Visits {
    /// Its connections, the oldest first.
    places: VecDeque<Place>,
    last_offer: Option<Instant>,
    arrives: bool,
}

/// A connection, and how it is told to leave.
#[derive(Clone, Debug)]
struct Place {
    number: u64,
    leave: Arc<Notify>,
}

impl Default for Guests {
    fn default() -> Self {
        Self {
            here: Arc::default(),
            arriving: Semaphore::new(ARRIVING),
            arriving_of_strangers: Semaphore::new(ARRIVING_OF_STRANGERS),
        }
    }
}

/// A connection that counts while this is held.
#[derive(Debug)]
pub(super) struct Seat {
    here: Arc<Mutex<Here>>,
    guest: Guest,
    place: Place,
}

/// Locks the counts. A panic elsewhere leaves no partial count.
fn lock(here: &Mutex<Here>) -> MutexGuard<'_, Here> {
    here.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the oldest to leave while there are too many.
fn make_room(places: &mut VecDeque<Place>, most: usize) {
    while places.len() > most {
        if let Some(oldest) = places.pop_front() {
            oldest.leave.notify_one();
        }
    }
}

impl Guests {
    /// Counts a connection of a guest. Where there are as many as there may be, the oldest has to leave.
    pub(super) fn seat(&self, guest: &Guest) -> Seat {
        let mut here = lock(&self.here);
        let here = &mut *here;
        let place = Place { number: here.next, leave: Arc::default() };
        here.next = here.next.wrapping_add(1);
        let visits = here.guests.entry(guest.clone()).or_default();
        visits.places.push_back(place.clone());
        make_room(&mut visits.places, OF_ONE);
        if guest.is_stranger() {
            here.strangers.push_back(place.clone());
            make_room(&mut here.strangers, OF_STRANGERS);
        }
        Seat { here: self.here.clone(), guest: guest.clone(), place }
    }

    /// Returns a place for an offer that arrives; none if one of this guest arrives already, or too many of others.
    pub(super) fn arrival<'a>(&'a self, seat: &'a Seat) -> Option<Arrival<'a>> {
        let all = if seat.guest.is_stranger() { &self.arriving_of_strangers } else { &self.arriving };
        let permit = all.try_acquire().ok()?;
        let mut here = lock(&self.here);
        let visits = here.guests.get_mut(&seat.guest).filter(|visits| !visits.arrives)?;
        visits.arrives = true;
        Some(Arrival { seat, _permit: permit })
    }
}

/// An offer that arrives, which counts while this is held.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    seat: &'a Seat,
    _permit: SemaphorePermit<'a>,
}

impl Drop for Arrival<'_> {
    fn drop(&mut self) {
        if let Some(visits) = lock(&self.seat.here).guests.get_mut(&self.seat.guest) {
            visits.arrives = false;
        }
    }
}

impl Seat {
    /// Counts an offer; returns false if the last one is too near.
    pub(super) fn may_offer(&self, now: Instant) -> bool {
        let mut here = lock(&self.here);
        let Some(visits) = here.guests.get_mut(&self.guest) else { return false };
        let near = visits.last_offer.is_some_and(|last| now.duration_since(last) < BETWEEN);
        if !near {
            visits.last_offer = Some(now);
        }
        !near
    }

    /// Waits until a newer connection takes the place.
    pub(super) async fn taken(&self) {
        self.place.leave.notified().await;
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut here = lock(&self.here);
        let here = &mut *here;
        let others = |place: &Place| place.number != self.place.number;
        here.strangers.retain(others);
        let Some(visits) = here.guests.get_mut(&self.guest) else { return };
        visits.places.retain(others);
        // Who connects anew for each offer is not quicker by that.
        let lately = visits.last_offer.is_some_and(|last| last.elapsed() < BETWEEN);
        if visits.places.is_empty() && !visits.arrives && !lately {
            here.guests.remove(&self.guest);
        }
        // What was kept for that goes with the next one who leaves.
        here.guests.retain(|_, visits| {
            !visits.places.is_empty() || visits.last_offer.is_some_and(|last| last.elapsed() < BETWEEN)
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gateway(name: &str) -> Guest {
        Guest::Gateway(name.to_owned())
    }

    fn is_told(seat: &Seat) -> bool {
        polled(seat.taken()).is_some()
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
    fn a_newer_connection_takes_the_place_of_the_oldest_of_its_guest() {
        let guests = Guests::default();
        let seats: Vec<_> = (0..4).map(|_| guests.seat(&gateway("a"))).collect();
        let other = guests.seat(&gateway("b"));
        assert!(!seats.iter().any(is_told));
        let fifth = guests.seat(&gateway("a"));
        assert!(is_told(&seats[0]) && !seats[1..].iter().any(is_told) && !is_told(&fifth) && !is_told(&other));
        drop((seats, fifth, other));
        assert!(lock(&guests.here).guests.is_empty());
    }

    #[test]
    fn strangers_are_bounded_by_ca_and_together() {
        let guests = Guests::default();
        let stranger = |number: u8| Guest::Stranger(KeyHash::new([number; 32]));
        let first: Vec<_> = (0..5).map(|_| guests.seat(&stranger(0))).collect();
        assert!(is_told(&first[0]) && !first[1..].iter().any(is_told));
        let more: Vec<_> = (1..=13).map(|number| guests.seat(&stranger(number))).collect();
        assert!(is_told(&first[1]) && !more.iter().any(is_told));
        drop((first, more));
        assert!(lock(&guests.here).strangers.is_empty());
    }

    #[test]
    fn offers_keep_their_distance_and_come_one_at_a_time() {
        let (guests, now) = (Guests::default(), Instant::now());
        let after = |millis| now + Duration::from_millis(millis);
        let (a, again, b) = (guests.seat(&gateway("a")), guests.seat(&gateway("a")), guests.seat(&gateway("b")));
        assert_eq!([0, 999, 1000].map(|at| a.may_offer(after(at))), [true, false, true]);
        assert!(!again.may_offer(after(1999)) && b.may_offer(after(1999)));
        let arrival = guests.arrival(&a).unwrap();
        assert!(guests.arrival(&again).is_none() && guests.arrival(&b).is_some());
        drop(arrival);
        assert!(guests.arrival(&again).is_some());
    }
}
