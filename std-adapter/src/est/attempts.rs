//! Limits attempts to guess a voucher's password.
//!
//! An attempt of a source is counted when it begins and given back when its password was right, so that many at once are
//! not more than allowed, and devices with vouchers cost nothing. The wrong ones of all sources together are counted once
//! they are known to be wrong: this limits what they leave in the logs, and whoever has many addresses keeps no device
//! out that has an address of its own.

use std::fmt;
use std::net::SocketAddr;
use std::num::NonZeroUsize;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use lru::LruCache;
use tokio::time::Instant;

use crate::gateway::{Rate, Source};

/// The number of sources that are known; the least recent one is forgotten first, and may begin anew.
const SOURCES: NonZeroUsize = NonZeroUsize::new(4096).expect("it is above zero");

/// The wrong attempts of one source, and of all: so many at once, and one more after each time.
const OF_ONE: Rate = Rate { burst: 10, interval: Duration::from_secs(10) };
const OF_ALL: Rate = Rate { burst: 200, interval: Duration::from_millis(100) };

/// The attempts so far.
#[derive(Debug)]
pub(super) struct Attempts(Mutex<Known>);

#[derive(Debug)]
struct Known {
    sources: LruCache<Source, Instant>,
    all: Instant,
}

/// The reason that no attempt is allowed now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct TooMany {
    /// True if all sources together had too many.
    pub(super) of_all: bool,
    /// The time until the next attempt.
    pub(super) wait: Duration,
}

impl fmt::Display for TooMany {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (whose, rate) = if self.of_all { ("all sources", OF_ALL) } else { ("its source", OF_ONE) };
        let Rate { burst, interval } = rate;
        write!(f, "too many wrong attempts of {whose}: {burst} at once, and one each {interval:?}")
    }
}

/// An attempt that counts as wrong unless it is given back.
#[derive(Debug)]
#[must_use]
pub(super) struct Attempt(Source);

impl Default for Attempts {
    fn default() -> Self {
        Self(Mutex::new(Known { sources: LruCache::new(SOURCES), all: Instant::now() }))
    }
}

impl Attempts {
    /// Counts an attempt of a source.
    ///
    /// # Errors
    /// Fails if the source has had too many; nothing is counted then.
    pub(super) fn begin(&self, remote: SocketAddr, now: Instant) -> Result<Attempt, TooMany> {
        let source = Source::from(remote);
        let mut known = self.known();
        let before = known.sources.get(&source).copied().unwrap_or(now);
        let own = OF_ONE.count(before, now).map_err(|wait| TooMany { of_all: false, wait })?;
        known.sources.put(source, own);
        Ok(Attempt(source))
    }

    /// Counts a wrong attempt among those of all sources.
    ///
    /// # Errors
    /// Fails if there were too many; nothing is counted then.
    pub(super) fn was_wrong(&self, now: Instant) -> Result<(), TooMany> {
        let mut known = self.known();
        known.all = OF_ALL.count(known.all, now).map_err(|wait| TooMany { of_all: true, wait })?;
        Ok(())
    }

    /// Gives back an attempt that was right.
    pub(super) fn give_back(&self, attempt: Attempt) {
        let mut known = self.known();
        if let Some(free_at) = known.sources.get_mut(&attempt.0) {
            *free_at = free_at.checked_sub(OF_ONE.interval).unwrap_or(*free_at);
        }
    }

    fn known(&self) -> std::sync::MutexGuard<'_, Known> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(number: u32) -> SocketAddr {
        SocketAddr::from((number.to_be_bytes(), 1))
    }

    #[test]
    fn a_source_has_its_attempts_and_waits_for_more() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        let wrong = |of: u32, now| attempts.begin(source(of), now).map(drop);
        for _ in 0..10 {
            wrong(1, now).unwrap();
        }
        let too_many = wrong(1, now).unwrap_err();
        assert_eq!((too_many.of_all, too_many.wait), (false, Duration::from_secs(10)));
        assert_eq!(too_many.to_string(), "too many wrong attempts of its source: 10 at once, and one each 10s");
        wrong(2, now).unwrap();
        // One site of IPv6 is one source.
        let site = |low: u16| SocketAddr::from(([0x2001, 0xdb8, 0, 7, 0, 0, 0, low], 1));
        (0..10).for_each(|low| drop(attempts.begin(site(low), now).unwrap()));
        attempts.begin(site(11), now).unwrap_err();
        let later = now + Duration::from_secs(10);
        wrong(1, later).unwrap();
        wrong(1, later).unwrap_err();
        let much_later = now + Duration::from_secs(3600);
        assert_eq!((0..20).filter(|_| wrong(1, much_later).is_ok()).count(), 10);
    }

    #[test]
    fn thousands_of_guessing_sources_keep_no_device_out_and_memory_has_a_limit() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for of in 0..10_000 {
            drop(attempts.begin(source(of), now).unwrap());
            let wrong = attempts.was_wrong(now);
            assert_eq!(wrong.is_ok(), of < 200, "{of}: {wrong:?}");
        }
        let too_many = attempts.was_wrong(now).unwrap_err();
        assert_eq!(too_many.to_string(), "too many wrong attempts of all sources: 200 at once, and one each 100ms");
        attempts.was_wrong(now + Duration::from_millis(100)).unwrap();
        // A device whose password is right, from an address of its own.
        let attempt = attempts.begin(source(7_000_000), now).unwrap();
        attempts.give_back(attempt);
        for second in 0..3600 {
            for of in 0..20 {
                drop(attempts.begin(source(second * 20 + of), now + Duration::from_secs(second.into())));
            }
        }
        assert_eq!(attempts.known().sources.len(), SOURCES.get());
    }

    #[test]
    fn right_passwords_cost_nothing() {
        let (attempts, now) = (Attempts::default(), Instant::now());
        for _ in 0..1000 {
            let attempt = attempts.begin(source(1), now).unwrap();
            attempts.give_back(attempt);
        }
        assert_eq!((0..20).filter(|_| attempts.begin(source(1), now).is_ok()).count(), 10);
    }
}
