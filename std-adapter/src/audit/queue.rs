//! Queues lines for the thread that writes them, bounded by their octets.

use std::collections::VecDeque;
use std::mem;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::Semaphore;

use super::file::AuditFile;

/// The number of octets that may wait for the disk.
const CAPACITY: usize = 1024 * 1024;

/// A step of the thread.
pub(super) enum Item {
    Line(Vec<u8>),
    /// Lines go to this file from here on, or nowhere.
    File(Option<AuditFile>),
}

/// The steps that wait.
pub(super) struct Queue {
    /// A permit for each octet that has room.
    room: Semaphore,
    /// True from a wait for room in vain until a line is written.
    stalled: AtomicBool,
    waiting: Mutex<Waiting>,
    due: Condvar,
    done: Condvar,
}

#[derive(Default)]
struct Waiting {
    items: VecDeque<Item>,
    /// The thread has taken steps that are not done yet.
    in_flight: bool,
    /// Somebody waits for all steps to be done, folded lines too.
    flushing: bool,
}

/// The steps that are to be done.
pub(super) struct Taken {
    pub(super) items: VecDeque<Item>,
    pub(super) flushing: bool,
}

impl Default for Queue {
    fn default() -> Self {
        Self {
            room: Semaphore::new(CAPACITY),
            stalled: AtomicBool::new(false),
            waiting: Mutex::default(),
            due: Condvar::new(),
            done: Condvar::new(),
        }
    }
}

/// Returns a line's octets in the queue; no line has as many as there is room for.
fn octets(line: &[u8]) -> u32 {
    u32::try_from(line.len().min(CAPACITY)).unwrap_or(u32::MAX)
}

impl Queue {
    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a step that takes no room.
    pub(super) fn add(&self, item: Item) {
        self.waiting().items.push_back(item);
        self.due.notify_one();
    }

    /// Adds a line, or returns it if there is no room.
    pub(super) fn push(&self, line: Vec<u8>) -> Result<(), Vec<u8>> {
        match self.room.try_acquire_many(octets(&line)) {
            Ok(room) => {
                room.forget();
                self.add(Item::Line(line));
                Ok(())
            }
            Err(_) => Err(line),
        }
    }

    /// Adds a line as soon as there is room.
    pub(super) async fn push_when_there_is_room(&self, line: Vec<u8>) {
        // Nobody closes this semaphore.
        if let Ok(room) = self.room.acquire_many(octets(&line)).await {
            room.forget();
            self.add(Item::Line(line));
        }
    }

    /// Notes that a wait for room was in vain.
    pub(super) fn stall(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    /// Returns whether waiting is in vain.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    /// Takes all steps, after a wait of at most `patience` for the first.
    pub(super) fn take(&self, patience: Duration) -> Taken {
        let waiting = self.waiting();
        let idle = |waiting: &mut Waiting| waiting.items.is_empty() && !waiting.flushing;
        let waited = self.due.wait_timeout_while(waiting, patience, idle);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.in_flight = true;
        Taken { items: mem::take(&mut waiting.items), flushing: mem::take(&mut waiting.flushing) }
    }

    /// Gives back the room of a line that was written or lost.
    pub(super) fn is_done(&self, line: &[u8]) {
        self.stalled.store(false, Ordering::Relaxed);
        self.room.add_permits(line.len().min(CAPACITY));
    }

    /// Notes that what was taken is done.
    pub(super) fn all_done(&self) {
        self.waiting().in_flight = false;
        self.done.notify_all();
    }

    /// Waits until every step is done, at most for `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let mut waiting = self.waiting();
        waiting.flushing = true;
        self.due.notify_one();
        let undone = |waiting: &mut Waiting| waiting.flushing || waiting.in_flight || !waiting.items.is_empty();
        // After the deadline the rest is lost with the process.
        drop(self.done.wait_timeout_while(waiting, patience, undone));
    }
}
