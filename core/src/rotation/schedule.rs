//! Computes renewal points, waits and jitter: pure functions of policy and time.

use core::time::Duration;

use pki_types::UnixTime;

use super::state::{Failure, FailureKind, SlotCertificate};

/// An operator's settings for the rotation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Policy {
    /// The time before its end at which a certificate is renewed.
    pub renew_before_s: u32,
    /// The time for which a new certificate may be reverted; 0 confirms at once.
    pub trial_s: u32,
    /// The time that an issuer may take.
    pub issue_timeout_s: u32,
    /// The wait after the first failure; later waits double.
    pub backoff_first_s: u32,
    /// The longest wait that the CA did not ask for.
    pub backoff_max_s: u32,
    /// The longest wait that a CA may ask for.
    pub retry_after_max_s: u32,
    /// There is a manual certificate to fall back to.
    pub fallback: bool,
    /// The driver keeps an issued certificate until it is written, and retries failed writes. A driver without memory
    /// for this orders a new certificate.
    pub keeps_issued: bool,
    /// The seed that spreads a fleet: different on each gateway, the same after a restart.
    pub seed: u64,
}

impl Default for Policy {
    /// A policy for certificates of a day: renewed after sixteen hours, retried at least every quarter of an hour.
    fn default() -> Self {
        Self {
            renew_before_s: 8 * 3600,
            trial_s: 0,
            issue_timeout_s: 600,
            backoff_first_s: 30,
            backoff_max_s: 900,
            retry_after_max_s: 24 * 3600,
            fallback: false,
            keeps_issued: true,
            seed: 0,
        }
    }
}

/// The difference between a CA's clock and ours that raises no alarm.
const CLOCK_TOLERANCE_S: u64 = 300;

/// `time` plus seconds.
pub(super) fn after(time: UnixTime, seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs().saturating_add(seconds)))
}

/// `time` minus seconds, 1970 at the earliest.
pub(super) fn before(time: UnixTime, seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(time.as_secs().saturating_sub(seconds)))
}

/// Returns one of `0..=most`, the same for the same seed and salt (splitmix64: it spreads, it need not be secret).
fn spread(seed: u64, salt: u64, most: u64) -> u64 {
    let mut z = seed.wrapping_add(salt.wrapping_mul(0x9e37_79b9_7f4a_7c15)).wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^= z >> 31;
    let share = u128::from(z).wrapping_mul(u128::from(most).wrapping_add(1)) >> 64;
    u64::try_from(share).unwrap_or(most)
}

impl Policy {
    /// The time before its end at which a certificate is renewed: as configured, or a third of the lifetime where the
    /// configured time exceeds two thirds of it and renewal would never end (RFC 9773 section 4.2 and step renew after
    /// two thirds too).
    pub fn lead_s(&self, credential: &SlotCertificate) -> u64 {
        let (wanted, lifetime) = (u64::from(self.renew_before_s), credential.lifetime_s());
        if wanted <= lifetime.saturating_mul(2) / 3 { wanted } else { lifetime / 3 }
    }

    /// The renewal time: an eighth of the time up to then is spread over the fleet, always to the early side.
    pub fn renewal_point(&self, credential: &SlotCertificate) -> UnixTime {
        let lead = self.lead_s(credential);
        let fresh = credential.lifetime_s().saturating_sub(lead);
        let jitter = spread(self.seed, credential.not_after.as_secs(), fresh / 8);
        before(credential.not_after, lead.saturating_add(jitter))
    }

    /// The renewal point; where the clock says that the certificate is not valid yet, as if it were valid from now on.
    fn renewal_from(&self, credential: &SlotCertificate, now: UnixTime) -> UnixTime {
        let point = self.renewal_point(credential);
        let fresh = point.as_secs().saturating_sub(credential.start().as_secs());
        point.min(after(now, fresh))
    }

    /// The renewal time of a certificate that begins its service now. Never at once, whatever its dates are, or a CA
    /// with wrong dates would be asked without end; where service begins late, because the disk was full for instance,
    /// no later than after the longest wait.
    pub(super) fn first_renewal(&self, credential: &SlotCertificate, now: UnixTime) -> UnixTime {
        let remaining = credential.remaining_s(now).min(credential.lifetime_s());
        let gap = (remaining / 4).clamp(1, u64::from(self.backoff_max_s).max(1));
        self.renewal_from(credential, now).max(after(now, gap))
    }

    /// The renewal time after a restart. Where it is now, the certificate's last hours are spread over the fleet.
    pub(super) fn renewal_after_restart(&self, credential: &SlotCertificate, now: UnixTime) -> UnixTime {
        let spread = spread(self.seed, now.as_secs(), (credential.remaining_s(now) / 16).min(300));
        self.renewal_from(credential, now).max(after(now, spread))
    }

