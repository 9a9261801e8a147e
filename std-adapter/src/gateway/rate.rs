//! Counts events against a rate: the generic cell rate algorithm (ITU-T I.371 annex A) in virtual scheduling, which keeps
//! one time for each source.

use std::time::Duration;

use tokio::time::Instant;

/// So many events at once, and one more after each interval.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Rate {
    pub(crate) burst: u32,
    pub(crate) interval: Duration,
}

impl Rate {
    /// Returns the rate of so many events in a second, all of which may come at once; none for 0, which is no limit.
    pub(crate) fn in_a_second(burst: u32) -> Option<Self> {
        Duration::from_secs(1).checked_div(burst).map(|interval| Self { burst, interval })
    }

    /// Counts an event; `used_up` is the time at which all events before are forgotten, and the later one is returned.
    ///
    /// # Errors
    /// Returns the wait for the next event. Nothing is counted then.
    pub(crate) fn count(self, used_up: Instant, now: Instant) -> Result<Instant, Duration> {
        let next = used_up.max(now).checked_add(self.interval).unwrap_or(used_up);
        let longest = self.interval.saturating_mul(self.burst);
        match next.saturating_duration_since(now).checked_sub(longest) {
            None | Some(Duration::ZERO) => Ok(next),
            Some(wait) => Err(wait),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_and_then_one_for_each_interval() {
        for burst in [1, 3, 7, 1000] {
            let (rate, now) = (Rate::in_a_second(burst).unwrap(), Instant::now());
            let mut used_up = now;
            for _ in 0..burst {
                used_up = rate.count(used_up, now).unwrap();
            }
            assert_eq!(rate.count(used_up, now), Err(rate.interval), "{burst}");
            let later = now + rate.interval;
            used_up = rate.count(used_up, later).unwrap();
            assert_eq!(rate.count(used_up, later), Err(rate.interval), "{burst}");
            // What was not used is not saved up.
            let (mut used_up, much_later) = (used_up, now + Duration::from_secs(3600));
            for _ in 0..burst {
                used_up = rate.count(used_up, much_later).unwrap();
            }
            rate.count(used_up, much_later).unwrap_err();
        }
        assert!(Rate::in_a_second(0).is_none());
    }
}
