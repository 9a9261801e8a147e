//! The one place that reads the clock.

use pki_types::UnixTime;

/// The time now, for a machine whose clock is believed.
pub fn now() -> UnixTime {
    UnixTime::now()
}

/// The same, for what counts in the system's own terms.
pub fn system() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
