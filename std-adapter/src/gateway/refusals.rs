//! Keeps the last refusals, for reports.

use std::collections::{BTreeMap, VecDeque};
use std::fmt;
use std::net::SocketAddr;
use std::sync::{Mutex, PoisonError};

use pki_types::UnixTime;
use serde::Serialize;

use super::door::Source;
use super::socket::Remote;
use crate::audit::{AuditLog, Recorded};
use crate::clock;
use crate::tls::{ShownCertificate, ShownRequest};

/// The number of refusals kept: half for verified peers and half for strangers, if both have as many.
const KEPT: usize = 64;

/// The maximum number of characters kept of a reason.
const MAX_REASON: usize = 512;

/// Connections that were refused for one reason.
#[derive(Clone, Debug)]
pub struct Refusal {
    /// The time of the last refusal.
    pub at: UnixTime,
    /// The tunnel's name; empty if no tunnel was found, and at the EST server.
    pub tunnel: String,
    /// The address from which the last refused connection came.
    pub remote: String,
    /// The source of the last refused connection.
    source: Option<Source>,
    /// True if the certificate that was shown has a path to a trust anchor, or the peer had been authorized: a
    /// stranger cannot make up such peers.
    pub verified: bool,
    /// The kind of reason, by its name in metrics.
    pub kind: &'static str,
    /// The reason of the last refusal.
    pub reason: String,
    /// The certificate that was shown.
    pub shown: Option<ShownCertificate>,
    /// The certificate that the last refused device requested.
    pub requested: Option<ShownRequest>,
    /// The number of refusals.
    pub count: u64,
    /// True if the connection was turned away before anything was read from it.
    pub(crate) is_unread: bool,
    /// The identity that the peer had been admitted as, if any, and the rule that admitted it.
    pub(crate) admitted: Option<(String, Option<String>)>,
}

/// The fields of a refusal in the audit log.
#[derive(Serialize)]
struct Fields<'a> {
    at: &'static str,
    #[serde(skip_serializing_if = "str::is_empty")]
    tunnel: &'a str,
    remote: &'a str,
    kind: &'static str,
    reason: &'a str,
    verified: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    peer: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    rule: Option<&'a str>,
    #[serde(flatten)]
    shown: BTreeMap<&'static str, &'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
}

impl Refusal {
    /// Creates the refusal of a stranger, at no tunnel.
    pub(crate) fn new(
        remote: Option<SocketAddr>,
        kind: &'static str,
        reason: &dyn fmt::Display,
        shown: Option<&ShownCertificate>,
    ) -> Self {
        Self {
            at: clock::now(),
            tunnel: String::new(),
            remote: Remote(remote).to_string(),
            source: remote.map(Source::from),
            verified: false,
            kind,
            reason: reason.to_string().chars().take(MAX_REASON).collect(),
            shown: shown.cloned(),
            requested: None,
            count: 1,
            is_unread: false,
            admitted: None,
        }
    }

    /// Records the refusal in the audit log. `at` is the part of the gateway that refuses.
    pub(crate) fn record(&self, audit: &AuditLog, at: &'static str) -> Recorded {
        let fields = |count| {
            let mut shown: BTreeMap<_, _> = self.shown.iter().flat_map(ShownCertificate::fields).collect();
            if let Some(ShownRequest { subject, names }) = &self.requested {
                shown.insert("requested_subject", subject);
                shown.insert("requested_names", names);
            }
            Fields {
                at,
                tunnel: &self.tunnel,
                remote: &self.remote,
                kind: self.kind,
                reason: &self.reason,
                verified: self.verified,
                peer: self.admitted.as_ref().map(|(peer, _)| peer.as_str()),
                rule: self.admitted.as_ref().and_then(|(_, rule)| rule.as_deref()),
                shown,
                count,
            }
        };
        audit.fold("refused", &self.subject(at), fields)
    }

    /// Returns what the refusals of one line have in common: the tunnel and the kind if nothing was read from the peer,
    /// else its address, its certificate and the reason too.
    fn subject(&self, at: &str) -> String {
        let Self { kind, tunnel, reason, remote, shown, requested, .. } = self;
        if self.is_unread {
            return format!("{at} {kind} {tunnel}");
        }
        let address = remote.rsplit_once(':').map_or(remote.as_str(), |(address, _)| address);
        format!("{at} {kind} {tunnel} {address} {shown:?} {requested:?} {reason}")
    }

    /// Returns whether `other` is the same reason of the same peer; times and other numbers in the reason may differ.
    fn is_repeated_by(&self, other: &Self) -> bool {
        let words = |text: &'_ str| text.chars().filter(|c| !c.is_ascii_digit()).collect::<String>();
        self.kind == other.kind
            && self.verified == other.verified
            && self.tunnel == other.tunnel
            && self.shown == other.shown
            && (self.reason == other.reason || words(&self.reason) == words(&other.reason))
    }
}

