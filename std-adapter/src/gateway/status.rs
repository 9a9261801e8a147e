//! Reports what a gateway has done and is doing while it runs.

use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use arc_swap::{ArcSwap, ArcSwapOption};
use edgetrust_core::mesh::Digest;
use pki_types::UnixTime;

use super::contacts::Contacts;
use super::counters::Counters;
use super::door::Door;
use super::health::Health;
use super::mesh_status::MeshStatus;
use super::refusals::Refusals;
use super::sessions::Sessions;
use super::shares::Shares;
use super::side::Side;
use super::usage::Usage;
use super::{Address, ListStatus};
use crate::audit::AuditLog;
use crate::clock;
use crate::tls::Certificates;

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
    /// The time of the last reload that was taken, in seconds since 1970; 0 for none.
    last_reload: AtomicU64,
    last_refusal: Mutex<Option<String>>,
    unmatched: Counters,
    refusals: Refusals,
    draining: AtomicBool,
    mesh: ArcSwapOption<MeshStatus>,
    lists: ArcSwap<Vec<ListStatus>>,
    sessions: Sessions,
    contacts: Contacts,
    audit: AuditLog,
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
        if refused.is_none() {
            self.last_reload.store(clock::now().as_secs(), Ordering::Relaxed);
        }
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
    pub(super) fn new(contacts: Contacts, audit: AuditLog) -> Self {
        Self { contacts, audit, ..Self::default() }
    }

    /// Returns the audit log.
    pub(crate) fn audit(&self) -> &AuditLog {
        &self.audit
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

    /// Returns the time of the last reload that was taken.
    pub fn last_reload(&self) -> Option<UnixTime> {
        let seconds = Some(self.last_reload.load(Ordering::Relaxed)).filter(|seconds| *seconds > 0);
        seconds.map(|seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
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
