//! What a guest said, and waiting for it to say something.

use std::fmt;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// One message.
#[derive(Clone, Debug)]
pub struct Line {
    /// When it came, since the log began.
    pub at: Duration,
    /// The guest's own timestamp, if it has one.
    pub timestamp: Option<String>,
    /// `INFO`, `WARN` and so on, if it says.
    pub level: Option<&'static str>,
    /// What it says.
    pub text: String,
    /// The file and line that said it, if known.
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

/// How waiting ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Waited {
    /// The line of this number.
    Found(usize),
    /// The guest ended, and had not said it.
    Ended,
    /// The time was up.
    TimeUp,
}

struct Inner {
    lines: Vec<Line>,
    ended: bool,
}

/// Lines so far. More come until the guest ends.
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
    /// No lines yet.
    pub fn new() -> Self {
        let inner = Inner { lines: Vec::new(), ended: false };
        Self { start: Instant::now(), inner: Mutex::new(inner), changed: Condvar::new() }
    }

    fn inner(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// One line more, now.
    pub fn push(&self, level: Option<&'static str>, timestamp: Option<String>, text: String, place: Option<String>) {
        self.inner().lines.push(Line { at: self.start.elapsed(), timestamp, level, text, place });
        self.changed.notify_all();
    }

    /// A line of ours among the guest's.
    pub fn note(&self, text: impl Into<String>) {
        self.push(None, None, format!("-- {}", text.into()), None);
    }

    /// No more lines come, or they do again.
    pub fn set_ended(&self, ended: bool) {
        self.inner().ended = ended;
        self.changed.notify_all();
    }

    /// How many lines there are.
    pub fn len(&self) -> usize {
        self.inner().lines.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// All lines from this number on.
    pub fn lines(&self, from: usize) -> Vec<Line> {
        self.inner().lines.get(from..).unwrap_or_default().to_vec()
    }

    /// Waits for a line from this number on.
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
