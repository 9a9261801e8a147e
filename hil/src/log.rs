//! Collects a guest's messages, and waits for them.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One message.
#[derive(Clone, Debug)]
pub struct Line {
    /// The time of arrival, since the log began.
    pub at: Duration,
    /// The guest's own timestamp, if present.
    pub timestamp: Option<String>,
    /// The level, such as `INFO` or `WARN`, if present.
    pub level: Option<&'static str>,
    /// The message's text.
    pub text: String,
    /// The source file and line of the message, if known.
    pub place: Option<String>,
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:9.3} ", self.at.as_secs_f64())?;
        if let Some(timestamp) = &self.timestamp {
            write!(f, "[{timestamp}] ")?;
        }
        write!(f, "{:5} {}", self.level.unwrap_or(""), self.text)?;
        if let Some(place) = &self.place {
            write!(f, "  ({place})")?;
        }
        Ok(())
    }
}

/// The result of waiting.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The line of this number matches.
    Found(usize),
    /// The guest ended before such a line came.
    Ended,
    /// The deadline passed.
    TimeUp,
}

struct Inner {
    lines: Vec<Line>,
    ended: bool,
}

/// The lines so far; more come until the guest ends.
pub struct Log {
    start: Instant,
    inner: Mutex<Inner>,
    changed: Condvar,
}

impl Default for Log {
    fn default() -> Self {
        Self::new()
    }
}

impl Log {
    /// Creates an empty log.
    pub fn new() -> Self {
        let inner = Inner { lines: Vec::new(), ended: false };
        Self { start: Instant::now(), inner: Mutex::new(inner), changed: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Appends a line with the current time.
    pub fn push(&self, level: Option<&'static str>, timestamp: Option<String>, text: String, place: Option<String>) {
        self.inner().lines.push(Line { at: self.start.elapsed(), timestamp, level, text, place });
        self.changed.notify_all();
    }

    /// Appends a note of this program among the guest's lines.
    pub fn note(&self, text: impl Into<String>) {
        self.push(None, None, format!("-- {}", text.into()), None);
    }

    /// Sets whether the guest has ended; no more lines come then.
    pub fn set_ended(&self, ended: bool) {
        self.inner().ended = ended;
        self.changed.notify_all();
    }

    /// Returns the number of lines.
    pub fn len(&self) -> usize {
        self.inner().lines.len()
    }

    /// Returns whether there are no lines.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Returns all lines from this number on.
    pub fn lines(&self, from: usize) -> Vec<Line> {
        self.inner().lines.get(from..).unwrap_or_default().to_vec()
    }

    /// Waits for a matching line from this number on.
    pub fn wait(&self, from: usize, deadline: Instant, wanted: impl Fn(&Line) -> bool) -> Waited {
        let (mut inner, mut next) = (self.inner(), from);
        loop {
            if let Some(found) = inner.lines.iter().skip(next).position(&wanted) {
                return Waited::Found(next + found);
            }
            next = next.max(inner.lines.len());
            let left = deadline.saturating_duration_since(Instant::now());
            if inner.ended {
                return Waited::Ended;
            }
            if left.is_zero() {
                return Waited::TimeUp;
            }
            inner = self.changed.wait_timeout(inner, left).unwrap_or_else(PoisonError::into_inner).0;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_for_what_comes_and_not_for_what_was() {
        let log = Log::new();
        log.push(Some("INFO"), None, "boot".into(), None);
        let soon = || Instant::now() + Duration::from_millis(20);
        assert_eq!(log.wait(0, soon(), |line| line.text == "boot"), Waited::Found(0));
        assert_eq!(log.wait(1, soon(), |line| line.text == "boot"), Waited::TimeUp);
        std::thread::scope(|scope| {
            let waits =
                scope.spawn(|| log.wait(1, Instant::now() + Duration::from_secs(60), |line| line.text == "boot"));
            log.note("another");
            log.push(Some("INFO"), None, "boot".into(), None);
            assert_eq!(waits.join().unwrap(), Waited::Found(2));
        });
        log.set_ended(true);
        assert_eq!(log.wait(3, Instant::now() + Duration::from_secs(60), |_| true), Waited::Ended);
        assert_eq!(log.wait(9, soon(), |_| true), Waited::Ended);
        assert_eq!(log.lines(2).len(), 1);
        assert!(log.lines(9).is_empty());
    }
}
