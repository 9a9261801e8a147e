//! One gateway: what it has in force, and whom it dials.

use std::collections::BTreeSet;

use edgetrust::program::mesh::{Callers, Retry};

use super::Millis;
use super::editions::HeldNumber;
use super::network::Outage;

/// A gateway that stays in one place.
pub struct Gateway {
    /// None while it is up.
    pub down: Option<Outage>,
    /// Raised by each end and each start, so that nothing of before arrives.
    pub life: u32,
    /// The mesh that is kept, and the mesh in force: they differ while it is loaded.
    pub held: HeldNumber,
    pub in_force: HeldNumber,
    pub loading: bool,
    /// True if there is news again while it loads.
    pub again: bool,
    /// The time until which it judges, and that until which its line is busy.
    pub judging: Millis,
    pub line: Millis,
    /// Real: the limits of those who dial it.
    pub callers: Callers,
    /// The connections to it.
    pub incoming: BTreeSet<usize>,
    pub dialers: Vec<Dialer>,
    pub sent: Sent,
    pub waits: Waits,
}

/// One gateway that another one dials.
pub struct Dialer {
    pub to: usize,
    /// Real: the waits between connections.
    pub retry: Retry,
    /// Raised whenever it begins anew.
    pub generation: u32,
    pub connection: Option<usize>,
}

/// The messages that a gateway has sent.
#[derive(Clone, Copy, Debug, Default)]
pub struct Sent {
    /// Requests and answers.
    pub messages: u64,
    pub octets: u64,
}

/// The state of a gateway that waits for news.
#[derive(Clone, Copy, Debug, Default)]
pub struct Waits {
    /// The start of the present time without it, while the gateway is up.
    pub since: Option<Millis>,
    /// The time without it so far, in which the gateway was up.
    pub without: Millis,
    /// The time when it had it.
    pub heard: Option<Millis>,
    /// True if the gateway was up at the news.
    pub was_up: bool,
}

impl Gateway {
    pub fn new(held: HeldNumber, to: &[usize]) -> Self {
        let dialer = |to: &usize| Dialer { to: *to, retry: Retry::default(), generation: 0, connection: None };
        Self {
            down: Some(Outage::Program),
            life: 0,
            held,
            in_force: held,
            loading: false,
            again: false,
            judging: 0,
            line: 0,
            callers: Callers::default(),
            incoming: BTreeSet::new(),
            dialers: to.iter().map(dialer).collect(),
            sent: Sent::default(),
            waits: Waits::default(),
        }
    }

    pub fn is_up(&self) -> bool {
        self.down.is_none()
    }
}

impl Waits {
    /// Begins at the news.
    pub fn begin(&mut self, now: Millis, up: bool) {
        *self = Self { since: up.then_some(now), was_up: up, ..Self::default() };
    }

    /// Stops counting: the gateway goes down, or has the news.
    pub fn stop(&mut self, now: Millis) {
        if let Some(since) = self.since.take() {
            self.without += now - since;
        }
    }

    /// Notes that the gateway has the news.
    pub fn hear(&mut self, now: Millis) {
        if self.heard.is_none() {
            self.stop(now);
            self.heard = Some(now);
        }
    }
}
