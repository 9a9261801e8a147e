//! Lists the open sessions, for reports.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use pki_types::UnixTime;

use super::socket::Remote;
use super::tunnel::Route;
use crate::clock;
use crate::tls::{Admission, Peer};

/// An open session.
#[derive(Debug)]
pub struct SessionStatus {
    route: Arc<Route>,
    admission: Admission,
    remote: Remote,
    since: UnixTime,
    /// The last second of the certificates that the session runs under, in seconds since 1970.
    valid_until: AtomicU64,
    continued: AtomicU64,
    up: AtomicU64,
    down: AtomicU64,
}

impl SessionStatus {
    pub(super) fn new(route: Arc<Route>, admission: Admission, remote: Remote) -> Self {
        let valid_until = admission.peer().map_or(0, |peer| peer.valid_until().as_secs());
        Self {
            route,
            admission,
            remote,
            since: clock::now(),
            valid_until: valid_until.into(),
            continued: AtomicU64::new(0),
            up: AtomicU64::new(0),
            down: AtomicU64::new(0),
        }
    }

    pub(super) fn route(&self) -> &Arc<Route> {
        &self.route
    }

    /// Records the octets moved since the beginning.
    pub(super) fn moved(&self, (up, down): (u64, u64)) {
        self.up.store(up, Ordering::Relaxed);
        self.down.store(down, Ordering::Relaxed);
    }

    /// Records that the session goes on under certificates that are valid until then.
    pub(super) fn go_on(&self, until: UnixTime) {
        self.valid_until.store(until.as_secs(), Ordering::Relaxed);
        self.continued.fetch_add(1, Ordering::Relaxed);
    }

    /// Returns the name of the tunnel at the session's beginning.
    pub fn tunnel(&self) -> &str {
        &self.route.name
    }

    /// Returns the address of the client; empty for a client of a Unix socket.
    pub fn remote(&self) -> String {
        self.remote.to_string()
    }

    /// Returns the authorized peer as it was at the beginning, if the tunnel authenticates peers and it showed a certificate.
    pub fn peer(&self) -> Option<&Peer> {
        self.admission.peer().map(|peer| &**peer)
    }

    /// Returns the time of the beginning.
    pub fn since(&self) -> UnixTime {
        self.since
    }

    /// Returns the last second of the certificates that the session runs under.
    pub fn valid_until(&self) -> Option<UnixTime> {
        self.peer()?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(self.valid_until.load(Ordering::Relaxed))))
    }

    /// Returns how often the session was continued under newer certificates.
    pub fn continued(&self) -> u64 {
        self.continued.load(Ordering::Relaxed)
    }

    /// Returns the octets of plaintext moved from client to target, and back.
    pub fn moved_octets(&self) -> (u64, u64) {
        (self.up.load(Ordering::Relaxed), self.down.load(Ordering::Relaxed))
    }
}

/// The open sessions, by a number that grows.
#[derive(Debug, Default)]
pub struct Sessions(Mutex<Open>);

#[derive(Debug, Default)]
struct Open {
    next: u64,
    sessions: BTreeMap<u64, Arc<SessionStatus>>,
}

impl Sessions {
    fn open(&self) -> MutexGuard<'_, Open> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a session, and returns its number.
    pub(super) fn add(&self, session: Arc<SessionStatus>) -> u64 {
        let mut open = self.open();
        let number = open.next;
        open.next = number.wrapping_add(1);
        open.sessions.insert(number, session);
        number
    }

    pub(super) fn remove(&self, number: u64) {
        let removed = self.open().sessions.remove(&number);
        // Outside the lock, since this may free a route.
        drop(removed);
    }

    /// Returns the number of open sessions, and the newest of them, at most `limit`, the newest first.
    pub fn newest(&self, limit: usize) -> (usize, Vec<Arc<SessionStatus>>) {
        let open = self.open();
        (open.sessions.len(), open.sessions.values().rev().take(limit).cloned().collect())
    }
}
