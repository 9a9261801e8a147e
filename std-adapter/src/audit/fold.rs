//! Folds events of which strangers may cause any number: one line a second for each subject, with a count. Subjects
//! beyond a number are not folded.

use std::collections::HashMap;
use std::time::{Duration, Instant};

/// The time between two lines of one subject.
const WINDOW: Duration = Duration::from_secs(1);

/// The maximum number of subjects; their lines wait beside the queue, and one has 20 kB at most.
const MAX_SUBJECTS: usize = 256;

/// The subjects of which there was an event within the last second.
#[derive(Debug, Default)]
pub(super) struct Folds(HashMap<String, Fold>);

#[derive(Debug)]
struct Fold {
    since: Instant,
    /// The number of events without a line.
    more: u64,
    /// The line of the last event, with the count.
    line: Vec<u8>,
}

impl Folds {
    /// Counts an event. Returns the number of events that its line stands for, if that is to wait; `None` if it is to be
    /// written at once.
    pub(super) fn add(&mut self, subject: &str, now: Instant) -> Option<u64> {
        if let Some(fold) = self.0.get_mut(subject) {
            fold.more = fold.more.saturating_add(1);
            return Some(fold.more);
        }
        if self.0.len() >= MAX_SUBJECTS {
            return None;
        }
        self.0.insert(subject.to_owned(), Fold { since: now, more: 0, line: Vec::new() });
        None
    }

    /// Keeps the line of the last event.
    pub(super) fn keep(&mut self, subject: &str, line: Vec<u8>) {
        if let Some(fold) = self.0.get_mut(subject) {
            fold.line = line;
        }
    }

    /// Returns whether no subject is kept.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the lines that are due, or `all`.
    pub(super) fn due(&mut self, now: Instant, all: bool) -> Vec<Vec<u8>> {
        let mut lines = Vec::new();
        self.0.retain(|_, fold| {
            if !all && now.saturating_duration_since(fold.since) < WINDOW {
                return true;
            }
            let more = std::mem::take(&mut fold.more);
            fold.since = now;
            if more > 0 {
                lines.push(std::mem::take(&mut fold.line));
            }
            more > 0
        });
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_memory_of_subjects_is_bounded() {
        let (mut folds, now) = (Folds::default(), Instant::now());
        for number in 0..2 * MAX_SUBJECTS {
            assert_eq!(folds.add(&number.to_string(), now), None);
        }
        assert_eq!(folds.0.len(), MAX_SUBJECTS);
        assert_eq!(folds.add("0", now), Some(1));
        assert_eq!(folds.add("never kept", now), None);
    }

    #[test]
    fn a_flood_is_a_line_a_second_and_each_event_counts_once() {
        let (mut folds, begin) = (Folds::default(), Instant::now());
        let (mut counted, mut lines) = (0, 0);
        for event in 0..50_000_u32 {
            let now = begin + Duration::from_micros(100) * event;
            match folds.add("in limit", now) {
                None => (counted, lines) = (counted + 1, lines + 1),
                Some(more) => folds.keep("in limit", more.to_string().into_bytes()),
            }
            for line in folds.due(now, false) {
                counted += String::from_utf8(line).unwrap().parse::<u64>().unwrap();
                lines += 1;
            }
        }
        for line in folds.due(begin, true) {
            counted += String::from_utf8(line).unwrap().parse::<u64>().unwrap();
        }
        assert_eq!((counted, lines), (50_000, 5), "five seconds");
        assert!(folds.due(begin + Duration::from_secs(9), false).is_empty());
        assert!(folds.is_empty());
    }
}
