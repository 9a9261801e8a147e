//! Who may say what on the control channel, how often, and how many at once.
//!
//! | guest | may | connections | offers |
//! |---|---|---|---|
//! | a gateway of a site of the mesh in force | get and offer | 4 of each gateway | one a second of each gateway |
//! | a certificate under a root of the mesh, from a CA that no site has | offer | 16 of all such | two a second of all such |
//! | all others: devices of the sites, whoever is denied | nothing | none | none |
//!
//! Gateways are counted by the rule that lets them in, and all strangers together: whoever has a stolen CA can make keys
//! without end.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pki_types::CertificateDer;
use tokio::sync::Semaphore;
use tokio::time::Instant;

use super::speaking::Speaking;
use crate::tls::{Peer, Refusal};

/// The most connections of one gateway: it dials once for each of our tunnels.
const OF_GATEWAY: u32 = 4;
const OF_STRANGERS: u32 = 16;
/// The least time between two offers of one gateway, and of strangers.
const BETWEEN: Duration = Duration::from_secs(1);
const BETWEEN_STRANGERS: Duration = Duration::from_millis(500);
/// The most offers that arrive at once: a slow one takes memory as long as it arrives.
const ARRIVING: usize = 4;
const ARRIVING_OF_STRANGERS: usize = 2;

/// Who has come.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) enum Guest {
    /// A gateway of a site of the mesh in force, by the rule for it.
    Gateway(String),
    /// Somebody under a root of the mesh whose issuer no site has.
    Stranger,
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
                match issuer.filter(|issuer| !speaking.issuers.contains(issuer)) {
                    Some(_) => Ok(Self::Stranger),
                    None => Err(NoGuest::NoGateway(no_gateway)),
                }
            }
        }
    }

    fn connections(&self) -> u32 {
        match self {
            Self::Gateway(_) => OF_GATEWAY,
            Self::Stranger => OF_STRANGERS,
        }
    }

    fn between(&self) -> Duration {
        match self {
            Self::Gateway(_) => BETWEEN,
            Self::Stranger => BETWEEN_STRANGERS,
        }
    }
}

/// Counts guests.
#[derive(Debug)]
pub(super) struct Guests {
    here: Arc<Mutex<HashMap<Guest, Here>>>,
    arriving: Semaphore,
    arriving_of_strangers: Semaphore,
}

/// What one guest has, while a connection of it is open.
#[derive(Debug, Default)]
struct Here {
    connections: u32,
    last_offer: Option<Instant>,
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
    here: Arc<Mutex<HashMap<Guest, Here>>>,
    guest: Guest,
}

/// Locks the counts. A panic elsewhere leaves no partial count.
fn lock(here: &Mutex<HashMap<Guest, Here>>) -> MutexGuard<'_, HashMap<Guest, Here>> {
    here.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Guests {
    /// Counts a connection of a guest; returns none if it has as many as it may.
    pub(super) fn seat(&self, guest: &Guest) -> Option<Seat> {
        let mut here = lock(&self.here);
        let mine = here.entry(guest.clone()).or_default();
        if mine.connections >= guest.connections() {
            return None;
        }
        mine.connections = mine.connections.saturating_add(1);
        Some(Seat { here: self.here.clone(), guest: guest.clone() })
    }

    /// Returns the places for the offers of a guest that arrive at once.
    pub(super) fn arriving(&self, guest: &Guest) -> &Semaphore {
        match guest {
            Guest::Gateway(_) => &self.arriving,
            Guest::Stranger => &self.arriving_of_strangers,
        }
    }
}

impl Seat {
    /// Counts an offer; returns false if the last one is too near.
    pub(super) fn may_offer(&self, now: Instant) -> bool {
        let mut here = lock(&self.here);
        let Some(mine) = here.get_mut(&self.guest) else { return false };
        let near = mine.last_offer.is_some_and(|last| now.duration_since(last) < self.guest.between());
        if !near {
            mine.last_offer = Some(now);
        }
        !near
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        let mut here = lock(&self.here);
        let Some(mine) = here.get_mut(&self.guest) else { return };
        mine.connections = mine.connections.saturating_sub(1);
        // Who connects anew for each offer is not quicker: strangers are counted on.
        if mine.connections == 0 && self.guest != Guest::Stranger {
            here.remove(&self.guest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn connections_are_counted_by_guest() {
        let guests = Guests::default();
        let (a, b) = (Guest::Gateway("DNS a".to_owned()), Guest::Gateway("DNS b".to_owned()));
        let mut seats: Vec<_> = (0..4).map(|_| guests.seat(&a).unwrap()).collect();
        assert!(guests.seat(&a).is_none() && guests.seat(&b).is_some());
        seats.pop();
        assert!(guests.seat(&a).is_some());
        let strangers: Vec<_> = (0..16).map(|_| guests.seat(&Guest::Stranger).unwrap()).collect();
        assert!(guests.seat(&Guest::Stranger).is_none());
        drop((seats, strangers));
        assert_eq!(lock(&guests.here).len(), 1, "of strangers the last offer is known");
    }

    #[test]
    fn offers_keep_their_distance() {
        let (guests, now) = (Guests::default(), Instant::now());
        let seat = |guest: &Guest| guests.seat(guest).unwrap();
        let after = |millis| now + Duration::from_millis(millis);
        let a = seat(&Guest::Gateway("DNS a".to_owned()));
        assert_eq!([0, 999, 1000].map(|at| a.may_offer(after(at))), [true, false, true]);
        // Another connection of a stranger has no offer of its own.
        assert!(seat(&Guest::Stranger).may_offer(now) && !seat(&Guest::Stranger).may_offer(after(499)));
        assert!(seat(&Guest::Stranger).may_offer(after(500)));
    }
}
