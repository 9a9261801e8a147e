//! One rule of an allow list, and the names it matches.

use core::net::IpAddr;

use super::{Issuers, dns_name};
use crate::x509::{Exhausted, GeneralName, Work};

/// One entry of an allow list: a name, and the CAs that it must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule<'a> {
    /// The name.
    pub name: RuleName<'a>,
    /// The CAs whose certificates the rule is for.
    pub issuers: Issuers<'a>,
}

impl<'a> From<RuleName<'a>> for Rule<'a> {
    /// Makes a rule for certificates of any CA that the trust anchors vouch for.
    fn from(name: RuleName<'a>) -> Self {
        Self { name, issuers: Issuers::Any }
    }
}

/// The name that a rule is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RuleName<'a> {
    /// The subject's only commonName, exactly.
    CommonName(&'a str),
    /// A dNSName of the subjectAltName, without regard to case; a wildcard in a certificate stands only for itself.
    Dns(&'a str),
    /// A uniformResourceIdentifier of the subjectAltName, exactly (a SPIFFE ID, say).
    Uri(&'a str),
    /// An iPAddress of the subjectAltName.
    Ip(IpAddr),
}

impl RuleName<'_> {
    /// Returns whether an alternative name is this one, or `None` if the name is of another kind.
    pub(super) fn is(&self, name: &GeneralName<'_>, work: &mut Work) -> Result<Option<bool>, Exhausted> {
        let (found, wanted) = match (self, name) {
            (Self::Dns(wanted), GeneralName::Dns(found)) => (found, dns_name::without_root(wanted)),
            (Self::Uri(wanted), GeneralName::Uri(found)) => (found, *wanted),
            (Self::Ip(wanted), GeneralName::Ip(octets)) => return Ok(Some(is_address(octets, *wanted))),
            _ => return Ok(None),
        };
        if found.len() != wanted.len() || wanted.is_empty() {
            return Ok(Some(false));
        }
        work.spend(wanted.len() / 4)?;
        Ok(Some(if matches!(self, Self::Dns(_)) { found.eq_ignore_ascii_case(wanted) } else { *found == wanted }))
    }
}

/// Returns whether family and octets are the same: an IPv4-mapped IPv6 address is not the IPv4 address.
pub(super) fn is_address(octets: &[u8], wanted: IpAddr) -> bool {
    match wanted {
        IpAddr::V4(address) => octets == address.octets(),
        IpAddr::V6(address) => octets == address.octets(),
    }
}
