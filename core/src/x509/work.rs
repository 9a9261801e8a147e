//! Counts the work that untrusted octets may cost.

/// The units of work that are left. One unit is the work of looking at one octet with care: some sixteen instructions
/// of a server's processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Work(u32);

/// The error that no work is left.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Exhausted;

impl Work {
    /// More work than any certificate can cost, for trusted certificates.
    pub const UNLIMITED: Self = Self(u32::MAX);

    /// Creates this many units of work.
    pub const fn new(units: u32) -> Self {
        Self(units)
    }

    /// Returns the units that are left.
    pub const fn left(self) -> u32 {
        self.0
    }

    /// Spends units, before the work is done.
    ///
    /// # Errors
    /// [`Exhausted`] if fewer units are left; then none remain.
    pub fn spend(&mut self, units: usize) -> Result<(), Exhausted> {
        let left = u32::try_from(units).ok().and_then(|units| self.0.checked_sub(units));
        self.0 = left.unwrap_or(0);
        left.map(|_| ()).ok_or(Exhausted)
    }

    /// Spends the cost of comparing octets for identity.
    ///
    /// # Errors
    /// As [`Work::spend`].
    pub fn spend_identity(&mut self, octets: usize) -> Result<(), Exhausted> {
        self.spend((octets / 16).saturating_add(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_exhausted_stays_so() {
        let mut work = Work::new(10);
        assert_eq!(work.spend(10), Ok(()));
        assert_eq!(work.spend(0), Ok(()));
        let mut work = Work::new(10);
        assert_eq!(work.spend(11), Err(Exhausted));
        assert_eq!((work.spend(1), work.left()), (Err(Exhausted), 0));
        assert_eq!(Work::new(u32::MAX).spend(usize::MAX), Err(Exhausted));
    }
}
