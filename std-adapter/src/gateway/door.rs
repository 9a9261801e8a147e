//! The door of one address: who may come in before it is known who it is.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

/// Where a door is full, a handshake that has lasted this long makes room for a new one.
const UNHURRIED: Duration = Duration::from_millis(500);
/// Sources whose rate is known; the one that came the longest ago is forgotten first, and may begin anew.
const SOURCES: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is above zero");

/// What is counted at a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoorLimits {
    /// Connections at a time whose handshake is not done.
    pub(crate) handshakes: usize,
    /// Connections of one source at a time; 0 where there is no limit.
    pub(crate) connections_per_source: u32,
    /// New connections of one source in a second; 0 where there is no limit.
    pub(crate) handshakes_per_second: u32,
}

impl DoorLimits {
    /// What holds for tunnels that share an address: the larger of two limits, and none is the largest.
    pub(crate) fn larger(self, other: Self) -> Self {
        let larger = |one: u32, other: u32| if one == 0 || other == 0 { 0 } else { one.max(other) };
        Self {
            handshakes: self.handshakes.max(other.handshakes),
            connections_per_source: larger(self.connections_per_source, other.connections_per_source),
            handshakes_per_second: larger(self.handshakes_per_second, other.handshakes_per_second),
        }
    }
}

/// Who connects, for limits: an IPv4 address, or the 64 bits that one site of IPv6 has (RFC 6177 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Source(u128);

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() >> 64 << 64),
        }
    }
}

/// Why somebody may not come in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// The source has this many connections.
    Connections(u32),
    /// The source has begun this many within the last second.
    Rate(u32),
    /// It was inside, and a newer one took its place.
    Crowded(usize),
    /// Those that were let in wait for a connection to end, this many.
    Waiting(usize),
}

impl std::fmt::Display for Turned {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Connections(limit) => write!(f, "its source has {limit} connections (limits.connections_per_source)"),
            Self::Rate(limit) => {
                write!(f, "its source began {limit} handshakes in a second (limits.handshakes_per_second)")
            }
            Self::Crowded(limit) => {
                write!(f, "no handshake until a newer connection took its place among {limit} (limits.handshakes)")
            }
            Self::Waiting(count) => write!(f, "{count} others wait for a connection to end (limits.connections)"),
        }
    }
}

/// The door of one address.
#[derive(Debug)]
pub(crate) struct Door {
    hall: Mutex<Hall>,
    /// Somebody left.
    left: Notify,
}

#[derive(Debug)]
struct Hall {
    limits: DoorLimits,
    /// Those whose handshake is not done, the oldest first.
    inside: BTreeMap<u64, (Instant, Arc<Notify>)>,
    next: u64,
    /// Of those that are connected: no more of them than connections.
    sources: HashMap<Source, u32>,
    /// Until when a source has used up what it may begin.
    begun: LruCache<Source, Instant>,
}

/// Somebody who came in; whoever holds this is counted.
#[derive(Debug)]
pub(crate) struct Guest {
    door: Arc<Door>,
    source: Option<Source>,
    seat: Option<(u64, Arc<Notify>)>,
}

impl Door {
    pub(crate) fn new(limits: DoorLimits) -> Arc<Self> {
        let (inside, sources) = (BTreeMap::new(), HashMap::new());
        let hall = Hall { limits, inside, next: 0, sources, begun: LruCache::unbounded() };
        Arc::new(Self { hall: Mutex::new(hall), left: Notify::new() })
    }

    /// Those who are inside stay.
    pub(crate) fn set_limits(&self, limits: DoorLimits) {
        self.hall().limits = limits;
        self.left.notify_one();
    }

    /// A panic elsewhere leaves whole counts.
    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection of `remote`, whose limits are those of its address.
    ///
    /// # Errors
    /// Which limit of its source is reached.
    pub(crate) fn enter(self: &Arc<Self>, remote: Option<SocketAddr>, now: Instant) -> Result<Guest, Turned> {
        let source = remote.map(Source::from);
        if let Some(source) = source {
            self.hall().count(source, now)?;
        }
        Ok(Guest { door: self.clone(), source, seat: None })
    }

    /// Waits until one more handshake may begin. Where all seats are taken, the one who has had its seat the longest makes room, once
    /// that is long enough for a handshake: silence cannot keep others out.
    pub(crate) async fn seat(&self, guest: &mut Guest) {
        loop {
            let oldest = match self.hall().seat(Instant::now()) {
                Ok(seat) => return guest.seat = Some(seat),
                Err(oldest) => oldest,
            };
            tokio::select! {
                () = self.left.notified() => {}
                () = sleep_until(oldest.checked_add(UNHURRIED).unwrap_or(oldest)) => {}
            }
        }
    }
}

impl Hall {
    fn count(&mut self, source: Source, now: Instant) -> Result<(), Turned> {
        let DoorLimits { connections_per_source, handshakes_per_second, .. } = self.limits;
        let connections = self.sources.get(&source).copied().unwrap_or(0);
        if connections_per_source > 0 && connections >= connections_per_source {
            return Err(Turned::Connections(connections_per_source));
        }
        if let Some(each) = Duration::from_secs(1).checked_div(handshakes_per_second) {
            let used_up = self.begun.get(&source).copied().unwrap_or(now).max(now);
            let next = used_up.checked_add(each).unwrap_or(used_up);
            // All of a second's at once, then one for each part of it.
            if next.duration_since(now) > Duration::from_secs(1) {
                return Err(Turned::Rate(handshakes_per_second));
            }
            self.begun.put(source, next);
            if self.begun.len() > SOURCES.get() {
                self.begun.pop_lru();
            }
        }
        self.sources.insert(source, connections.saturating_add(1));
        Ok(())
    }

