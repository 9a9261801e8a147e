//! Allow lists: which clients are authorized.

use std::fmt;
use std::net::IpAddr;

use edgetrust_core::identity::{AuthorizedPeer, Denied, Issuers, PeerPolicy, Rule, RuleName};
use edgetrust_core::path::VerifiedPath;
use edgetrust_core::x509::KeyHash;

/// One entry of an allow list: a name, and the CAs that it must come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRule {
    /// The name.
    pub name: OwnedRuleName,
    /// The keys of the CAs that the client's own certificate must come from; `None` for any CA that the anchors vouch
    /// for. Every such CA can issue any common name, so a rule without issuers trusts them all.
    pub issuers: Option<Vec<KeyHash>>,
}

/// The name that a rule is for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedRuleName {
    /// The subject's only commonName.
    CommonName(String),
    /// A dNSName.
    Dns(String),
    /// A uniformResourceIdentifier.
    Uri(String),
    /// An iPAddress.
    Ip(IpAddr),
}

impl From<OwnedRuleName> for OwnedRule {
    /// Makes a rule for certificates of any CA that the anchors vouch for.
    fn from(name: OwnedRuleName) -> Self {
        Self { name, issuers: None }
    }
}

impl OwnedRule {
    fn borrow(&self) -> Rule<'_> {
        Rule { name: self.name.borrow(), issuers: self.issuers.as_deref().map_or(Issuers::Any, Issuers::OneOf) }
    }
}

impl OwnedRuleName {
    fn borrow(&self) -> RuleName<'_> {
        match self {
            Self::CommonName(name) => RuleName::CommonName(name),
            Self::Dns(name) => RuleName::Dns(name),
            Self::Uri(uri) => RuleName::Uri(uri),
            Self::Ip(address) => RuleName::Ip(*address),
        }
    }
}

/// Writes the rule as logs have it: `CN location-b`, or `CN location-b by sha256:…`.
impl fmt::Display for OwnedRule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.name.fmt(f)?;
        for (index, issuer) in self.issuers.iter().flatten().enumerate() {
            write!(f, "{} {issuer}", if index == 0 { " by" } else { " or" })?;
        }
        Ok(())
    }
}

impl fmt::Display for OwnedRuleName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::CommonName(name) => write!(f, "CN {name}"),
            Self::Dns(name) => write!(f, "DNS {name}"),
            Self::Uri(uri) => write!(f, "URI {uri}"),
            Self::Ip(address) => write!(f, "IP {address}"),
        }
    }
}

/// The clients that are authorized.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Peers {
    /// Every client with a verified path.
    #[default]
    AnyVerified,
    /// Clients that a rule names.
    OneOf(Vec<OwnedRule>),
}

impl Peers {
    /// Authorizes the peer of a path by the core's policy; the path was verified by RFC 5280 section 6.
    pub(super) fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        match self {
            Self::AnyVerified => PeerPolicy::AnyVerified.authorize(path),
            Self::OneOf(rules) => {
                let rules: Vec<Rule<'_>> = rules.iter().map(OwnedRule::borrow).collect();
                PeerPolicy::OneOf(&rules).authorize(path)
            }
        }
    }

    /// Returns the rule that a proof names.
    pub(super) fn rule(&self, proof: &AuthorizedPeer<'_>) -> Option<&OwnedRule> {
        match self {
            Self::AnyVerified => None,
            Self::OneOf(rules) => rules.get(usize::from(proof.rule()?)),
        }
    }
}
