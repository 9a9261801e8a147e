//! Allow lists and server names: the only makers of an [`AuthorizedPeer`].

use core::net::IpAddr;

use super::common_name::{self, CommonNameError, common_name};
use super::{Denied, dns_name};
use crate::path::{Purpose, VerifiedPath};
use crate::x509::{Certificate, GeneralName};

/// One entry of an allow list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule<'a> {
    /// The subject's only commonName, exactly.
    CommonName(&'a str),
    /// A dNSName of the subjectAltName, without regard to case; a wildcard in a certificate stands only for itself.
    Dns(&'a str),
    /// A uniformResourceIdentifier of the subjectAltName, exactly (a SPIFFE ID, say).
    Uri(&'a str),
    /// An iPAddress of the subjectAltName.
    Ip(IpAddr),
}

/// Which clients are let in.
#[derive(Clone, Copy, Debug)]
pub enum PeerPolicy<'a> {
    /// No list configured: every verified path.
    AnyVerified,
    /// One rule must match; an empty list lets nobody in.
    OneOf(&'a [Rule<'a>]),
}

/// The name that a server's certificate must be for: matched with the subjectAltName only, never the common name
/// (RFC 9525 section 6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ServerName<'a> {
    /// A DNS name.
    Dns(&'a str),
    /// An IP address.
    Ip(IpAddr),
}

/// Proof that this peer may talk to us; what a gateway forwards bytes for.
#[derive(Clone, Debug)]
pub struct AuthorizedPeer<'p> {
    path: VerifiedPath<'p>,
    rule: Option<u16>,
}

impl<'p> AuthorizedPeer<'p> {
    /// The path.
    pub fn path(&self) -> &VerifiedPath<'p> {
        &self.path
    }

    /// Index of the rule that matched; none where the policy has no list.
    pub fn rule(&self) -> Option<u16> {
        self.rule
    }
}

/// What one rule says of one certificate.
enum Match {
    Yes,
    No,
    /// There is no name of this kind.
    NoName,
    SeveralCommonNames,
}

impl Rule<'_> {
    fn matches(&self, leaf: &Certificate<'_>) -> Match {
        match self {
            Self::CommonName(wanted) => match common_name(&leaf.subject()) {
                Ok(name) if common_name::is(&name, wanted) => Match::Yes,
                Ok(_) | Err(CommonNameError::Undecodable) => Match::No,
                Err(CommonNameError::Missing) => Match::NoName,
                Err(CommonNameError::Several) => Match::SeveralCommonNames,
            },
            Self::Dns(wanted) => any_name(leaf, |name| match name {
                GeneralName::Dns(name) => Some(!wanted.is_empty() && name.eq_ignore_ascii_case(wanted)),
                _ => None,
            }),
            Self::Uri(wanted) => any_name(leaf, |name| match name {
                GeneralName::Uri(name) => Some(!wanted.is_empty() && name == *wanted),
                _ => None,
            }),
            Self::Ip(wanted) => any_name(leaf, |name| match name {
                GeneralName::Ip(octets) => Some(is_address(octets, *wanted)),
                _ => None,
            }),
        }
    }
}

/// Asks `is_it` of each alternative name; `None` from it is a name of another kind.
fn any_name(leaf: &Certificate<'_>, is_it: impl Fn(GeneralName<'_>) -> Option<bool>) -> Match {
    let mut outcome = Match::NoName;
    for name in leaf.extensions().subject_alt_name.into_iter().flatten() {
        match is_it(name) {
            Some(true) => return Match::Yes,
            Some(false) => outcome = Match::No,
            None => {}
        }
    }
    outcome
}

/// The same family, the same octets: an IPv4-mapped IPv6 address is not the IPv4 address.
fn is_address(octets: &[u8], wanted: IpAddr) -> bool {
    match wanted {
        IpAddr::V4(address) => octets == address.octets(),
        IpAddr::V6(address) => octets == address.octets(),
    }
}

impl PeerPolicy<'_> {
    /// Lets a client in, or says why not.
    ///
    /// # Errors
    /// [`Denied`], of all rules the reason that says most.
    pub fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        if path.purpose() != Purpose::ClientAuth {
            return Err(Denied::WrongPurpose);
        }
        let rules = match self {
            Self::AnyVerified => return Ok(AuthorizedPeer { path, rule: None }),
            Self::OneOf(rules) => *rules,
        };
        let mut denied = if rules.is_empty() { Denied::NoRuleMatched } else { Denied::NoName };
        for (index, rule) in (0_u16..).zip(rules) {
            match rule.matches(path.leaf()) {
                Match::Yes => return Ok(AuthorizedPeer { path, rule: Some(index) }),
                Match::No => denied = Denied::NoRuleMatched,
                Match::NoName => {}
                Match::SeveralCommonNames if denied == Denied::NoName => denied = Denied::SeveralCommonNames,
                Match::SeveralCommonNames => {}
            }
        }
        Err(denied)
    }
}

impl ServerName<'_> {
    /// Accepts a server, or says why not (RFC 9525 section 6).
    ///
    /// # Errors
    /// [`Denied::WrongServerName`] where no name of the subjectAltName fits.
    pub fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        if path.purpose() != Purpose::ServerAuth {
            return Err(Denied::WrongPurpose);
        }
        let outcome = match self {
            Self::Dns(wanted) if !dns_name::is_dns_name(wanted) => return Err(Denied::MalformedServerName),
            Self::Dns(wanted) => any_name(path.leaf(), |name| match name {
                GeneralName::Dns(name) => Some(dns_name::covers(name, wanted)),
                _ => None,
            }),
            Self::Ip(wanted) => Rule::Ip(*wanted).matches(path.leaf()),
        };
        match outcome {
            Match::Yes => Ok(AuthorizedPeer { path, rule: None }),
            _ => Err(Denied::WrongServerName),
        }
    }
}
