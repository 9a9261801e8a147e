//! Provides the status of a running EST server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use pki_types::UnixTime;

use crate::audit::AuditLog;
use crate::gateway::Refusals;
use crate::tls::{Authority, Certificates};

/// The outcome of a connection or a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// A certificate was issued.
    Issued,
    /// The CAs of this location were sent.
    CaCerts,
    /// The attributes that a request must have were sent.
    CsrAttrs,
    /// The device was admitted, but may not have the certificate requested.
    Refused,
    /// The request was malformed.
    Malformed,
    /// The CA is unavailable, or there is too much to do.
    Unavailable,
    /// The connection was not admitted: TLS, the certificate, or an allow list.
    NotAdmitted,
}

impl Outcome {
    /// All outcomes, in the order of their counters.
    pub const ALL: [Self; 7] = [
        Self::Issued,
        Self::CaCerts,
        Self::CsrAttrs,
        Self::Refused,
        Self::Malformed,
        Self::Unavailable,
        Self::NotAdmitted,
    ];

    /// Returns the outcome's name in metrics.
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

/// The address that the server listens on, and the certificates that it uses.
#[derive(Debug)]
struct Running {
    address: SocketAddr,
    certificates: Certificates,
}

/// The status of an EST server; it outlives reloads.
#[derive(Debug, Default)]
pub struct Status {
    running: Mutex<Option<Running>>,
    counters: [AtomicU64; Outcome::ALL.len()],
    last_error: Mutex<Option<String>>,
    refusals: Refusals,
    audit: AuditLog,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Status {
    /// Creates the status of a server that records in `audit`.
    pub(super) fn new(audit: AuditLog) -> Self {
        Self { audit, ..Self::default() }
    }

    /// Returns the audit log.
    pub(super) fn audit(&self) -> &AuditLog {
        &self.audit
    }

    /// Returns the certificates that the server uses, if it runs.
    pub(crate) fn certificates(&self) -> Option<Certificates> {
        lock(&self.running).as_ref().map(|running| running.certificates.clone())
    }

    pub(super) fn set_running(&self, running: Option<(SocketAddr, Certificates)>) {
        *lock(&self.running) = running.map(|(address, certificates)| Running { address, certificates });
    }

    pub(super) fn count(&self, outcome: Outcome) {
        let counters = Outcome::ALL.iter().zip(&self.counters);
        for (_, counter) in counters.filter(|(other, _)| **other == outcome) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Sets the reason that a device could not be served, or `None` if the last device got a certificate.
    pub(super) fn set_error(&self, error: Option<String>) {
        *lock(&self.last_error) = error;
    }

    /// Returns the address that the server listens on, or `None` if there is no server.
    pub fn address(&self) -> Option<SocketAddr> {
        lock(&self.running).as_ref().map(|running| running.address)
    }

    /// Returns the validity period of the server's certificate.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        lock(&self.running).as_ref().and_then(|running| running.certificates.validity())
    }

    /// Returns every CA, pin and intermediate that devices or the server itself are verified by.
    pub fn authorities(&self) -> Vec<Authority> {
        lock(&self.running).as_ref().map(|running| running.certificates.authorities()).unwrap_or_default()
    }

    /// Returns the number of connections and requests with this outcome.
    pub fn total(&self, outcome: Outcome) -> u64 {
        let counters = Outcome::ALL.iter().zip(&self.counters);
        counters.filter(|(other, _)| **other == outcome).map(|(_, counter)| counter.load(Ordering::Relaxed)).sum()
    }

    /// Returns the last refusals, at the handshake and of requests.
    pub fn refusals(&self) -> &Refusals {
        &self.refusals
    }

    /// Returns the reason that a device could not be served since the last one that got a certificate.
    pub fn last_error(&self) -> Option<String> {
        lock(&self.last_error).clone()
    }
}