    /// A seat, or since when the oldest has had one.
    fn seat(&mut self, now: Instant) -> Result<(u64, Arc<Notify>), Instant> {
        if self.inside.len() >= self.limits.handshakes
            && let Some(oldest) = self.inside.first_entry()
        {
            let (since, _) = oldest.get();
            if now.duration_since(*since) < UNHURRIED {
                return Err(*since);
            }
            let (_, show_out) = oldest.remove();
            show_out.notify_one();
        }
        let (number, notify) = (self.next, Arc::new(Notify::new()));
        self.next = self.next.wrapping_add(1);
        self.inside.insert(number, (now, notify.clone()));
        Ok((number, notify))
    }
}

impl Guest {
    /// Waits until a newer one takes its seat; for ever where it has none.
    pub(crate) async fn shown_out(&self) -> Turned {
        match &self.seat {
            Some((_, notify)) => notify.notified().await,
            None => std::future::pending().await,
        }
        Turned::Crowded(self.door.hall().limits.handshakes)
    }

    /// Its handshake is done, well or not: another may begin.
    pub(crate) fn stand_up(&mut self) {
        if let Some((number, _)) = self.seat.take() {
            self.door.hall().inside.remove(&number);
            self.door.left.notify_one();
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        self.stand_up();
        if let Some(source) = self.source {
            let mut hall = self.door.hall();
            let left = hall.sources.get(&source).copied().unwrap_or(0).saturating_sub(1);
            match left {
                0 => hall.sources.remove(&source),
                left => hall.sources.insert(source, left),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn door(handshakes: usize, connections_per_source: u32, handshakes_per_second: u32) -> Arc<Door> {
        Door::new(DoorLimits { handshakes, connections_per_source, handshakes_per_second })
    }

    fn from(address: &str) -> Option<SocketAddr> {
        Some(SocketAddr::new(address.parse().unwrap(), 1))
    }

    #[test]
    fn a_source_is_an_ipv4_address_or_a_64_of_ipv6() {
        let (door, now) = (door(9, 1, 0), Instant::now());
        let one = door.enter(from("192.0.2.1"), now).unwrap();
        assert_eq!(door.enter(from("192.0.2.1"), now).unwrap_err(), Turned::Connections(1));
        assert!(door.enter(from("::ffff:192.0.2.1"), now).is_err(), "the same address at a [::] listener");
        let other = door.enter(from("192.0.2.2"), now);
        let six = door.enter(from("2001:db8:0:1::1"), now);
        assert!(door.enter(from("2001:db8:0:1:ffff::2"), now).is_err());
        assert!(other.is_ok() && six.is_ok() && door.enter(from("2001:db8:0:2::1"), now).is_ok());
        let unix = (door.enter(None, now), door.enter(None, now));
        assert!(unix.0.is_ok() && unix.1.is_ok(), "a Unix socket has no source");
        drop(one);
        assert!(door.enter(from("192.0.2.1"), now).is_ok());
    }

    #[test]
    fn a_rate_allows_a_second_at_once_and_then_its_part() {
        let (door, now) = (door(9, 0, 4), Instant::now());
        let enter = |after: u64| door.enter(from("192.0.2.1"), now + Duration::from_millis(after)).is_ok();
        assert_eq!([0, 0, 0, 0, 0, 249, 250, 251].map(enter), [true, true, true, true, false, false, true, false]);
        assert_eq!([9_000; 5].map(enter), [true, true, true, true, false]);
    }

    #[test]
    fn many_sources_do_not_grow_the_memory() {
        let (door, now) = (door(9, 1, 4), Instant::now());
        for number in 0..40_000_u128 {
            let address = SocketAddr::new(IpAddr::V6((number << 64).into()), 1);
            drop(door.enter(Some(address), now).unwrap());
        }
        let hall = door.hall();
        assert_eq!((hall.begun.len(), hall.sources.len()), (SOURCES.get(), 0));
    }

    #[tokio::test(start_paused = true)]
    async fn the_oldest_makes_room_once_it_had_time_enough() {
        let door = door(2, 0, 0);
        let sit = async || {
            let mut guest = door.enter(None, Instant::now()).unwrap();
            door.seat(&mut guest).await;
            guest
        };
        let began = Instant::now();
        let (first, second) = (sit().await, sit().await);
        assert_eq!(began.elapsed(), Duration::ZERO);
        let third = sit().await;
        assert!(began.elapsed() >= UNHURRIED, "the first had time for its handshake");
        assert_eq!(first.shown_out().await, Turned::Crowded(2));
        drop(second);
        let fourth = sit().await;
        assert!(began.elapsed() < UNHURRIED * 2, "a seat was free");
        drop((first, third, fourth));
        assert!(door.hall().inside.is_empty());
    }
}
