//! What a gateway has done and is doing, for whoever asks while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::ArcSwap;
use pki_types::UnixTime;

use super::Address;
use super::refusals::Refusals;
use crate::tls::Certificates;

/// Why a connection carried nothing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusalReason {
    /// The core refused the peer.
    Peer,
    /// The handshake or the network failed before the verdict.
    Handshake,
    /// No tunnel for the server name.
    ServerName,
    /// The target could not be reached.
    Target,
    /// It took too long.
    Deadline,
    /// A limit was reached: of its source, of handshakes, of connections.
    Limit,
}

impl RefusalReason {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 6] =
        [Self::Peer, Self::Handshake, Self::ServerName, Self::Target, Self::Deadline, Self::Limit];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Peer => "peer",
            Self::Handshake => "handshake",
            Self::ServerName => "server_name",
            Self::Target => "target",
            Self::Deadline => "deadline",
            Self::Limit => "limit",
        }
    }
}

/// Counters of one tunnel; they outlive reloads.
#[derive(Debug, Default)]
pub struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    ended: AtomicU64,
    cut: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
    refused: [AtomicU64; RefusalReason::ALL.len()],
    rules: Mutex<BTreeMap<String, u64>>,
}

/// Allow rules that are counted for one tunnel, those of earlier configurations among them; what is beyond is counted without its rule.
const MAX_RULES: usize = 1024;

impl Counters {
    /// Counts a connection, for the allow rule that let its peer in.
    pub(super) fn open(&self, rule: Option<&str>) {
        self.opened.fetch_add(1, Ordering::Relaxed);
        let Some(rule) = rule else { return };
        let mut rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = rules.get_mut(rule) {
            *count = count.saturating_add(1);
        } else if rules.len() < MAX_RULES {
            rules.insert(rule.to_owned(), 1);
        }
    }

    /// Connections that each allow rule let in.
    pub fn by_rule(&self) -> Vec<(String, u64)> {
        let rules = self.rules.lock().unwrap_or_else(PoisonError::into_inner);
        rules.iter().map(|(rule, count)| (rule.clone(), *count)).collect()
    }

    pub(super) fn close(&self) {
        self.closed.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn end(&self) {
        self.ended.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn cut(&self) {
        self.cut.fetch_add(1, Ordering::Relaxed);
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

    /// Connections that were let in and reached the target, which let them in where it is a TLS server.
    pub fn accepted_total(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Those that are open now.
    pub fn open_now(&self) -> u64 {
        // Read in this order, one that closes meanwhile is at worst still counted.
        let closed = self.closed.load(Ordering::Relaxed);
        self.accepted_total().saturating_sub(closed)
    }

    /// Sessions that were ended because their peer was no longer let in.
    pub fn ended_total(&self) -> u64 {
        self.ended.load(Ordering::Relaxed)
    }

    /// Connections that ended otherwise than by the orderly end of both sides, or their peer's refusal.
    pub fn cut_total(&self) -> u64 {
        self.cut.load(Ordering::Relaxed)
    }

    /// Octets of plaintext from client to target.
    pub fn up_total(&self) -> u64 {
        self.up.load(Ordering::Relaxed)
    }

    /// Octets of plaintext from target to client.
    pub fn down_total(&self) -> u64 {
        self.down.load(Ordering::Relaxed)
    }

    /// Connections that carried nothing, by reason.
    pub fn refused_total(&self, reason: RefusalReason) -> u64 {
        let counters = RefusalReason::ALL.iter().zip(&self.refused);
        counters.filter(|(other, _)| **other == reason).map(|(_, counter)| counter.load(Ordering::Relaxed)).sum()
    }
}

/// One tunnel of now.
#[derive(Debug)]
pub struct TunnelStatus {
    /// Its name.
    pub name: String,
    /// Where it listens.
    pub address: Address,
    /// Where it forwards to.
    pub target: Address,
    /// What it shows to peers, and what they are verified by.
    pub certificates: Certificates,
    /// No server is verified.
    pub insecure: bool,
    /// What it did.
    pub counters: Arc<Counters>,
}

impl TunnelStatus {
    /// From when to when its own certificate is valid, where it has one.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        self.certificates.validity()
    }
}

/// What a gateway has done and is doing.
#[derive(Debug, Default)]
pub struct Status {
    tunnels: ArcSwap<Vec<TunnelStatus>>,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
    last_refusal: Mutex<Option<String>>,
    unmatched: Counters,
    refusals: Refusals,
    draining: AtomicBool,
}

impl Status {
    pub(super) fn set_tunnels(&self, mut tunnels: Vec<TunnelStatus>) {
        tunnels.sort_by(|one, other| one.name.cmp(&other.name));
        self.tunnels.store(Arc::new(tunnels));
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Notes what came of a reload: nothing, or why it was refused.
    pub fn reloaded(&self, refused: Option<String>) {
        let counter = if refused.is_some() { &self.reloads_refused } else { &self.reloads };
        counter.fetch_add(1, Ordering::Relaxed);
        *self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// The tunnels of now, by name.
    pub fn tunnels(&self) -> Arc<Vec<TunnelStatus>> {
        self.tunnels.load_full()
    }

    /// Reloads that were taken up, and those that were refused.
    pub fn reloads(&self) -> (u64, u64) {
        (self.reloads.load(Ordering::Relaxed), self.reloads_refused.load(Ordering::Relaxed))
    }

    /// Why the last reload was refused; none where it was not.
    pub fn last_refusal(&self) -> Option<String> {
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// The last refusals.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Connections for which no tunnel was found.
    pub fn unmatched(&self) -> &Counters {
        &self.unmatched
    }

    /// It accepts no more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
