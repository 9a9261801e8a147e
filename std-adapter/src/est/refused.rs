//! Who was refused and why: counted, in the log, and on the page.

use std::fmt;
use std::net::SocketAddr;

use tracing::warn;

use super::status::{Outcome, Status};
use crate::gateway::Refusal;
use crate::tls::{AcceptError, Peer, ShownCertificate, ShownRequest};

/// Whoever did not get what it came for.
pub(super) struct Refused<'a> {
    pub(super) outcome: Outcome,
    pub(super) reason: &'a dyn fmt::Display,
    /// The certificate that was shown.
    pub(super) shown: Option<&'a ShownCertificate>,
    /// As whom it had been let in, where it had.
    pub(super) peer: Option<&'a Peer>,
    /// Its certificate led to a CA of ours.
    pub(super) verified: bool,
    /// Path and status of a request that was answered.
    pub(super) answered: Option<(&'a str, u16)>,
    /// What it asked a certificate for.
    pub(super) requested: Option<&'a ShownRequest>,
}

impl<'a> Refused<'a> {
    /// One that was not let in.
    pub(super) fn not_admitted(reason: &'a dyn fmt::Display, shown: Option<&'a ShownCertificate>) -> Self {
        Self {
            outcome: Outcome::NotAdmitted,
            reason,
            shown,
            peer: None,
            verified: false,
            answered: None,
            requested: None,
        }
    }
}

impl<'a> From<&'a AcceptError> for Refused<'a> {
    fn from(error: &'a AcceptError) -> Self {
        Self { verified: error.is_of_verified(), ..Self::not_admitted(error, error.shown()) }
    }
}

impl Status {
    /// Counts it, keeps it, says it.
    pub(super) fn refuse(&self, remote: SocketAddr, refused: &Refused<'_>) {
        let Refused { outcome, reason, shown, peer, verified, answered, requested } = refused;
        self.count(*outcome);
        let mut refusal = Refusal::new(Some(remote), outcome.name(), reason, *shown);
        (refusal.verified, refusal.requested) = (*verified, requested.cloned());
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
    }
}
