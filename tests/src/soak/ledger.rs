//! The events that are allowed at the moment, those that happened, and those that should not have.

use std::sync::{Mutex, MutexGuard};
use std::time::{Duration, Instant};

use super::{LINKS, SITES, target};

/// The time in which somebody notices that a fault has begun, or is over.
const NOTICE: Duration = Duration::from_secs(5);

/// The events on a link that a fault excuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Excuse {
    /// Sessions end, and none is opened.
    Cut,
    /// None is opened.
    NotOpened,
}

/// A number by which an excuse or a ban is taken back.
pub type Ticket = usize;

#[derive(Debug)]
struct Window {
    link: usize,
    /// None for a ban: nothing is to be said on the link.
    excuse: Option<Excuse>,
    from: Instant,
    until: Option<Instant>,
}

/// The counts.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub sessions: u64,
    pub messages: u64,
    /// The sessions that a fault has cut, and that were not opened during one.
    pub cut: u64,
    pub not_opened: u64,
    pub intruders: u64,
}

/// The ledger that all threads write to.
#[derive(Debug, Default)]
pub struct Ledger(Mutex<Entries>);

#[derive(Debug, Default)]
struct Entries {
    windows: Vec<Window>,
    counts: Counts,
    violations: Vec<String>,
    over: bool,
}

impl Ledger {
    fn entries(&self) -> MutexGuard<'_, Entries> {
        self.0.lock().expect("no panic")
    }

    /// Excuses what a fault does on a link, from now on.
    pub fn excuse(&self, link: usize, excuse: Excuse) -> Ticket {
        self.open(link, Some(excuse), Duration::ZERO)
    }

    /// Bans a link, from a time on: who speaks on it then, does so without being allowed.
    pub fn ban(&self, link: usize, after: Duration) -> Ticket {
        self.open(link, None, after)
    }

    fn open(&self, link: usize, excuse: Option<Excuse>, after: Duration) -> Ticket {
        let mut entries = self.entries();
        entries.windows.push(Window { link, excuse, from: Instant::now() + after, until: None });
        entries.windows.len() - 1
    }

    /// Ends an excuse or a ban, after a time.
    pub fn end(&self, ticket: Ticket, after: Duration) {
        self.entries().windows[ticket].until = Some(Instant::now() + after);
    }

    /// Notes a message that has arrived at a service.
    pub fn arrived(&self, link: usize) {
        let now = Instant::now();
        let mut entries = self.entries();
        entries.counts.messages += 1;
        let banned = entries.windows.iter().any(|window| {
            let over = window.until.is_some_and(|until| until <= now);
            window.link == link && window.excuse.is_none() && window.from <= now && !over
        });
        if banned {
            let (from, to) = (SITES[link % LINKS], SITES[target(link)]);
            entries.violations.push(format!("{from} speaks to {to}, and may no longer"));
        }
    }

    /// Notes the end of a session that should have gone on, or was to begin.
    pub fn failed(&self, link: usize, opened: bool, why: &str) {
        let now = Instant::now();
        let mut entries = self.entries();
        let excused = entries.windows.iter().any(|window| {
            let fits = window.excuse == Some(Excuse::Cut) || !opened && window.excuse == Some(Excuse::NotOpened);
            let over = window.until.is_some_and(|until| until + NOTICE < now);
            window.link == link && fits && window.from <= now && !over
        });
        match (excused, opened) {
            (true, true) => entries.counts.cut += 1,
            (true, false) => entries.counts.not_opened += 1,
            (false, _) if entries.over => {}
            (false, _) => {
                let what = if opened { "a session was cut" } else { "no session could be opened" };
                let (from, to) = (SITES[link], SITES[target(link)]);
                entries.violations.push(format!("{what} from {from} to {to}, and no fault was there: {why}"));
            }
        }
    }

    pub fn violation(&self, what: String) {
        self.entries().violations.push(what);
    }

    pub fn count(&self, count: impl FnOnce(&mut Counts)) {
        count(&mut self.entries().counts);
    }

    pub fn counts(&self) -> Counts {
        self.entries().counts
    }

    /// Returns what should not have happened, each once.
    pub fn violations(&self) -> Vec<String> {
        let mut all = self.entries().violations.clone();
        all.dedup();
        all
    }

    /// Ends the traffic.
    pub fn finish(&self) {
        self.entries().over = true;
    }

    pub fn is_over(&self) -> bool {
        self.entries().over
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_no_fault_excuses_is_a_violation() {
        let ledger = Ledger::default();
        let ticket = ledger.excuse(0, Excuse::Cut);
        ledger.failed(0, true, "reset");
        ledger.failed(0, false, "refused");
        assert!(ledger.violations().is_empty());
        ledger.failed(1, true, "reset");
        assert_eq!(ledger.violations(), ["a session was cut from b to c, and no fault was there: reset"]);
        ledger.end(ticket, Duration::ZERO);
        ledger.failed(0, true, "reset");
        let counts = ledger.counts();
        assert_eq!((counts.cut, counts.not_opened, ledger.violations().len()), (2, 1, 1), "noticed late");
    }

    #[test]
    fn a_gateway_without_room_cuts_no_session() {
        let ledger = Ledger::default();
        ledger.excuse(2, Excuse::NotOpened);
        ledger.failed(2, false, "refused");
        assert!(ledger.violations().is_empty());
        ledger.failed(2, true, "reset");
        assert_eq!(ledger.violations(), ["a session was cut from c to a, and no fault was there: reset"]);
    }

    #[test]
    fn a_banned_link_is_silent_after_the_bound() {
        let ledger = Ledger::default();
        let ticket = ledger.ban(1, Duration::ZERO);
        let later = ledger.ban(0, Duration::from_secs(3600));
        ledger.arrived(0);
        assert!(ledger.violations().is_empty());
        ledger.arrived(1);
        assert_eq!(ledger.violations(), ["b speaks to c, and may no longer"]);
        ledger.end(ticket, Duration::ZERO);
        ledger.end(later, Duration::ZERO);
        ledger.arrived(1);
        assert_eq!(ledger.violations().len(), 1);
    }
}
