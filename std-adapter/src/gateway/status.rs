//! Reports what a gateway has done and is doing while it runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use edgetrust_core::mesh::Digest;
use pki_types::UnixTime;

use super::contacts::Contacts;
use super::door::Door;
use super::handshakes::{HandshakeCount, Handshakes};
use super::health::Health;
use super::mesh_status::MeshStatus;
use super::refusals::Refusals;
use super::sessions::Sessions;
use super::shares::Shares;
use super::tallies::{Tallied, Tallies, Tally};
use super::usage::Usage;
use super::{Address, ListStatus};
use crate::clock;
use crate::histogram::{Distribution, Histogram};
use crate::tls::{Certificates, Peer};

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

/// The side of TLS that a tunnel takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// Neither: plaintext.
    Plain,
    /// The server's.
    Server,
    /// The client's.
    Client,
}

impl Side {
    /// Returns the side's name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plain => "plain",
            Self::Server => "server",
            Self::Client => "client",
        }
    }
}

/// The status of one running tunnel.
#[derive(Debug)]
pub struct TunnelStatus {
    /// The name.
    pub name: String,
    /// The address that the tunnel listens on.
    pub address: Address,
    /// The targets that the tunnel forwards to, in the order of preference.
    pub targets: Vec<Arc<Health>>,
    /// The certificates that the tunnel shows to peers, and those that peers are verified by.
    pub certificates: Certificates,
    /// The side of TLS that the tunnel takes.
    pub side: Side,
    /// True if the tunnel verifies no server.
    pub insecure: bool,
    /// The tunnel's counters.
    pub counters: Arc<Counters>,
    pub(super) door: Arc<Door>,
    pub(super) shares: Arc<Shares>,
}

impl TunnelStatus {
    /// Returns how much of each limit is used: of the tunnel's own, and of those of its address.
    pub fn usages(&self) -> Vec<Usage> {
        self.shares.usages(&self.name).into_iter().chain(self.door.usages()).collect()
    }

    /// Returns the first and last second of the tunnel's own certificate's validity, if there is one.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        self.certificates.validity()
    }
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
    sessions: Sessions,
    contacts: Contacts,
    started: Started,
    configuration: ArcSwapOption<ConfigurationStatus>,
}

/// The time of the start.
#[derive(Debug)]
struct Started(UnixTime);

impl Default for Started {
    fn default() -> Self {
        Self(clock::now())
    }
}

/// The configuration file in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigurationStatus {
    /// The file.
    pub file: PathBuf,
    /// The SHA-256 of the file's text as it was read.
    pub digest: Digest,
    /// The time since which this text is in force.
    pub since: UnixTime,
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

    /// Creates the status of a gateway whose control channel reports to `contacts`.
    pub(super) fn new(contacts: Contacts) -> Self {
        Self { contacts, ..Self::default() }
    }

    /// Returns the control connections to other gateways.
    pub fn contacts(&self) -> &Contacts {
        &self.contacts
    }

    /// Returns the open sessions.
    pub fn sessions(&self) -> &Sessions {
        &self.sessions
    }

    /// Returns the time of the start.
    pub fn started(&self) -> UnixTime {
        self.started.0
    }

    /// Records the configuration file in force; the same text stays in force since it came.
    pub(crate) fn set_configuration(&self, file: PathBuf, digest: Digest) {
        let before = self.configuration();
        if !before.is_some_and(|before| before.file == file && before.digest == digest) {
            self.configuration.store(Some(Arc::new(ConfigurationStatus { file, digest, since: clock::now() })));
        }
    }

    /// Returns the configuration file in force, if the gateway runs one.
    pub fn configuration(&self) -> Option<Arc<ConfigurationStatus>> {
        self.configuration.load_full()
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
