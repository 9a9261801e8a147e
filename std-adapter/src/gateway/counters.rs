//! Counts what a tunnel has done, over all reloads.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use super::handshakes::{HandshakeCount, Handshakes};
use super::tallies::{Tallied, Tallies, Tally};
use crate::histogram::{Distribution, Histogram};
use crate::tls::Peer;

/// The kind of reason for a connection that carried nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The core refused the peer.
    Peer,
    /// The handshake or the network failed before the verdict.
    Handshake,
    /// No tunnel is for the server name.
    ServerName,
    /// The target could not be reached.
    Target,
    /// Handshake and target took too long.
    Deadline,
    /// A load balancer did not say who connects, or another than it connected.
    Proxy,
    /// A limit was reached: of the source, of handshakes, or of connections.
    Limit,
}

impl RefusalReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 7] =
        [Self::Peer, Self::Handshake, Self::ServerName, Self::Target, Self::Deadline, Self::Proxy, Self::Limit];

    /// Returns the reason's name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Handshake => "handshake",
            Self::ServerName => "server_name",
            Self::Target => "target",
            Self::Deadline => "deadline",
            Self::Proxy => "proxy",
            Self::Limit => "limit",
        }
    }
}

/// The counters of one tunnel, which outlive reloads.
#[derive(Debug)]
pub struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    ended: AtomicU64,
    cut: AtomicU64,
    continued: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    refused: [AtomicU64; RefusalReason::ALL.len()],
    tallies: Tallies,
    handshakes: Handshakes,
    durations: Histogram,
}

/// From a health check to a feed of a month.
const DURATIONS: [Duration; 10] = [
    Duration::from_millis(100),
    Duration::from_secs(1),
    Duration::from_secs(10),
    Duration::from_secs(60),
    Duration::from_secs(600),
    Duration::from_secs(3600),
    Duration::from_secs(6 * 3600),
    Duration::from_secs(24 * 3600),
    Duration::from_secs(7 * 24 * 3600),
    Duration::from_secs(30 * 24 * 3600),
];

impl Default for Counters {
    fn default() -> Self {
        Self {
            opened: AtomicU64::default(),
            closed: AtomicU64::default(),
            ended: AtomicU64::default(),
            cut: AtomicU64::default(),
            continued: AtomicU64::default(),
            up: AtomicU64::default(),
            down: AtomicU64::default(),
            refused: Default::default(),
            tallies: Tallies::default(),
            handshakes: Handshakes::default(),
            durations: Histogram::new(&DURATIONS),
        }
    }
}

impl Counters {
    /// Counts a session, for the peer that was let in; it is counted as open where the result says.
    pub(super) fn open(&self, peer: Option<&Peer>) -> Tallied {
        self.opened.fetch_add(1, Ordering::Relaxed);
        self.tallies.open(peer)
    }

    /// Returns the sessions by anchor and rule; those without a verified peer come first.
    pub fn tallies(&self) -> Vec<Arc<Tally>> {
        self.tallies.all()
    }

    pub(super) fn every_tally(&self) -> &Tallies {
        &self.tallies
    }

    /// Connections that each allow rule let in.
    pub fn by_rule(&self) -> Vec<(String, u64)> {
        let mut rules = BTreeMap::<String, u64>::new();
        for tally in self.tallies().into_iter().filter(|tally| !tally.rule.is_empty()) {
            let count = rules.entry(tally.rule.clone()).or_default();
            *count = count.saturating_add(tally.opened_total());
        }
        rules.into_iter().collect()
    }

    pub(super) fn close(&self, duration: Duration) {
        self.closed.fetch_add(1, Ordering::Relaxed);
        self.durations.observe(duration);
    }

    /// Returns how long the sessions took that have ended.
    pub fn session_durations(&self) -> Distribution {
        self.durations.distribution()
    }

    pub(super) fn handshakes(&self) -> &Handshakes {
        &self.handshakes
    }

    /// Returns the handshakes by what became of them.
    pub fn handshake_counts(&self) -> Vec<HandshakeCount> {
        self.handshakes.counts()
    }

    /// Returns how long the accepted handshakes took.
    pub fn handshake_durations(&self) -> Distribution {
        self.handshakes.durations()
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn go_on(&self) {
        self.continued.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn refuse(&self, reason: RefusalReason) {
        let counters = RefusalReason::ALL.iter().zip(&self.refused);
        for (_, counter) in counters.filter(|(other, _)| **other == reason) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    pub(super) fn up(&self) -> &AtomicU64 {
        &self.up
    }

    pub(super) fn down(&self) -> &AtomicU64 {
        &self.down
    }

    /// Returns the number of admitted connections that reached the target, and that a TLS target accepted.
    pub fn accepted_total(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Returns the number of connections that are open now.
    pub fn open_now(&self) -> u64 {
        // Read in this order, a connection that closes meanwhile is at worst still counted.
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted_total().saturating_sub(closed)
    }

    /// Returns the number of sessions that were ended because their peer was no longer authorized.
    pub fn ended_total(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Returns the number of connections that ended otherwise than by the orderly end of both sides or a refusal.
    pub fn cut_total(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// Returns how often sessions were continued under newer certificates of their peers.
    pub fn continued_total(&self) -> u64 {
        self.continued.load(Ordering::Relaxed)
    }

    /// Returns the octets of plaintext from client to target.
    pub fn up_total(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Returns the octets of plaintext from target to client.
    pub fn down_total(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Returns the number of connections that carried nothing for this reason.
    pub fn refused_total(&self, reason: RefusalReason) -> u64 {
        let counters = RefusalReason::ALL.iter().zip(&self.refused);
        counters.filter(|(other, _)| **other == reason).map(|(_, counter)| counter.load(Ordering::Relaxed)).sum()
    }
}
