//! Judges a case and writes the verdict with all its details as one line.

use core::fmt::{self, Write};
use core::time::Duration;

use edgetrust_core::identity::{AuthorizedPeer, Denied, Issuers, PeerPolicy, Rule, ServerName, ServerPolicy};
use edgetrust_core::path::{Anchor, Budget, DeniedKey, Limits, Place, Purpose, Trust, VerifiedPath};
use edgetrust_core::pki_types::{SignatureVerificationAlgorithm, UnixTime};
use edgetrust_core::time::Utc;
use edgetrust_core::x509::Certificate;

use crate::case::{Case, MAX_ANCHORS, MAX_KEYS, MAX_RULES, MAX_SENT, Policy};

/// Parses, finds a path and applies the policy, with a device's limits and this algorithm alone; writes the verdict
/// without a line break.
///
/// # Errors
/// Returns the errors of `out`.
pub fn judge(case: &Case<'_>, algorithm: &dyn SignatureVerificationAlgorithm, out: &mut dyn Write) -> fmt::Result {
    let leaf = match Certificate::from_der(case.leaf) {
        Ok(leaf) => leaf,
        Err(error) => return write!(out, "refused: the peer's certificate: {error}"),
    };
    // A certificate that does not parse cannot be part of a path.
    let anchors: heapless::Vec<Anchor<'_>, MAX_ANCHORS> =
        case.anchors.iter().filter_map(|der| Certificate::from_der(der).ok()).map(Anchor::new).collect();
    let sent: heapless::Vec<Certificate<'_>, MAX_SENT> =
        case.sent.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let denied_keys: heapless::Vec<DeniedKey, MAX_KEYS> = case.denied.iter().copied().map(DeniedKey::from).collect();
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &denied_keys, algorithms: &[algorithm] };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(case.now));
    let mut budget = Budget::new(Limits { intermediates: case.intermediates, ..Limits::DEVICE });
    let path = match trust.verify(&leaf, &sent, case.purpose, now, &mut budget) {
        Ok(path) => path,
        Err(error) => {
            write!(out, "refused: path: {error}")?;
            return spent(out, &budget);
        }
    };
    match authorize(case, path.clone()) {
        Ok(peer) => {
            out.write_str("accepted: ")?;
            accepted(out, &path)?;
            if let Some(rule) = peer.and_then(|peer| peer.rule()) {
                write!(out, ", rule {rule}")?;
            }
        }
        Err(denied) => {
            write!(out, "refused: name: {denied}; path: ")?;
            accepted(out, &path)?;
        }
    }
    spent(out, &budget)
}

fn authorize<'p>(case: &Case<'_>, path: VerifiedPath<'p>) -> Result<Option<AuthorizedPeer<'p>>, Denied> {
    let issuers = if case.issuers.is_empty() { Issuers::Any } else { Issuers::OneOf(&case.issuers) };
    match &case.policy {
        Policy::None if case.purpose == Purpose::ClientAuth => PeerPolicy::AnyVerified.authorize(path).map(Some),
        Policy::None => Ok(None),
        Policy::Dns(name) => ServerPolicy { name: ServerName::Dns(name), issuers }.authorize(path).map(Some),
        Policy::Ip(address) => ServerPolicy { name: ServerName::Ip(*address), issuers }.authorize(path).map(Some),
        Policy::Rules(names) => {
            let rules: heapless::Vec<_, MAX_RULES> = names.iter().map(|name| Rule { name: *name, issuers }).collect();
            PeerPolicy::OneOf(&rules).authorize(path).map(Some)
        }
    }
}

fn accepted(out: &mut dyn Write, path: &VerifiedPath<'_>) -> fmt::Result {
    for place in path.issuers() {
        match place {
            Place::Sent(index) => write!(out, "sent {index}, ")?,
            Place::Known(index) => write!(out, "known {index}, ")?,
            Place::Anchor(index) => write!(out, "anchor {index}, ")?,
        }
    }
    write!(out, "valid until {}", Utc(path.valid_until()))
}

/// Writes the cost, so that verdicts reached by different searches differ.
fn spent(out: &mut dyn Write, budget: &Budget) -> fmt::Result {
    let left = budget.left();
    write!(out, " ({} units of work)", Limits::DEVICE.work.saturating_sub(left.work))
}
