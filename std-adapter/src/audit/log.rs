//! Records events, from wherever they happen.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use serde::Serialize;

use super::file::{AuditFile, AuditFileError};
use super::line;
use super::queue::Item;
use super::shared::Shared;
use super::writer::Writer;

/// The longest wait for room in the queue. Where it passes, nobody waits until the disk has taken a line.
const PATIENCE: Duration = Duration::from_secs(1);
/// The time limit for writing the last lines at the end of the program.
const FLUSH_PATIENCE: Duration = Duration::from_secs(5);

/// The audit log of a gateway; without a file, nothing is recorded. Clones are of one log.
#[derive(Clone, Default)]
pub(crate) struct AuditLog(Arc<Shared>);

/// The state of the audit log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct AuditStatus {
    /// The file.
    pub(crate) file: PathBuf,
    /// The number of lines written since the start.
    pub(crate) written: u64,
    /// The number of lines lost since the start.
    pub(crate) lost: u64,
    /// The reason that no line can be written; `None` where the last one was.
    pub(crate) fault: Option<String>,
}

impl fmt::Debug for AuditLog {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("AuditLog").field(&self.status()).finish()
    }
}

impl AuditLog {
    /// Writes to this file from now on, or nowhere. Lines that were recorded before go to the file before.
    pub(crate) fn set(&self, file: Option<AuditFile>) {
        let path = file.as_ref().map(|file| file.path().to_owned());
        if path.is_some() && !self.0.runs.swap(true, Ordering::Relaxed) {
            let writer = Writer::new(self.0.clone());
            let started = std::thread::Builder::new().name("audit".to_owned()).spawn(move || writer.run());
            if let Err(error) = started {
                // Nothing takes lines from the queue: each is lost when it is full, and counted.
                self.0.fault.store(Some(Arc::new(format!("no thread can be started: {error}"))));
            }
        }
        if path.is_none() {
            self.0.on.store(false, Ordering::Relaxed);
        }
        self.0.queue.add(Item::File(file));
        self.0.on.store(path.is_some(), Ordering::Relaxed);
        *self.0.file() = path;
    }

    /// Opens the file again, which may have been renamed.
    ///
    /// # Errors
    /// Fails if it cannot be opened; lines go on to the file as it was opened before.
    pub(crate) fn reopen(&self) -> Result<(), AuditFileError> {
        let path = self.0.file().clone();
        if let Some(path) = path {
            self.set(Some(AuditFile::open(&path)?));
        }
        Ok(())
    }

    /// Returns whether there is a file.
    pub(crate) fn is_on(&self) -> bool {
        self.0.on.load(Ordering::Relaxed)
    }

    /// Returns the state; `None` where there is no file.
    pub(crate) fn status(&self) -> Option<AuditStatus> {
        let file = self.0.file().clone()?;
        Some(AuditStatus {
            file,
            written: self.0.written.load(Ordering::Relaxed),
            lost: self.0.lost.load(Ordering::Relaxed),
            fault: self.0.fault.load().as_deref().cloned(),
        })
    }

    /// Records an event with its fields.
    pub(crate) fn record(&self, event: &str, fields: &impl Serialize) -> Recorded {
        if !self.is_on() {
            return Recorded::nothing();
        }
        match line::line(event, fields) {
            Ok(line) => self.push(line),
            Err(error) => {
                self.0.lose(1, &error.to_string());
                Recorded::nothing()
            }
        }
    }

    /// Records an event of which a stranger may cause any number: the first of `subject` at once, and those of the same
    /// second in one line with their count, which `fields` takes.
    pub(crate) fn fold<F: Serialize>(
        &self,
        event: &'static str,
        subject: &str,
        fields: impl Fn(Option<u64>) -> F,
    ) -> Recorded {
        if !self.is_on() {
            return Recorded::nothing();
        }
        let mut folds = self.0.folds();
        let more = folds.add(subject, Instant::now());
        match (line::line(event, &fields(more)), more) {
            (Ok(line), Some(_)) => {
                folds.keep(subject, line);
                Recorded::nothing()
            }
            (Ok(line), None) => {
                drop(folds);
                self.push(line)
            }
            (Err(error), _) => {
                drop(folds);
                self.0.lose(1, &error.to_string());
                Recorded::nothing()
            }
        }
    }

