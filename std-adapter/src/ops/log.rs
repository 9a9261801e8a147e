//! Log lines that never reached the reader of the log.

use std::sync::atomic::{AtomicU64, Ordering};

/// A process has one log, so that its count belongs to the process too.
static LOST: AtomicU64 = AtomicU64::new(0);

/// Counts log lines as lost.
pub fn count_lost_lines(lines: u64) {
    LOST.fetch_add(lines, Ordering::Relaxed);
}

/// Returns the number of log lines lost since the start.
pub fn lost_lines() -> u64 {
    LOST.load(Ordering::Relaxed)
}
