//! Queues lines for standard error.
//!
//! `tracing-appender` does nearly this. Its guard prints to standard output when the queue is full, which aborts the
//! program if that is gone too, and it bounds lines instead of octets.

use std::io::{self, Write};
use std::mem;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing::warn;

use crate::ops;

/// The interval at which the thread calls `look`, which may log more.
const LOOK: Duration = Duration::from_secs(10);
/// The time for which lines are gathered after a write, so that a busy gateway does not wake the thread for each.
const GATHER: Duration = Duration::from_millis(10);

/// The whole lines that wait, bounded by their octets.
pub(super) struct Queue {
    capacity: usize,
    waiting: Mutex<Waiting>,
    /// Signals the thread that there is work.
    due: Condvar,
    /// Signals that the thread has written.
    written: Condvar,
}

#[derive(Default)]
struct Waiting {
    lines: Vec<u8>,
    /// The thread has taken lines that are not written yet.
    in_flight: bool,
    /// No thread writes: new lines are lost.
    closed: bool,
    /// The thread waits for a line, and the next one must wake it.
    idle: bool,
    /// The number of callers that wait for everything to be written.
    flushing: usize,
}

impl Queue {
    pub(super) fn new(capacity: usize) -> Self {
        Self { capacity, waiting: Mutex::default(), due: Condvar::new(), written: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Waiting> {
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Closes the queue because no thread writes: new lines are lost.
    pub(super) fn close(&self) {
        self.lock().closed = true;
    }

    /// Adds whole lines, or loses them if there is no room.
    pub(super) fn push(&self, lines: &[u8]) {
        let mut waiting = self.lock();
        if waiting.closed || waiting.lines.len().saturating_add(lines.len()) > self.capacity {
            ops::count_lost_lines(count(lines));
            return;
        }
        waiting.lines.extend_from_slice(lines);
        let wakes = mem::take(&mut waiting.idle);
        drop(waiting);
        if wakes {
            self.due.notify_one();
        }
    }

    /// Writes lines for as long as the process lives. An error of the sink loses only the lines being written. `look`
    /// is called now and then, and may log.
    pub(super) fn write_to(&self, mut sink: impl Write, look: impl Fn()) {
        let mut batch = Vec::new();
        let mut told = ops::lost_lines();
        loop {
            look();
            let mut waiting = self.next();
            if waiting.lines.is_empty() {
                continue;
            }
            mem::swap(&mut batch, &mut waiting.lines);
            waiting.in_flight = true;
            drop(waiting);
            let written = write_lines(&mut sink, &batch);
            batch.clear();
            self.wrote();
            let lost = ops::lost_lines();
            if written && lost > told {
                warn!(lost = lost.saturating_sub(told), "log lines were lost: standard error did not take them");
                told = lost;
            }
        }
    }

    /// Waits for lines, at most for `LOOK`.
    fn next(&self) -> MutexGuard<'_, Waiting> {
        let mut waiting = self.lock();
        waiting.idle = waiting.lines.is_empty();
        let idle = |waiting: &mut Waiting| waiting.idle;
        let (mut waiting, _) = self.due.wait_timeout_while(waiting, LOOK, idle).unwrap_or_else(PoisonError::into_inner);
        waiting.idle = false;
        waiting
    }

    /// Notes that the thread has written, then waits for lines to gather, unless a caller waits for all of them.
    fn wrote(&self) {
        let mut waiting = self.lock();
        waiting.in_flight = false;
        if waiting.flushing > 0 {
            self.written.notify_all();
        }
        let gathers = |waiting: &mut Waiting| waiting.flushing == 0;
        drop(self.due.wait_timeout_while(waiting, GATHER, gathers));
    }

    /// Waits until everything is written, at most for `patience`.
    pub(super) fn flush(&self, patience: Duration) {
        let mut waiting = self.lock();
        waiting.flushing = waiting.flushing.saturating_add(1);
        self.due.notify_one();
        let unwritten = |waiting: &mut Waiting| !waiting.closed && (waiting.in_flight || !waiting.lines.is_empty());
        // After the deadline the rest is lost with the process.
        let waited = self.written.wait_timeout_while(waiting, patience, unwritten);
        let (mut waiting, _) = waited.unwrap_or_else(PoisonError::into_inner);
        waiting.flushing = waiting.flushing.saturating_sub(1);
    }
}

/// Returns whether everything was written; counts the lost lines.
fn write_lines(sink: &mut impl Write, mut lines: &[u8]) -> bool {
    while !lines.is_empty() {
        match sink.write(lines) {
            Ok(written @ 1..) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(_) | Err(_) => {
                ops::count_lost_lines(count(lines));
                return false;
            }
        }
    }
    true
}

fn count(lines: &[u8]) -> u64 {
    u64::try_from(lines.iter().filter(|octet| **octet == b'\n').count()).unwrap_or(u64::MAX)
}

/// The formatter hands over whole lines.
impl Write for &Queue {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        self.push(line);
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::Arc;
    use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

    /// A sink that fails, or waits until it may go on.
    struct Sink {
        may: Receiver<bool>,
        got: SyncSender<Vec<u8>>,
    }

    impl Write for Sink {
        fn write(&mut self, lines: &[u8]) -> io::Result<usize> {
            match self.may.recv() {
                Ok(true) => {
                    let _ = self.got.send(lines.to_vec());
                    Ok(lines.len())
                }
                _ => Err(io::Error::other("gone")),
            }
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    /// One test has all of the count, which belongs to the process.
    #[test]
    fn lines_wait_in_order_are_bounded_and_survive_a_sink_that_fails() {
        let queue = Arc::new(Queue::new(16));
        let (may, allowed) = sync_channel(8);
        let (got, written) = sync_channel(8);
        let thread = queue.clone();
        std::thread::spawn(move || thread.write_to(Sink { may: allowed, got }, || ()));

        queue.push(b"one\n");
        may.send(true).unwrap();
        assert_eq!(written.recv().unwrap(), b"one\n");
        queue.flush(Duration::from_secs(60));

        // The sink fails once: that line is lost, the next one is not.
        queue.push(b"two\n");
        may.send(false).unwrap();
        queue.flush(Duration::from_secs(60));
        assert_eq!(ops::lost_lines(), 1);
        queue.push(b"three\n");
        may.send(true).unwrap();
        assert_eq!(written.recv().unwrap(), b"three\n");
        queue.flush(Duration::from_secs(60));

        // The sink stalls with a line in hand: 16 octets wait, and lines without room are lost at once.
        queue.push(b"held\n");
        while !queue.lock().in_flight {
            std::thread::yield_now();
        }
        queue.push(b"0123456789\n");
        queue.push(b"no room\n");
        queue.push(b"four\n");
        assert_eq!(ops::lost_lines(), 2);
        queue.flush(Duration::ZERO);
        may.send(true).unwrap();
        may.send(true).unwrap();
        assert_eq!(written.recv().unwrap(), b"held\n");
        assert_eq!(written.recv().unwrap(), b"0123456789\nfour\n");
    }
}
