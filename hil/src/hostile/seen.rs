//! Records what clients did, for all connections of a server.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

/// The clients' recorded behaviour, over all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The number of accepted connections.
    pub connections: usize,
    /// The number of connections with a ClientHello.
    pub hellos: usize,
    /// The clients' alerts: level and description (RFC 8446 section 6).
    pub alerts: Vec<(u8, u8)>,
    /// The number of client certificates received.
    pub certificates: usize,
    /// The number of connections with a correct client Finished.
    pub finished: usize,
    /// The received application data.
    pub application_data: Vec<u8>,
}

impl Seen {
    /// Returns whether a client disclosed its certificate or its data.
    pub fn gave_away(&self) -> bool {
        self.certificates > 0 || !self.application_data.is_empty()
    }
}

#[derive(Default)]
pub(super) struct Shared {
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

impl Shared {
    pub(super) fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn stop(&self) {
        self.stop.store(true, Ordering::Relaxed);
    }

    pub(super) fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}
