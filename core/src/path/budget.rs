//! Work that one handshake may cost.

use super::error::{PathErrorKind, Resource};

/// Work that one handshake may cost. The caller's to set: a device and a server differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CA certificates between leaf and anchor, self-issued ones not counted (as RFC 5280 section 4.2.1.9 counts).
    pub intermediates: u8,
    /// Signatures checked.
    pub signature_checks: u16,
    /// Candidate issuers looked at; one whose name is long counts once more for each 64 octets of it.
    pub steps: u32,
    /// Names compared with name constraints.
    pub name_comparisons: u32,
}

impl Limits {
    /// For a microcontroller: a P-256 check costs it 10 million instructions.
    pub const DEVICE: Self = Self { intermediates: 4, signature_checks: 8, steps: 64, name_comparisons: 2_000 };
    /// For a server: whatever a peer sends, the verdict takes no more than about five milliseconds.
    pub const SERVER: Self = Self { intermediates: 8, signature_checks: 100, steps: 10_000, name_comparisons: 60_000 };
}

/// What is left of the limits; one for each handshake.
#[derive(Debug)]
pub struct Budget {
    left: Limits,
}

impl Budget {
    /// A full budget.
    pub const fn new(limits: Limits) -> Self {
        Self { left: limits }
    }

    /// What is left.
    pub fn left(&self) -> Limits {
        self.left
    }

    pub(super) fn signature_check(&mut self) -> Result<(), PathErrorKind> {
        let left = self.left.signature_checks.checked_sub(1);
        self.left.signature_checks = left.ok_or(PathErrorKind::Budget(Resource::SignatureChecks))?;
        Ok(())
    }

    /// A candidate with a name of this length, which is compared.
    pub(super) fn step(&mut self, name: usize) -> Result<(), PathErrorKind> {
        let cost = u32::try_from(name / 64).unwrap_or(u32::MAX).saturating_add(1);
        self.left.steps = self.left.steps.checked_sub(cost).ok_or(PathErrorKind::Budget(Resource::Steps))?;
        Ok(())
    }

    pub(super) fn name_comparison(&mut self) -> Result<(), PathErrorKind> {
        let left = self.left.name_comparisons.checked_sub(1);
        self.left.name_comparisons = left.ok_or(PathErrorKind::Budget(Resource::NameComparisons))?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_resource_runs_out_by_name() {
        let mut budget = Budget::new(Limits { intermediates: 0, signature_checks: 1, steps: 0, name_comparisons: 1 });
        assert_eq!(budget.signature_check(), Ok(()));
        assert_eq!(budget.signature_check(), Err(PathErrorKind::Budget(Resource::SignatureChecks)));
        assert_eq!(budget.step(1), Err(PathErrorKind::Budget(Resource::Steps)));
        assert_eq!(budget.name_comparison(), Ok(()));
        assert_eq!(budget.name_comparison(), Err(PathErrorKind::Budget(Resource::NameComparisons)));
    }
}