/// Keeps the last refusals, and counts repeats.
#[derive(Debug, Default)]
pub struct Refusals(Mutex<VecDeque<Refusal>>);

impl Refusals {
    pub(crate) fn note(&self, mut refusal: Refusal) {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let before = kept.iter().position(|before| before.is_repeated_by(&refusal));
        if let Some(before) = before.and_then(|place| kept.remove(place)) {
            refusal.count = before.count.saturating_add(1);
        }
        kept.push_front(refusal);
        if kept.len() > KEPT
            && let Some(place) = makes_room(&kept)
        {
            kept.remove(place);
        }
    }

    /// Returns all refusals that are kept, the last first.
    pub fn all(&self) -> Vec<Refusal> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).iter().cloned().collect()
    }
}

/// Returns the place of the refusal to drop: of verified peers or strangers, whichever have more than half, the oldest
/// of the source that has most. Strangers with fresh keys thus displace no verified peer, and one source no other.
fn makes_room(kept: &VecDeque<Refusal>) -> Option<usize> {
    let verified = kept.iter().filter(|refusal| refusal.verified).count() > KEPT / 2;
    let part = || kept.iter().enumerate().filter(move |(_, refusal)| refusal.verified == verified);
    let of_source = |source| part().filter(|(_, refusal)| refusal.source == source).count();
    part().max_by_key(|(place, refusal)| (of_source(refusal.source), *place)).map(|(place, _)| place)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(from: &str, reason: &str, verified: bool) -> Refusal {
        let remote = SocketAddr::new(from.parse().unwrap(), 1);
        Refusal { verified, ..Refusal::new(Some(remote), "peer", &reason, None) }
    }

    /// Returns reasons that differ in more than numbers.
    fn reason(number: usize) -> String {
        "x".repeat(number)
    }

    fn count(refusals: &Refusals, is: impl Fn(&Refusal) -> bool) -> usize {
        refusals.all().iter().filter(|refusal| is(refusal)).count()
    }

    #[test]
    fn as_many_are_kept_and_the_last_comes_first() {
        let refusals = Refusals::default();
        for number in 0..200 {
            refusals.note(refusal("192.0.2.1", &reason(number), number % 2 == 0));
        }
        let all = refusals.all();
        assert_eq!(all.len(), KEPT);
        let kept: Vec<_> = all.iter().map(|refusal| refusal.reason.len()).collect();
        assert_eq!(kept, (200 - KEPT..200).rev().collect::<Vec<_>>());
        refusals.note(refusal("192.0.2.1", &"y".repeat(10_000), false));
        assert_eq!(refusals.all()[0].reason.len(), MAX_REASON);
    }

    #[test]
    fn a_kind_alone_has_all_places_and_gives_up_half() {
        for verified in [true, false] {
            let refusals = Refusals::default();
            for number in 0..100 {
                refusals.note(refusal("192.0.2.1", &reason(number), verified));
            }
            assert_eq!(refusals.all().len(), KEPT);
            for number in 0..100 {
                refusals.note(refusal("192.0.2.2", &reason(number), !verified));
            }
            assert_eq!(count(&refusals, |refusal| refusal.verified), KEPT / 2);
            assert_eq!(refusals.all().len(), KEPT);
        }
    }

    #[test]
    fn one_source_of_strangers_pushes_out_no_other() {
        let refusals = Refusals::default();
        for number in 0..20 {
            refusals.note(refusal(&format!("198.51.100.{number}"), &reason(number), false));
        }
        for number in 20..300 {
            refusals.note(refusal("192.0.2.1", &reason(number), false));
            // One site of IPv6 is one source (RFC 6177 section 2).
            refusals.note(refusal(&format!("2001:db8::{number:x}"), &reason(300 + number), false));
        }
        assert_eq!(count(&refusals, |refusal| refusal.remote.starts_with("198.51.100.")), 20);
        assert_eq!(count(&refusals, |refusal| refusal.remote.starts_with("192.0.2.1:")), 22);
    }

    #[test]
    fn one_that_repeats_stays_one() {
        let refusals = Refusals::default();
        for number in 0..3 {
            refusals.note(refusal("192.0.2.1", &format!("expired {number} s ago"), true));
            refusals.note(refusal("192.0.2.1", "another", true));
        }
        let all = refusals.all();
        assert_eq!(all.iter().map(|refusal| refusal.count).collect::<Vec<_>>(), [3, 3]);
        assert_eq!(all[1].reason, "expired 2 s ago");
    }
}
