//! What is known of the time. Time is always an argument: nothing in this crate reads a clock.

use pki_types::UnixTime;

/// What a device knows of the time. Only [`TrustedTime::Known`] lets a chain be accepted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TrustedTime {
    /// Nothing is known: no certificate can be judged.
    Unknown,
    /// Build date, or the highest time a store has seen: enough to refuse what has expired, not to accept.
    AtLeast(UnixTime),
    /// From a source that is believed.
    Known(UnixTime),
}
