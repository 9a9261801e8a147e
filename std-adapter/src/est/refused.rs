//! Counts and logs refused devices, and keeps them for the status page.

use std::fmt;
use std::net::SocketAddr;

use tracing::warn;

use super::status::{Outcome, Status};
use crate::audit::Recorded;
use crate::gateway::Refusal;
use crate::tls::{AcceptError, Peer, ShownCertificate, ShownRequest};

/// A refused connection or request.
pub(super) struct Refused<'a> {
    pub(super) outcome: Outcome,
    pub(super) reason: &'a dyn fmt::Display,
    /// The certificate that was presented.
    pub(super) shown: Option<&'a ShownCertificate>,
    /// The identity that the device had been admitted as, if any.
    pub(super) peer: Option<&'a Peer>,
    /// The certificate led to a CA of ours.
    pub(super) verified: bool,
    /// The path and the status of a request that was answered.
    pub(super) answered: Option<(&'a str, u16)>,
    /// The requested certificate.
    pub(super) requested: Option<&'a ShownRequest>,
    /// A limit turned the connection away before anything was read from it.
    pub(super) is_unread: bool,
}

impl<'a> Refused<'a> {
    /// Creates the refusal of a connection that was not admitted.
    pub(super) fn not_admitted(reason: &'a dyn fmt::Display, shown: Option<&'a ShownCertificate>) -> Self {
        Self {
            outcome: Outcome::NotAdmitted,
            reason,
            shown,
            peer: None,
            verified: false,
            answered: None,
            requested: None,
            is_unread: false,
        }
    }
}

impl<'a> From<&'a AcceptError> for Refused<'a> {
    fn from(error: &'a AcceptError) -> Self {
        Self { verified: error.is_of_verified(), ..Self::not_admitted(error, error.shown()) }
    }
}

impl Status {
    /// Counts, keeps and logs a refusal.
    pub(super) fn refuse(&self, remote: SocketAddr, refused: &Refused<'_>) -> Recorded {
        let Refused { outcome, reason, shown, peer, verified, answered, requested, is_unread } = refused;
        self.count(*outcome);
        let mut refusal = Refusal::new(Some(remote), outcome.name(), reason, *shown);
        (refusal.verified, refusal.requested) = (*verified, requested.cloned());
        refusal.is_unread = *is_unread;
        refusal.admitted = peer.map(|peer| (peer.to_string(), peer.rule().map(str::to_owned)));
        let recorded = refusal.record(self.audit(), "est");
        self.refusals().note(refusal);
        let field = |name| shown.and_then(|shown| shown.field(name));
        warn!(
            peer = peer.map(tracing::field::display),
            %remote,
            path = answered.map(|(path, _)| tracing::field::display(path)),
            code = answered.map(|(_, code)| code),
            subject = field("subject"),
            names = field("names"),
            issuer = field("issuer"),
            serial = field("serial"),
            spki_sha256 = field("spki_sha256"),
            certificate_sha256 = field("certificate_sha256"),
            requested_subject = requested.map(|requested| requested.subject.as_str()),
            requested_names = requested.map(|requested| requested.names.as_str()),
            "est: refused: {reason}"
        );
        recorded
    }
}