    /// A time in the CA's window (RFC 9773 section 4.2); none where the window is malformed. Not at once after the
    /// last renewal: a window that is always in the past would renew without end.
    pub(super) fn suggestion(
        &self,
        credential: &SlotCertificate,
        start: UnixTime,
        end: UnixTime,
        now: UnixTime,
    ) -> Option<UnixTime> {
        let width = end.as_secs().checked_sub(start.as_secs()).filter(|width| *width > 0)?;
        let point = after(start, spread(self.seed, start.as_secs() ^ end.as_secs(), width));
        let gap = (credential.lifetime_s() / 100).clamp(1, 3600);
        Some(point.max(after(credential.start(), gap)).max(now))
    }

    /// The time from which a certificate is not shown: with a fallback, a little before its end, so that no handshake
    /// meets an expired certificate; without one, after `not_after`, the last valid second (RFC 5280 section 4.1.2.5).
    pub(super) fn left_at(&self, credential: &SlotCertificate, has_fallback: bool) -> UnixTime {
        if has_fallback {
            before(credential.not_after, (credential.lifetime_s() / 100).min(60))
        } else {
            after(credential.not_after, 1)
        }
    }

    /// Returns whether the certificate was issued in the future by this clock, beyond the tolerance.
    pub(super) fn is_ahead(&self, credential: &SlotCertificate, now: UnixTime) -> bool {
        credential.not_before > after(now, CLOCK_TOLERANCE_S)
    }

    /// The time at which an issuer has taken too long: soon with short certificates.
    pub(super) fn give_up_at(&self, active: Option<&SlotCertificate>, now: UnixTime) -> UnixTime {
        let patience = u64::from(self.issue_timeout_s);
        let patience = active.map_or(patience, |active| patience.min((active.lifetime_s() / 2).max(30)));
        after(now, patience.max(1))
    }

    /// The wait after `attempt` failures, in seconds: doubling, jittered over its upper half, and never so long that
    /// less than seven eighths of the remaining validity are left for the next attempt.
    pub(super) fn backoff_s(&self, attempt: u8, active: Option<&SlotCertificate>, now: UnixTime) -> u64 {
        let (first, max) = (u64::from(self.backoff_first_s), u64::from(self.backoff_max_s));
        let (first, max) = match active {
            None => (first, max),
            Some(active) => {
                let first = first.min(active.lifetime_s() / 200);
                match active.remaining_s(now) {
                    // Peers refuse the certificate already: one that lives for minutes cannot wait for a quarter of an
                    // hour.
                    0 => (first, max.min((active.lifetime_s() / 8).max(u64::from(self.backoff_first_s)))),
                    remaining => (first, max.min((remaining / 8).max(first))),
                }
            }
        };
        let doublings = u32::from(attempt.saturating_sub(1)).min(32);
        let wait = first.max(1).saturating_mul(1 << doublings).min(max.max(1));
        let half = wait / 2;
        let salt = now.as_secs() ^ u64::from(attempt).rotate_left(56);
        wait.saturating_sub(half).saturating_add(spread(self.seed, salt, half)).max(1)
    }

    /// The time of the next attempt. A wait that the CA asks for is honoured up to `retry_after_max_s`.
    pub(super) fn retry_at(
        &self,
        attempt: u8,
        failure: Failure,
        active: Option<&SlotCertificate>,
        now: UnixTime,
    ) -> UnixTime {
        let own = match failure.kind {
            FailureKind::Transient => self.backoff_s(attempt, active, now),
            // Our own longest wait, spread: a CA that refused does not change its mind in seconds.
            FailureKind::RateLimited | FailureKind::Refused => self.backoff_s(u8::MAX, active, now),
        };
        let wished = failure.retry_after_s.unwrap_or(0).min(self.retry_after_max_s);
        after(now, own.max(u64::from(wished)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Slot;

    const HOUR: u64 = 3600;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_700_000_000 + seconds))
    }

    fn lives(seconds: u64) -> SlotCertificate {
        SlotCertificate { slot: Slot::A, not_before: at(0), not_after: at(seconds), received: at(0) }
    }

    #[test]
    fn renewal_is_as_configured_or_after_two_thirds() {
        for (renew_before, lifetime, lead) in [
            (8 * HOUR, 24 * HOUR, 8 * HOUR),
            (8 * HOUR, 12 * HOUR, 8 * HOUR),
            (8 * HOUR, 11 * HOUR, 11 * HOUR / 3),
            (8 * HOUR, 60, 20),
            (30 * 24 * HOUR, 90 * 24 * HOUR, 30 * 24 * HOUR),
            (8 * HOUR, 0, 0),
        ] {
            let policy = Policy { renew_before_s: u32::try_from(renew_before).unwrap(), ..Policy::default() };
            assert_eq!(policy.lead_s(&lives(lifetime)), lead, "{renew_before} of {lifetime}");
        }
    }

