//! Computes how long flash lasts that certificates are stored in.

use super::schedule::Policy;
use super::state::SlotCertificate;

/// The erases of a sector that flash is made for.
pub const ERASES: u64 = 10_000;
/// The slots, which are erased in turn.
const SLOTS: u64 = 2;
/// The time in seconds that flash has to last: ten years.
pub const LEAST_LIFE_S: u64 = 10 * 31_557_600;

impl Policy {
    /// Returns the seconds that flash lasts if each renewal is for a certificate like this one, at the shortest time
    /// between two renewals.
    pub fn flash_life_s(&self, credential: &SlotCertificate) -> u64 {
        let fresh = credential.lifetime_s().saturating_sub(self.lead_s(credential));
        // An eighth is spread over the fleet.
        fresh.saturating_sub(fresh / 8).saturating_mul(ERASES).saturating_mul(SLOTS)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Slot;
    use core::time::Duration;
    use pki_types::UnixTime;

    #[test]
    fn short_certificates_wear_flash_out() {
        let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        let of =
            |lifetime| SlotCertificate { slot: Slot::A, not_before: at(0), not_after: at(lifetime), received: at(0) };
        let days = |policy: &Policy, lifetime| policy.flash_life_s(&of(lifetime)) / 86_400;
        let policy = Policy::default();
        assert_eq!(days(&policy, 3_600), 486);
        assert_eq!(days(&policy, 86_400), 11_666);
        // The bound is between these two.
        assert!(policy.flash_life_s(&of(27_000)) < LEAST_LIFE_S);
        assert!(policy.flash_life_s(&of(27_060)) >= LEAST_LIFE_S);
        // Half a day's certificate is fresh for four hours.
        assert_eq!(days(&policy, 43_200), 2_916);
        assert!(Policy { renew_before_s: 3 * 3600, ..policy }.flash_life_s(&of(43_200)) >= LEAST_LIFE_S);
        assert_eq!(policy.flash_life_s(&of(0)), 0);
    }
}
