//! Provides the status of a running EST server.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pki_types::UnixTime;

use super::voucher::VoucherState;
use super::voucher_file::VoucherFile;
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
    /// A first certificate was issued, by a voucher.
    FirstIssued,
    /// The order takes long, and the device asks again.
    Accepted,
    /// Name and password are missing, or of no voucher that is good for the request.
    Unauthorized,
    /// There were too many wrong passwords.
    Limited,
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
    pub const ALL: [Self; 11] = [
        Self::Issued,
        Self::FirstIssued,
        Self::CaCerts,
        Self::CsrAttrs,
        Self::Accepted,
        Self::Unauthorized,
        Self::Limited,
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
            Self::FirstIssued => "first_issued",
            Self::Accepted => "accepted",
            Self::Unauthorized => "unauthorized",
            Self::Limited => "limited",
            Self::Refused => "refused",
            Self::Malformed => "malformed",
            Self::Unavailable => "unavailable",
            Self::NotAdmitted => "not_admitted",
        }
    }
}

/// The number of vouchers in each state, by the state's name.
pub type VoucherCounts = [(&'static str, usize); VoucherState::ALL.len()];

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
    /// The address of first certificates, and the vouchers for them.
    first: Mutex<Option<(SocketAddr, Arc<VoucherFile>)>>,
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

    pub(super) fn set_first(&self, first: Option<(SocketAddr, Arc<VoucherFile>)>) {
        *lock(&self.first) = first;
    }

    /// Returns the address of first certificates, with the number of vouchers in each state, or why there are none; or
    /// `None` where first certificates come from elsewhere.
    pub fn first(&self) -> Option<(SocketAddr, Result<VoucherCounts, String>)> {
        let (address, file) = lock(&self.first).clone()?;
        let counts = file.read().map_err(|error| error.to_string()).map(|vouchers| {
            let now = crate::clock::now();
            let count = |state| vouchers.all().iter().filter(|voucher| voucher.state(now) == state).count();
            VoucherState::ALL.map(|state| (state.name(), count(state)))
        });
        Some((address, counts))
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
