//! Folds repeats: the first few warnings of a kind are written, the others are counted and reported in one line. A
//! peer that is refused every second must not bury other problems.

use std::collections::HashMap;
use std::fmt::{self, Write};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use tracing::field::{Field, Visit};
use tracing::{Event, Level, Subscriber, warn};
use tracing_subscriber::Layer;
use tracing_subscriber::layer::Context;

/// The time for which repeats are counted before the count is logged.
const WINDOW: Duration = Duration::from_secs(600);

/// The number of warnings of a kind that are written in a window.
const WRITTEN: u32 = 5;

/// The number of kinds that are counted at a time; a new kind beyond them ends the window of the oldest.
const KINDS: usize = 256;

/// The longest message that is repeated with a count, in characters.
const MESSAGE: usize = 200;

/// The fields that differ at each repeat, about peer and request: a stranger can make any number of certificates.
const NOT_OF_THE_KIND: [&str; 10] = [
    "remote",
    "path",
    "subject",
    "names",
    "issuer",
    "serial",
    "spki_sha256",
    "certificate_sha256",
    "requested_subject",
    "requested_names",
];

/// The target of the events that report the counts.
const TARGET: &str = "edgetrust::folded";

#[derive(Clone, Default)]
pub(super) struct Fold(Arc<Mutex<HashMap<u64, Kind>>>);

struct Kind {
    since: Instant,
    seen: u32,
    message: String,
}

impl Kind {
    fn more(&self) -> u32 {
        self.seen.saturating_sub(WRITTEN)
    }
}

/// The count of events that were not written.
#[derive(Debug, PartialEq, Eq)]
struct Folded {
    more: u32,
    minutes: u64,
    message: String,
}

impl Folded {
    fn tell(self) {
        let Self { more, minutes, message } = self;
        warn!(target: TARGET, "{more} more like this in {minutes} min: {message}");
    }
}

impl Fold {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Kind>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns whether this event is written, and the count to report of the kind that had to make room.
    fn admit(&self, kind: u64, message: &str, now: Instant) -> (bool, Option<Folded>) {
        let mut kinds = self.lock();
        if let Some(known) = kinds.get_mut(&kind) {
            known.seen = known.seen.saturating_add(1);
            return (known.seen <= WRITTEN, None);
        }
        let mut told = None;
        if kinds.len() >= KINDS {
            let oldest = kinds.iter().min_by_key(|(_, kind)| kind.since).map(|(kind, _)| *kind);
            told = oldest.and_then(|oldest| kinds.remove(&oldest)).and_then(|oldest| folded(oldest, now));
        }
        kinds.insert(kind, Kind { since: now, seen: 1, message: message.chars().take(MESSAGE).collect() });
        (true, told)
    }

    /// Ends the windows that are over.
    fn due(&self, now: Instant) -> Vec<Folded> {
        let over: Vec<_> = self.lock().extract_if(|_, kind| now.duration_since(kind.since) >= WINDOW).collect();
        over.into_iter().filter_map(|(_, kind)| folded(kind, now)).collect()
    }

    /// Reports the counts of the windows that are over.
    pub(super) fn report(&self, now: Instant) {
        self.due(now).into_iter().for_each(Folded::tell);
    }

    /// Reports all counts at the end of the program.
    pub(super) fn report_all(&self) {
        let kinds = std::mem::take(&mut *self.lock());
        let now = Instant::now();
        kinds.into_values().filter_map(|kind| folded(kind, now)).for_each(Folded::tell);
    }
}

fn folded(kind: Kind, now: Instant) -> Option<Folded> {
    let minutes = now.duration_since(kind.since).as_secs().div_ceil(60).max(1);
    (kind.more() > 0).then(|| Folded { more: kind.more(), minutes, message: kind.message })
}

impl<S: Subscriber> Layer<S> for Fold {
    fn event_enabled(&self, event: &Event<'_>, _: Context<'_, S>) -> bool {
        // Each error is written, since it calls for action and follows from somebody's action.
        if *event.metadata().level() != Level::WARN || event.metadata().target() == TARGET {
            return true;
        }
        let mut seen = Seen { hash: DefaultHasher::new(), message: String::new() };
        event.metadata().callsite().hash(&mut seen.hash);
        event.record(&mut seen);
        let (written, told) = self.admit(seen.hash.finish(), &seen.message, Instant::now());
        if let Some(told) = told {
            told.tell();
        }
        written
    }
}

/// The kind of an event: callsite and fields, without what repeats vary: numbers, times and the remote address.
struct Seen {
    hash: DefaultHasher,
    message: String,
}

impl Visit for Seen {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        if NOT_OF_THE_KIND.contains(&field.name()) {
            return;
        }
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = write!(text, "{value:?}");
        field.name().hash(&mut self.hash);
        let words = text.split(|c: char| c.is_whitespace() || matches!(c, '"' | ',' | '(' | ')' | '='));
        words.filter(|word| !word.starts_with(|c: char| c.is_ascii_digit())).for_each(|word| word.hash(&mut self.hash));
        if field.name() == "message" {
            self.message = text;
        }
    }

    fn record_u64(&mut self, _: &Field, _: u64) {}

    fn record_i64(&mut self, _: &Field, _: i64) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_kind_are_written_and_the_others_counted() {
        let fold = Fold::default();
        let start = Instant::now();
        let written = (0..39).filter(|_| fold.admit(1, "refused: expired", start).0).count();
        assert_eq!(written, 5);
        assert!(fold.admit(2, "another", start).0, "another kind");
        assert_eq!(fold.due(start + WINDOW / 2), []);
        let message = "refused: expired".to_owned();
        assert_eq!(fold.due(start + WINDOW), [Folded { more: 34, minutes: 10, message }]);
        assert!(fold.admit(1, "refused: expired", start + WINDOW).0, "a new window");
    }

    #[test]
    fn kinds_are_bounded_and_none_is_forgotten_in_silence() {
        let fold = Fold::default();
        let start = Instant::now();
        for _ in 0..10 {
            fold.admit(0, "first", start);
        }
        let later = start + Duration::from_secs(60);
        let told: Vec<_> = (1..1000).filter_map(|kind| fold.admit(kind, "one", later).1).collect();
        assert_eq!(told, [Folded { more: 5, minutes: 1, message: "first".to_owned() }]);
        assert_eq!(fold.lock().len(), KINDS);
    }
}
