//! Describes an authorized peer.

use std::fmt::{self, Write as _};

use edgetrust_core::identity::{AuthorizedPeer, common_name};
use edgetrust_core::x509::{GeneralName, KeyHash};
use pki_types::UnixTime;

/// An authorized peer: its identity, and the end of its authorization.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Peer {
    identity: String,
    common_name: Option<String>,
    rule: Option<String>,
    valid_until: UnixTime,
    /// The end of the revocation lists that the path was checked by.
    lists_until: Option<UnixTime>,
    keys: Box<[KeyHash]>,
    anchor: String,
}

impl Peer {
    /// Describes the peer of a proof, from the proof alone; `rule` is the text of the rule that the proof names, `keys`
    /// are those of its path, and `anchor` is the subject of the path's anchor.
    pub(super) fn new(proof: &AuthorizedPeer<'_>, rule: Option<String>, keys: Box<[KeyHash]>, anchor: String) -> Self {
        let (leaf, valid_until) = (proof.path().leaf(), proof.path().valid_until());
        let common_name =
            common_name(&leaf.subject()).ok().and_then(|name| name.chars().collect::<Result<String, _>>().ok());
        let mut identity = String::new();
        if let Some(name) = &common_name {
            // Writing to a String cannot fail.
            let _ = write!(identity, "CN={}", name.escape_debug());
        }
        for name in leaf.extensions().subject_alt_name.into_iter().flatten().take(MAX_SHOWN) {
            let (kind, text) = match name {
                GeneralName::Dns(text) => ("DNS", text),
                GeneralName::Uri(text) => ("URI", text),
                _ => continue,
            };
            let comma = if identity.is_empty() { "" } else { "," };
            // Nor here.
            let _ = write!(identity, "{comma}{kind}={}", text.escape_debug());
        }
        if identity.is_empty() {
            identity = leaf.subject().to_string();
        }
        let lists_until = proof.path().lists_until();
        Self { identity, common_name, rule, valid_until, lists_until, keys, anchor }
    }

    /// Returns the octets needed to remember the peer.
    pub(super) fn octets(&self) -> usize {
        let rest: usize = [&self.common_name, &self.rule].into_iter().flatten().map(String::len).sum();
        let rest = self.anchor.len().saturating_add(rest);
        self.identity.len().saturating_add(rest).saturating_add(size_of_val(&*self.keys))
    }

    #[cfg(test)]
    pub(crate) fn with_keys(keys: Box<[KeyHash]>) -> Self {
        Self { keys, ..Self::named("", UnixTime::since_unix_epoch(std::time::Duration::ZERO)) }
    }

    #[cfg(test)]
    pub(super) fn named(identity: &str, valid_until: UnixTime) -> Self {
        let (identity, keys, anchor) = (identity.to_owned(), Box::default(), String::new());
        Self { identity, common_name: None, rule: None, valid_until, lists_until: None, keys, anchor }
    }

    /// Returns the subject's only common name, if there is one.
    pub fn common_name(&self) -> Option<&str> {
        self.common_name.as_deref()
    }

    /// Returns the allow rule that authorized the peer, as the configuration names it: `CN location-b`; `None` where
    /// every verified peer is authorized.
    pub fn rule(&self) -> Option<&str> {
        self.rule.as_deref()
    }

    /// Returns the keys of the peer's path: its own first, and the anchor's last.
    #[cfg(feature = "cli")]
    pub(crate) fn keys(&self) -> &[KeyHash] {
        &self.keys
    }

    /// Returns the subject of the trust anchor that the peer's path ends at, cut to a limited length.
    #[cfg(feature = "cli")]
    pub(crate) fn anchor(&self) -> &str {
        &self.anchor
    }

    /// Returns the last second at which every certificate of the peer's path is valid.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// Returns whether the revocation lists that the path was checked by are not out of date.
    pub(super) fn is_checked(&self, now: UnixTime) -> bool {
        self.lists_until.is_none_or(|until| now <= until)
    }

    /// Returns the last second at which the verdict holds without another look: every certificate of the path is valid,
    /// and the revocation lists that it was checked by are not out of date.
    pub fn verdict_until(&self) -> UnixTime {
        self.lists_until.map_or(self.valid_until, |lists| lists.min(self.valid_until))
    }
}

/// The maximum number of names shown of one peer; a certificate may have thousands.
const MAX_SHOWN: usize = 4;

/// Writes the peer's names: `CN=location-b,URI=spiffe://mesh/b`.
impl fmt::Display for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.identity)
    }
}
