//! Counts for how long the device has made no progress.

use core::sync::atomic::{AtomicU32, Ordering};

/// The seconds since the last call of [`alive`].
static SILENT_S: AtomicU32 = AtomicU32::new(0);

/// Notes that the device makes progress.
pub fn alive() {
    SILENT_S.store(0, Ordering::Relaxed);
}

/// Counts a second; returns the seconds without progress before it.
pub fn silent_for() -> u32 {
    SILENT_S.fetch_add(1, Ordering::Relaxed)
}
