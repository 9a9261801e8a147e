//! Holds the connections that wait for an answer. A newer one displaces the oldest where there are too many, so that
//! whoever asks slowly delays nobody.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// The connections that wait for an answer, the oldest first.
#[derive(Debug)]
pub(super) struct Askers {
    most: usize,
    waiting: Mutex<Waiting>,
}

#[derive(Debug, Default)]
struct Waiting {
    next: u64,
    askers: VecDeque<(u64, Arc<Notify>)>,
}

/// A connection that waits for an answer, until it is dropped.
#[derive(Debug)]
pub(super) struct Asker {
    number: u64,
    displaced: Arc<Notify>,
    all: Arc<Askers>,
}

impl Askers {
    /// Keeps at most `most` connections.
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, waiting: Mutex::default() })
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a connection, and displaces the oldest if there are too many.
    pub(super) fn enter(self: &Arc<Self>) -> Asker {
        let displaced = Arc::new(Notify::new());
        let mut waiting = self.waiting();
        let number = waiting.next;
        waiting.next = number.wrapping_add(1);
        waiting.askers.push_back((number, displaced.clone()));
        if waiting.askers.len() > self.most
            && let Some((_, oldest)) = waiting.askers.pop_front()
        {
            oldest.notify_one();
        }
        Asker { number, displaced, all: self.clone() }
    }
}

impl Asker {
    /// Waits until a newer connection displaces this one.
    pub(super) async fn displaced(&self) {
        self.displaced.notified().await;
    }
}

impl Drop for Asker {
    fn drop(&mut self) {
        self.all.waiting().askers.retain(|(number, _)| *number != self.number);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::timeout;

    #[tokio::test(start_paused = true)]
    async fn the_oldest_is_displaced_and_nobody_else() {
        let askers = Askers::new(2);
        let [one, two] = [askers.enter(), askers.enter()];
        let patience = std::time::Duration::from_secs(1);
        assert!(timeout(patience, one.displaced()).await.is_err(), "there is room");
        drop(two);
        let three = askers.enter();
        assert!(timeout(patience, one.displaced()).await.is_err(), "one has gone");
        let four = askers.enter();
        assert!(timeout(patience, one.displaced()).await.is_ok());
        assert!(timeout(patience, three.displaced()).await.is_err());
        assert!(timeout(patience, four.displaced()).await.is_err());
    }
}
