//! Reports what a gateway has done and is doing while it runs.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};

use arc_swap::{ArcSwap, ArcSwapOption};
use edgetrust_core::mesh::Edition;
use pki_types::UnixTime;

use super::refusals::Refusals;
use super::{Address, ListStatus};
use crate::tls::Certificates;

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
    /// A limit was reached: of the source, of handshakes, or of connections.
    Limit,
}

impl RefusalReason {
    /// All reasons, in the order of their counters.
    pub const ALL: [Self; 6] =
        [Self::Peer, Self::Handshake, Self::ServerName, Self::Target, Self::Deadline, Self::Limit];

    /// Returns the reason's name in metrics.
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

/// The counters of one tunnel, which outlive reloads.
#[derive(Debug, Default)]
pub struct Counters {
    opened: AtomicU64,
    closed: AtomicU64,
    ended: AtomicU64,
    cut: AtomicU64,
    continued: AtomicU64,
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

/// The status of one running tunnel.
#[derive(Debug)]
pub struct TunnelStatus {
    /// The name.
    pub name: String,
    /// The address that the tunnel listens on.
    pub address: Address,
    /// The address that the tunnel forwards to.
    pub target: Address,
    /// The certificates that the tunnel shows to peers, and those that peers are verified by.
    pub certificates: Certificates,
    /// True if the tunnel verifies no server.
    pub insecure: bool,
    /// The tunnel's counters.
    pub counters: Arc<Counters>,
}

impl TunnelStatus {
    /// Returns the first and last second of the tunnel's own certificate's validity, if there is one.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        self.certificates.validity()
    }
}

/// The mesh in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshStatus {
    /// The name of the mesh.
    pub name: String,
    /// The name of this gateway's site.
    pub site: String,
    /// The edition; its generation is 0 for a mesh that is not signed.
    pub edition: Edition,
    /// The last second at which the mesh can be taken.
    pub not_after: Option<UnixTime>,
    /// The reason for which the mesh file was refused, where another mesh is in force.
    pub file_refused: Option<String>,
    /// True if two texts are signed with its sequence.
    pub conflict: bool,
}

/// The counters and the state of a gateway.
#[derive(Debug, Default)]
pub struct Status {
    tunnels: ArcSwap<Vec<TunnelStatus>>,
    reloads: AtomicU64,
    reloads_refused: AtomicU64,
    last_refusal: Mutex<Option<String>>,
    unmatched: Counters,
    refusals: Refusals,
    draining: AtomicBool,
    mesh: ArcSwapOption<MeshStatus>,
    lists: ArcSwap<Vec<ListStatus>>,
}

impl Status {
    pub(super) fn set_tunnels(&self, mut tunnels: Vec<TunnelStatus>) {
        tunnels.sort_by(|one, other| one.name.cmp(&other.name));
        self.tunnels.store(Arc::new(tunnels));
    }

    pub(super) fn drain(&self) {
        self.draining.store(true, Ordering::Relaxed);
    }

    /// Records the result of a reload: `None`, or the reason for its refusal.
    pub fn reloaded(&self, refused: Option<String>) {
        let counter = if refused.is_some() { &self.reloads_refused } else { &self.reloads };
        counter.fetch_add(1, Ordering::Relaxed);
        *self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner) = refused;
    }

    /// Returns the running tunnels, by name.
    pub fn tunnels(&self) -> Arc<Vec<TunnelStatus>> {
        self.tunnels.load_full()
    }

    /// Records the mesh in force.
    pub(crate) fn set_mesh(&self, mesh: Option<MeshStatus>) {
        self.mesh.store(mesh.map(Arc::new));
    }

    /// Returns the mesh in force, if the gateway has one.
    pub fn mesh(&self) -> Option<Arc<MeshStatus>> {
        self.mesh.load_full()
    }

    /// Records the revocation lists in force.
    pub(crate) fn set_lists(&self, lists: Vec<ListStatus>) {
        self.lists.store(Arc::new(lists));
    }

    /// Returns the revocation lists in force.
    pub fn lists(&self) -> Arc<Vec<ListStatus>> {
        self.lists.load_full()
    }

    /// Returns the number of successful reloads, and of refused ones.
    pub fn reloads(&self) -> (u64, u64) {
        (self.reloads.load(Ordering::Relaxed), self.reloads_refused.load(Ordering::Relaxed))
    }

    /// Returns why the last reload was refused; `None` if it was not.
    pub fn last_refusal(&self) -> Option<String> {
        self.last_refusal.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Returns the last refusals.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Returns the counters of connections for which no tunnel was found.
    pub fn unmatched(&self) -> &Counters {
        &self.unmatched
    }

    /// Returns whether the gateway accepts no more.
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }
}
