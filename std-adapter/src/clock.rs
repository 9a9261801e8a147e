//! Reads the clock; no other module does.

use pki_types::UnixTime;

/// Returns the current time, for a machine whose clock is trusted.
pub fn now() -> UnixTime {
    UnixTime::now()
}

/// Returns the current time as a `SystemTime`.
#[cfg(feature = "cli")]
pub fn system() -> std::time::SystemTime {
    std::time::SystemTime::now()
}