    #[test]
    fn a_backdated_certificate_lives_from_when_it_was_received() {
        let day = 24 * HOUR;
        let backdated = |received| SlotCertificate { received: at(received), ..lives(day + 300) };
        for seed in 0..100 {
            let policy = Policy { seed, ..Policy::default() };
            // Five minutes are left: renewed after two thirds of these, an eighth of the time spread to the early
            // side.
            let renewal = policy.first_renewal(&backdated(day), at(day)).as_secs() - at(day).as_secs();
            assert!((175..=200).contains(&renewal), "{renewal}");
            // A restart changes nothing.
            let again = policy.renewal_after_restart(&backdated(day), at(day + 60)).as_secs() - at(day).as_secs();
            assert_eq!(again, renewal);
            // A day of life is as it was.
            assert_eq!(policy.lead_s(&backdated(60)), 8 * HOUR);
        }
        assert_eq!(backdated(2 * day).lifetime_s(), 0);
        assert_eq!(SlotCertificate { received: at(0), not_before: at(10), ..lives(5) }.lifetime_s(), 0);
    }

    #[test]
    fn a_fleet_spreads_over_an_eighth_of_the_fresh_time() {
        let mut hours = [0_i32; 3];
        for seed in 0..6000 {
            let point = Policy { seed, ..Policy::default() }.renewal_point(&lives(24 * HOUR));
            let early = at(16 * HOUR).as_secs() - point.as_secs();
            hours[usize::try_from(early / HOUR).unwrap()] += 1;
        }
        assert_eq!(hours[2], 0);
        assert!(hours[0].abs_diff(3000) < 300, "{hours:?}");
    }

    #[test]
    fn waits_double_up_to_the_most_and_shrink_towards_the_end() {
        let policy = Policy::default();
        let bounds = |attempt: u8, active: Option<&SlotCertificate>, now: u64| {
            let waits = (0..500).map(|seed| Policy { seed, ..policy }.backoff_s(attempt, active, at(now)));
            (waits.clone().min().unwrap(), waits.max().unwrap())
        };
        let day = lives(24 * HOUR);
        assert_eq!(bounds(1, Some(&day), 16 * HOUR), (15, 30));
        assert_eq!(bounds(2, Some(&day), 16 * HOUR), (30, 60));
        assert_eq!(bounds(9, Some(&day), 16 * HOUR), (450, 900));
        assert_eq!(bounds(u8::MAX, Some(&day), 23 * HOUR), (225, 450));
        assert_eq!(bounds(u8::MAX, Some(&day), 24 * HOUR - 60), (15, 30));
        assert_eq!(bounds(u8::MAX, Some(&day), 25 * HOUR), (450, 900));
        assert_eq!(bounds(1, None, 0), (15, 30));
        let minute = lives(60);
        assert_eq!(bounds(9, Some(&minute), 40), (1, 2));
        assert_eq!(bounds(u8::MAX, Some(&minute), 61), (15, 30));
    }

    #[test]
    fn the_ca_is_heard_within_bounds() {
        let day = lives(24 * HOUR);
        let retry = |kind, retry_after_s| {
            Policy::default().retry_at(1, Failure { kind, retry_after_s }, Some(&day), at(0)).as_secs()
                - at(0).as_secs()
        };
        assert!((15..=30).contains(&retry(FailureKind::Transient, None)));
        assert_eq!(retry(FailureKind::Transient, Some(3600)), 3600);
        assert!((450..=900).contains(&retry(FailureKind::RateLimited, Some(1))));
        assert!((450..=900).contains(&retry(FailureKind::Refused, None)));
        assert_eq!(retry(FailureKind::RateLimited, Some(u32::MAX)), 24 * HOUR);
    }

    #[test]
    fn a_window_in_the_past_is_now_but_not_without_end() {
        let policy = Policy::default();
        let day = lives(24 * HOUR);
        assert_eq!(policy.suggestion(&day, at(0), at(1), at(7 * HOUR)), Some(at(7 * HOUR)));
        assert_eq!(policy.suggestion(&day, at(0), at(1), at(0)), Some(at(24 * HOUR / 100)));
        assert_eq!(policy.suggestion(&day, at(5), at(5), at(0)), None);
        assert_eq!(policy.suggestion(&day, at(6), at(5), at(0)), None);
    }
}
