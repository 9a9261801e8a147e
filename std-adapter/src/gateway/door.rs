//! Limits the connections at one address before the clients are known.

use std::collections::{BTreeMap, HashMap};
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep_until};

use super::rate::Rate;
use super::usage::Usage;

/// The time after which a handshake at a full door makes room for a new one.
const UNHURRIED: Duration = Duration::from_millis(500);
/// The number of sources whose rate is known; the least recent one is forgotten first, and may begin anew.
const SOURCES: NonZeroUsize = NonZeroUsize::new(16_384).expect("it is above zero");

/// The limits of a door.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct DoorLimits {
    /// The maximum number of concurrent connections whose handshake is not done.
    pub(crate) handshakes: usize,
    /// The maximum number of concurrent connections of one source; 0 means no limit.
    pub(crate) connections_per_source: u32,
    /// The maximum number of new connections of one source per second; 0 means no limit.
    pub(crate) handshakes_per_second: u32,
}

impl DoorLimits {
    /// Returns the limits of tunnels that share an address: the larger of two limits, where no limit is the largest.
    pub(crate) fn larger(self, other: Self) -> Self {
        let larger = |one: u32, other: u32| if one == 0 || other == 0 { 0 } else { one.max(other) };
        Self {
            handshakes: self.handshakes.max(other.handshakes),
            connections_per_source: larger(self.connections_per_source, other.connections_per_source),
            handshakes_per_second: larger(self.handshakes_per_second, other.handshakes_per_second),
        }
    }
}

/// The source of a connection: an IPv4 address, or the 64 bits that one site of IPv6 has (RFC 6177 section 2).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Source(u128);

impl From<SocketAddr> for Source {
    fn from(address: SocketAddr) -> Self {
        match address.ip().to_canonical() {
            IpAddr::V4(v4) => Self(v4.to_ipv6_mapped().to_bits()),
            IpAddr::V6(v6) => Self(v6.to_bits() >> 64 << 64),
        }
    }
}

/// The reason a client is turned away.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Turned {
    /// The source has this many connections.
    Connections(u32),
    /// The source has begun this many handshakes within the last second.
    Rate(u32),
    /// A newer connection took the client's place among this many.
    Crowded(usize),
    /// This many admitted clients wait for a connection to end.
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
            Self::Waiting(count) => {
                write!(f, "{count} others wait for a connection to end (limits.connections, limits.waiting)")
            }
        }
    }
}

/// Counts and limits the connections at one address.
#[derive(Debug)]
pub(crate) struct Door {
    hall: Mutex<Hall>,
    /// Notifies one waiting connection that a seat may be free.
    left: Notify,
}

#[derive(Debug)]
struct Hall {
    limits: DoorLimits,
    /// The connections whose handshake is not done, the oldest first.
    inside: BTreeMap<u64, (Instant, Arc<Notify>)>,
    next: u64,
    /// The number of connections of each source; no more entries than connections.
    sources: HashMap<Source, u32>,
    /// The time until which each source has used up its rate.
    begun: LruCache<Source, Instant>,
}

/// A connection that passed the door, and counts while this is held.
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

    /// Sets the limits; connections with a seat keep it.
    pub(crate) fn set_limits(&self, limits: DoorLimits) {
        self.hall().limits = limits;
        self.left.notify_one();
    }

    /// Returns how much of each limit of this address is used.
    pub(super) fn usages(&self) -> [Usage; 3] {
        let hall = self.hall();
        let DoorLimits { handshakes, connections_per_source, handshakes_per_second } = hall.limits;
        let busiest = hall.sources.values().max().copied().unwrap_or(0);
        let fastest = if handshakes_per_second > 0 { hall.fastest(Instant::now()) } else { 0 };
        [
            Usage::new("handshakes", hall.inside.len(), Some(handshakes)),
            Usage::of_source("connections_per_source", busiest, connections_per_source),
            Usage::of_source("handshakes_per_second", fastest, handshakes_per_second),
        ]
    }

    /// Locks the counts. A panic elsewhere leaves no partial count.
    fn hall(&self) -> MutexGuard<'_, Hall> {
        self.hall.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts a connection from `remote` against the limits of its source.
    ///
    /// # Errors
    /// Returns the limit that the source has reached.
    pub(crate) fn enter(self: &Arc<Self>, remote: Option<SocketAddr>, now: Instant) -> Result<Guest, Turned> {
        let source = remote.map(Source::from);
        if let Some(source) = source {
            self.hall().count(source, now)?;
        }
        Ok(Guest { door: self.clone(), source, seat: None })
    }

    /// Waits for a seat for one more handshake. If all seats are taken, the oldest handshake makes room once it has
    /// had time enough: silence cannot keep others out.
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
        if let Some(rate) = Rate::in_a_second(handshakes_per_second) {
            let used_up = self.begun.get(&source).copied().unwrap_or(now);
            let next = rate.count(used_up, now).map_err(|_| Turned::Rate(handshakes_per_second))?;
            self.begun.put(source, next);
            if self.begun.len() > SOURCES.get() {
                self.begun.pop_lru();
            }
        }
        self.sources.insert(source, connections.saturating_add(1));
        Ok(())
    }

    /// Returns how many handshakes within the last second the source began that has used up most of its rate.
    fn fastest(&self, now: Instant) -> u32 {
        let used_up = self.begun.iter().map(|(_, until)| until.saturating_duration_since(now)).max();
        let part = used_up.unwrap_or_default().min(Duration::from_secs(1));
        let used = part.as_millis().saturating_mul(self.limits.handshakes_per_second.into()).div_ceil(1000);
        u32::try_from(used).unwrap_or(u32::MAX)
    }

    /// Returns a seat, or the time since which the oldest connection has had one.
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
    /// Counts a connection that came through a load balancer against the limits of its source.
    ///
    /// # Errors
    /// Returns the limit that the source has reached.
    pub(super) fn come_from(&mut self, remote: SocketAddr, now: Instant) -> Result<(), Turned> {
        let source = Source::from(remote);
        self.door.hall().count(source, now)?;
        self.source = Some(source);
        Ok(())
    }

    /// Waits until a newer connection takes the seat; for ever if there is no seat.
    pub(crate) async fn shown_out(&self) -> Turned {
        match &self.seat {
            Some((_, notify)) => notify.notified().await,
            None => std::future::pending().await,
        }
        Turned::Crowded(self.door.hall().limits.handshakes)
    }

    /// Frees the seat: the handshake is done, well or not, and another may begin.
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
    fn what_is_used_is_shown_beside_the_limit() {
        let door = door(9, 3, 4);
        let used = || door.usages().map(|usage| (usage.used, usage.at_most));
        assert_eq!(used(), [(0, Some(9)), (0, Some(3)), (0, Some(4))]);
        let guests = ["192.0.2.1", "192.0.2.1", "192.0.2.2"].map(|source| door.enter(from(source), Instant::now()));
        let [(0, Some(9)), (2, Some(3)), (1..=2, Some(4))] = used() else { panic!("{:?}", used()) };
        drop(guests);
        assert_eq!(used()[1], (0, Some(3)));
        door.set_limits(DoorLimits { handshakes: 1, connections_per_source: 0, handshakes_per_second: 0 });
        assert_eq!(used(), [(0, Some(1)), (0, None), (0, None)]);
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
