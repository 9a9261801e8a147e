//! The one place that reads the clock.

use pki_types::UnixTime;

/// The time now, for a machine whose clock is believed.
pub fn now() -> UnixTime {
    UnixTime::now()
}
