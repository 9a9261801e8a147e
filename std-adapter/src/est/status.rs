//! What an EST server has done and is doing, for whoever asks while it runs.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pki_types::UnixTime;

use crate::gateway::Refusals;
use crate::tls::{Authority, Certificates};

/// What came of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate was issued.
    Issued,
    /// The CAs of this location were sent.
    CaCerts,
    /// It was told what a request is to hold.
    CsrAttrs,
    /// The device was let in, and may not have what it asks for.
    Refused,
    /// What it sent could not be understood.
    Malformed,
    /// The CA is away, or there is too much to do.
    Unavailable,
    /// It was not let in: TLS, its certificate, or an allow list.
    NotAdmitted,
}

impl Outcome {
    /// All of them, in the order of their counters.
    pub const ALL: [Self; 7] = [
        Self::Issued,
        Self::CaCerts,
        Self::CsrAttrs,
        Self::Refused,
        Self::Malformed,
        Self::Unavailable,
        Self::NotAdmitted,
    ];

    /// Its name in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Issued => "issued",
            Self::CaCerts => "cacerts",
            Self::CsrAttrs => "csrattrs",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
            Self::NotAdmitted => "not_admitted",
        }
    }
}

/// Where it listens and what it shows.
#[derive(Debug)]
struct Running {
    address: SocketAddr,
    certificates: Certificates,
}

/// What an EST server has done and is doing; it outlives reloads.
#[derive(Debug, Default)]
pub struct Status {
    running: Mutex<Option<Running>>,
    counters: [AtomicU64; Outcome::ALL.len()],
    last_error: Mutex<Option<String>>,
    refusals: Refusals,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    pub(super) fn set_running(&self, running: Option<(SocketAddr, Certificates)>) {
        *lock(&self.running) = running.map(|(address, certificates)| Running { address, certificates });
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let counters = Outcome::ALL.iter().zip(&self.counters);
        for (_, counter) in counters.filter(|(other, _)| **other == outcome) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Notes why a device got no certificate; none where the last one did.
    pub(super) fn set_error(&self, error: Option<String>) {
        *lock(&self.last_error) = error;
    }

    /// Where it listens; none where there is no such server.
    pub fn address(&self) -> Option<SocketAddr> {
        lock(&self.running).as_ref().map(|running| running.address)
    }

    /// From when to when its own certificate is valid.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        lock(&self.running).as_ref().and_then(|running| running.certificates.validity())
    }

    /// Every CA, pin and intermediate that devices or the server itself are verified by.
    pub fn authorities(&self) -> Vec<Authority> {
        lock(&self.running).as_ref().map(|running| running.certificates.authorities()).unwrap_or_default()
    }

    /// What came of connections.
    pub fn total(&self, outcome: Outcome) -> u64 {
        let counters = Outcome::ALL.iter().zip(&self.counters);
        counters.filter(|(other, _)| **other == outcome).map(|(_, counter)| counter.load(Ordering::Relaxed)).sum()
    }

    /// The last refusals, at the handshake and of requests.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Why the last device that asked for a certificate got none.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }
}
