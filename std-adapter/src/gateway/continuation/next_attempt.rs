//! The time at which to try again to continue a session.

use std::time::Duration;

use pki_types::UnixTime;
use tokio::time::Instant;

use crate::clock;

/// The least time between two attempts to continue a session, and the time after one whose certificates have expired.
const LEAST_WAIT: Duration = Duration::from_secs(1);
const EXPIRED_WAIT: Duration = Duration::from_secs(5);

/// The time of the next attempt, by both clocks: one may be set, and the other may stand still while a machine sleeps.
#[derive(Clone, Copy, Debug)]
pub(super) struct NextAttempt {
    by_clock: UnixTime,
    by_timer: Instant,
}

impl NextAttempt {
    pub(super) fn after(wait: Duration) -> Self {
        let (now, timer) = (clock::now(), Instant::now());
        Self {
            // The clock has whole seconds, and this one has begun.
            by_clock: UnixTime::since_unix_epoch(
                Duration::from_secs(now.as_secs().saturating_add(1)).saturating_add(wait),
            ),
            by_timer: timer.checked_add(wait).unwrap_or(timer),
        }
    }

    /// Returns the time for a session that is authorized until another one: at half of what is left.
    pub(super) fn before(until: UnixTime) -> Self {
        let left = Duration::from_secs(until.as_secs().saturating_sub(clock::now().as_secs()));
        let half = left.checked_div(2).unwrap_or_default();
        Self::after(if left.is_zero() { EXPIRED_WAIT } else { half.max(LEAST_WAIT) })
    }

    /// Returns this time, or the one after a wait if that comes first.
    pub(super) fn or_after(self, wait: Duration) -> Self {
        let other = Self::after(wait);
        Self { by_clock: self.by_clock.min(other.by_clock), by_timer: self.by_timer.min(other.by_timer) }
    }

    /// Returns the time after the least wait.
    pub(super) fn soon() -> Self {
        Self::after(LEAST_WAIT)
    }

    pub(super) fn is_due(&self) -> bool {
        self.by_timer <= Instant::now() || self.by_clock <= clock::now()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn after(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(clock::now().as_secs() + seconds))
    }

    #[test]
    fn attempts_keep_their_distance() {
        let wait = |until: UnixTime| {
            let wait = NextAttempt::before(until).by_timer.duration_since(Instant::now());
            wait.as_secs_f64().round() as u64
        };
        assert_eq!([10_000, 100, 11, 10, 2, 0].map(|left| wait(after(left))), [5_000, 50, 5, 5, 1, 5]);
        assert_eq!(wait(UnixTime::since_unix_epoch(Duration::ZERO)), 5);
    }
}
