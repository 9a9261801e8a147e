//! Work that one handshake may cost.
/// Work that one handshake may cost. The caller's to set: a device and a server differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// CA certificates between leaf and anchor, self-issued ones not counted (RFC 5280 section 4.2.1.9).
    pub intermediates: u8,
    /// Signatures checked.
    pub signature_checks: u16,
    /// Candidate issuers looked at.
    pub steps: u32,
    /// Names compared with name constraints.
    pub name_comparisons: u32,
}
impl Limits {
    /// For a microcontroller.
    pub const DEVICE: Self = Self { intermediates: 4, signature_checks: 8, steps: 64, name_comparisons: 2_000 };
    /// For a server.
    pub const SERVER: Self = Self { intermediates: 8, signature_checks: 100, steps: 10_000, name_comparisons: 250_000 };
}
/// What is left of the limits.
#[derive(Debug)]
pub struct Budget {
    pub(super) left: Limits,
}
impl Budget {
    /// A full budget.
    pub const fn new(limits: Limits) -> Self {
        Self { left: limits }
    }
}