    fn push(&self, line: Vec<u8>) -> Recorded {
        match self.0.queue.push(line) {
            Ok(()) => Recorded::nothing(),
            Err(line) if self.0.queue.is_stalled() => {
                drop(line);
                self.0.lose(1, FULL);
                Recorded::nothing()
            }
            Err(line) => Recorded(Some((self.clone(), line))),
        }
    }

    /// Waits until every line is written, at most for a while.
    pub(crate) fn flush(&self) {
        if self.0.runs.load(Ordering::Relaxed) {
            self.0.queue.flush(FLUSH_PATIENCE);
        }
    }
}

/// The reason that a line is lost which found no room.
const FULL: &str = "the disk takes no lines, and too many wait";

/// A line that was recorded, or that waits for room in the queue.
#[must_use = "a full queue is waited for"]
pub(crate) struct Recorded(Option<(AuditLog, Vec<u8>)>);

impl Recorded {
    /// Returns a line that waits for nothing.
    pub(crate) fn nothing() -> Self {
        Self(None)
    }

    /// Waits until the line is in the queue, at most for [`PATIENCE`]; then it is lost.
    pub(crate) async fn taken(mut self) {
        let Some((log, line)) = &mut self.0 else { return };
        let taken = tokio::time::timeout(PATIENCE, log.0.queue.push_when_there_is_room(std::mem::take(line))).await;
        let log = log.clone();
        self.0 = None;
        if taken.is_err() {
            log.0.queue.stall();
            log.0.lose(1, FULL);
        }
    }
}

impl Drop for Recorded {
    /// Counts the line of a task that was cut while it waited.
    fn drop(&mut self) {
        if let Some((log, _)) = self.0.take() {
            log.0.lose(1, FULL);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;
    use std::os::fd::OwnedFd;

    use serde_json::{Value, json};

    #[tokio::test]
    async fn a_full_queue_is_waited_for_once_and_every_line_is_written_or_counted() {
        let log = AuditLog::default();
        drop(log.record("before", &json!({})));
        // A disk that takes nothing, until it is read.
        let (mut reader, pipe) = std::io::pipe().unwrap();
        let file = std::fs::File::from(OwnedFd::from(pipe));
        log.set(Some(AuditFile::of(PathBuf::from("/audit.log"), file)));
        let fields = json!({"reason": "x".repeat(1000)});
        let mut recorded = 0_u64;
        let begin = Instant::now();
        // A mebibyte waits, and a pipe holds 64 KiB.
        while log.status().unwrap().lost < 500 {
            log.record("refused", &fields).taken().await;
            recorded += 1;
        }
        assert!(begin.elapsed() >= PATIENCE, "the queue was waited for");
        assert!((1000..5000).contains(&recorded), "{recorded}");
        assert!(log.status().unwrap().fault.unwrap().contains("disk"));
        // One that waits is taken as soon as there is room, and one that is cut is counted.
        log.0.queue.is_done(b"");
        let (cut, waiting) = (log.record("cut", &fields), log.record("waited", &json!({})));
        drop(cut);
        let waiting = tokio::spawn(waiting.taken());
        let reading = std::thread::spawn(move || {
            let mut text = String::new();
            reader.read_to_string(&mut text).unwrap();
            text
        });
        waiting.await.unwrap();
        let flushed = log.clone();
        tokio::task::spawn_blocking(move || flushed.flush()).await.unwrap();
        let AuditStatus { written, lost, fault, .. } = log.status().unwrap();
        log.set(None);
        drop(log.record("after", &json!({})));
        let text = tokio::task::spawn_blocking(move || reading.join().unwrap()).await.unwrap();
        let lines: Vec<Value> = text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
        let count = |event: &str| lines.iter().filter(|line| line["event"] == event).count() as u64;
        assert_eq!((count("before"), count("cut"), count("waited"), count("after")), (0, 0, 1, 0));
        assert_eq!(count("refused") + count("waited") + lost, recorded + 2, "each is written or counted");
        let said: u64 = lines.iter().filter_map(|line| line["lines"].as_u64()).sum();
        assert_eq!((said, fault, written), (lost, None, lines.len() as u64));
    }
}
