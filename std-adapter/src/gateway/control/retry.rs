//! Decides when another gateway is dialled again, and what is said of the end of a connection. It has no clock of its own.

use std::time::Duration;

use tokio::time::Instant;

use super::close_reason::CloseReason;
use super::dialogue::Dialogue;

/// The waits after a failure, which double from the first to the last.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LAST_WAIT: Duration = Duration::from_secs(60);
/// The longest wait where the other side does not know the control channel: its program may be updated after this one.
const LAST_UNKNOWN_WAIT: Duration = Duration::from_secs(3600);
/// Gateways are dialled one after the other, at this distance.
const APART: Duration = Duration::from_millis(5);
/// A connection that lasted for so long was a good one.
const GOOD: Duration = Duration::from_secs(60);

/// The ends of the connections to one gateway.
#[derive(Debug, Default)]
pub struct Retry {
    /// The failures in a row.
    failures: u32,
    /// The last one that was warned of.
    told: String,
}

/// The result of an end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ended {
    /// The words for the log.
    pub notice: Notice,
    /// The wait before the next connection.
    pub wait: Duration,
}

/// The loudness of an end in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Nobody needs to know.
    Debug,
    /// Somebody may want to know.
    Info,
    /// Somebody should look.
    Warn,
}

impl Retry {
    /// Returns the wait before the first connection to the gateway of this number.
    pub fn first_wait(number: u32) -> Duration {
        APART.saturating_mul(number)
    }

    /// Notes that a connection was good.
    pub fn succeeded(&mut self) {
        *self = Self::default();
    }

    /// Takes the end of a connection; `dialogue` is none where the other side has not agreed to speak.
    pub fn ended(&mut self, ended: &CloseReason, dialogue: Option<&Dialogue>, now: Instant) -> Ended {
        let waited = dialogue.is_some_and(Dialogue::has_waited);
        let lasted = dialogue.is_some_and(|dialogue| now.saturating_duration_since(dialogue.since()) >= GOOD);
        let good = (waited || lasted) && !ended.is_fault();
        if waited || good {
            self.failures = 0;
        }
        self.failures = self.failures.saturating_add(1);
        let reason = ended.to_string();
        let notice = match ended {
            CloseReason::Unknown => Notice::Info,
            // A restart there, or the end of the connection's time.
            _ if good => {
                self.told.clear();
                Notice::Debug
            }
            ended if self.failures <= ended.tolerated() || reason == self.told => Notice::Debug,
            _ => {
                self.told = reason;
                Notice::Warn
            }
        };
        Ended { notice, wait: wait_after(ended, self.failures) }
    }
}

/// Returns the wait after so many failures in a row.
fn wait_after(ended: &CloseReason, failures: u32) -> Duration {
    let doubled = |first: Duration| first.saturating_mul(2_u32.saturating_pow(failures.saturating_sub(1)));
    match ended {
        CloseReason::Unknown => doubled(LAST_WAIT).min(LAST_UNKNOWN_WAIT),
        // Somebody has to do something before this changes.
        CloseReason::Refused(_) | CloseReason::Refuses(_) => LAST_WAIT,
        _ => doubled(FIRST_WAIT).min(LAST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_double_up_to_a_minute() {
        let wait = |failures| wait_after(&CloseReason::AtOnce, failures).as_secs();
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 99, u32::MAX].map(wait), [1, 2, 4, 8, 16, 32, 60, 60, 60]);
        assert_eq!(wait_after(&CloseReason::Refuses(String::new()), 1), LAST_WAIT);
        assert_eq!(wait_after(&CloseReason::Unknown, 9), Duration::from_secs(3600));
    }

    #[test]
    fn a_good_connection_begins_the_waits_anew_and_a_fault_does_not() {
        let (mut retry, now) = (Retry::default(), Instant::now());
        let good = Dialogue::new(now);
        let later = now + GOOD;
        let silent = || CloseReason::Silent(Duration::ZERO);
        let waits: Vec<_> = (0..3).map(|_| retry.ended(&silent(), None, now).wait.as_secs()).collect();
        assert_eq!(waits, [1, 2, 4]);
        let ended = retry.ended(&silent(), Some(&good), later);
        assert_eq!(ended, Ended { notice: Notice::Debug, wait: FIRST_WAIT });
        assert_eq!(retry.ended(&CloseReason::Known, Some(&good), later).wait.as_secs(), 2);
    }
}
