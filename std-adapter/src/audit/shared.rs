//! Holds what those who record share with the thread that writes.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use arc_swap::ArcSwapOption;
use tracing::error;

use super::fold::Folds;
use super::queue::Queue;

/// The state of a log.
#[derive(Default)]
pub(super) struct Shared {
    pub(super) queue: Queue,
    folds: Mutex<Folds>,
    /// The file, once the thread runs.
    file: Mutex<Option<PathBuf>>,
    /// True while there is a file.
    pub(super) on: AtomicBool,
    /// True once the thread runs.
    pub(super) runs: AtomicBool,
    pub(super) written: AtomicU64,
    pub(super) lost: AtomicU64,
    /// The reason that the last line was lost, until a line is written.
    pub(super) fault: ArcSwapOption<String>,
}

impl Shared {
    pub(super) fn file(&self) -> MutexGuard<'_, Option<PathBuf>> {
        self.file.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn folds(&self) -> MutexGuard<'_, Folds> {
        self.folds.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts lines as lost.
    pub(super) fn lose(&self, lines: u64, reason: &str) {
        self.lost.fetch_add(lines, Ordering::Relaxed);
        let before = self.fault.swap(Some(Arc::new(reason.to_owned())));
        if before.is_none() {
            error!("audit lines are lost: {reason}");
        }
    }
}
