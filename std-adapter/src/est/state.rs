//! Holds what all connections of the EST server share.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pki_types::CertificateDer;

use super::attempts::Attempts;
use super::authorities::Authorities;
use super::denial::Denial;
use super::first_names::FirstNames;
use super::first_orders::FirstOrders;
use super::own_names::OwnNames;
use super::reenroll::Orders;
use super::refused::Refused;
use super::status::Status;
use super::voucher_file::VoucherFile;
use crate::acme::DeviceIssuer;
use crate::audit::Recorded;
use crate::gateway::{Door, Limits, Shares, TunnelLimits, Turned};
use crate::tls::{ServerSettings, TlsServer};

/// The default limit of devices admitted at a time; further devices wait until the handshake timeout.
const CONNECTIONS: usize = 256;
/// The number of devices that may wait for a connection to end.
const WAITING: usize = 1024;
/// The name that the connections' shares are counted under.
pub(super) const EST: &str = "est";

/// The parts of an EST server for devices without a certificate.
pub(super) struct FirstEnrollment {
    /// Asks for no certificate.
    pub(super) tls: TlsServer,
    pub(super) names: FirstNames,
    pub(super) vouchers: Arc<VoucherFile>,
}

/// The state that all connections share; replaced as a whole.
pub(super) struct EstState {
    /// The server, and the settings that it was made from; replaced where more keys are denied.
    pub(super) tls: ArcSwap<(TlsServer, ServerSettings)>,
    pub(super) issuer: DeviceIssuer,
    pub(super) authorities: Authorities,
    pub(super) own_names: OwnNames,
    pub(super) chain_in_answer: bool,
    pub(super) limits: Limits,
    pub(super) own_limits: TunnelLimits,
    /// None if devices have their first certificate from elsewhere.
    pub(super) first: Option<FirstEnrollment>,
}

impl EstState {
    /// Returns the parts for devices without a certificate.
    pub(super) fn first(&self) -> Result<&FirstEnrollment, Denial> {
        self.first.as_ref().ok_or_else(|| Denial::later("gateway.est.first_enrollment is gone"))
    }

    /// Returns what a device is sent of the chain of its certificate (RFC 7030 section 4.2.3: the certificate alone).
    pub(super) fn answer<'c>(&self, chain: &'c [CertificateDer<'static>]) -> &'c [CertificateDer<'static>] {
        if self.chain_in_answer { chain } else { chain.get(..1).unwrap_or_default() }
    }
}

/// The counts of all connections, which outlive a replaced state.
#[derive(Clone)]
pub(super) struct Counts {
    pub(super) door: Arc<Door>,
    pub(super) shares: Arc<Shares>,
}

impl Counts {
    pub(super) fn new(limits: &TunnelLimits) -> Self {
        let shares = Shares::new((limits.connections.unwrap_or(CONNECTIONS), WAITING), [(EST, None)].into_iter());
        Self { door: Door::new(limits.door()), shares }
    }

    pub(super) fn set(&self, limits: &TunnelLimits) {
        self.door.set_limits(limits.door());
        self.shares.set((limits.connections.unwrap_or(CONNECTIONS), WAITING), [(EST, None)].into_iter());
    }
}

/// The parts that all connections share.
#[derive(Clone)]
pub(super) struct Common {
    pub(super) status: Arc<Status>,
    pub(super) orders: Orders,
    pub(super) first_orders: FirstOrders,
    pub(super) attempts: Arc<Attempts>,
    pub(super) counts: Counts,
}

impl Common {
    /// Refuses a peer of which nothing is known.
    pub(super) fn refuse(&self, remote: SocketAddr, reason: &dyn fmt::Display) -> Recorded {
        self.status.refuse(remote, &Refused::not_admitted(reason, None))
    }

    /// Refuses a peer for a limit.
    pub(super) fn turn_away(&self, remote: SocketAddr, reason: &Turned) -> Recorded {
        self.status.refuse(remote, &Refused { is_unread: true, ..Refused::not_admitted(reason, None) })
    }
}
