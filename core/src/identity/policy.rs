//! Allow lists and server names: the only makers of an [`AuthorizedPeer`].

use core::net::IpAddr;

use super::common_name::{self, CommonNameError, common_name};
use super::objection::objection;
use super::{Denied, dns_name};
use crate::path::{Purpose, VerifiedPath};
use crate::x509::{Exhausted, GeneralName, Work};

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

/// Proof that this peer may talk to us; what a gateway forwards bytes for. A policy makes one, or a server's name, and nothing else does:
///
/// ```compile_fail,E0451
/// fn skip(path: edgetrust_core::path::VerifiedPath<'_>) -> edgetrust_core::identity::AuthorizedPeer<'_> {
///     edgetrust_core::identity::AuthorizedPeer { path, rule: None }
/// }
/// ```
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

impl Rule<'_> {
    /// Whether an alternative name is this rule's; none where it is of another kind.
    fn is(&self, name: &GeneralName<'_>, work: &mut Work) -> Result<Option<bool>, Exhausted> {
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

/// What reading an alternative name costs, without its octets.
const NAME: usize = 6;

/// The same family, the same octets: an IPv4-mapped IPv6 address is not the IPv4 address.
pub(super) fn is_address(octets: &[u8], wanted: IpAddr) -> bool {
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
        let mut work = path.work();
        let matched = first_rule(rules, &path, &mut denied, &mut work).map_err(|_| Denied::TooMuchWork)?;
        matched.map(|rule| AuthorizedPeer { path, rule: Some(rule) }).ok_or(denied)
    }
}

/// Index of the first rule that a name of the leaf matches and that nothing speaks against. Each name is read once, since a certificate may have thousands.
fn first_rule(
    rules: &[Rule<'_>],
    path: &VerifiedPath<'_>,
    denied: &mut Denied,
    work: &mut Work,
) -> Result<Option<u16>, Exhausted> {
    let leaf = path.leaf();
    let mut first: Option<u16> = None;
    let name = common_name(&leaf.subject());
    for (index, rule) in (0_u16..).zip(rules) {
        let Rule::CommonName(wanted) = rule else { continue };
        work.spend(wanted.len())?;
        match &name {
            Ok(name) if common_name::is(name, wanted) => match objection(rule, path, work)? {
                None => {
                    first = Some(index);
                    break;
                }
                Some(reason) => *denied = reason,
            },
            Ok(_) | Err(CommonNameError::Undecodable) => denied.no_rule_matched(),
            Err(CommonNameError::Several) if *denied == Denied::NoName => *denied = Denied::SeveralCommonNames,
            Err(CommonNameError::Several | CommonNameError::Missing) => {}
        }
    }
    for name in leaf.extensions().subject_alt_name.into_iter().flatten() {
        work.spend(NAME.saturating_add(name.octets() / 8))?;
        // A rule behind one that matched already decides nothing.
        for (index, rule) in (0_u16..first.unwrap_or(u16::MAX)).zip(rules) {
            work.spend(1)?;
            match rule.is(&name, work)? {
                Some(true) => match objection(rule, path, work)? {
                    None => {
                        first = Some(index);
                        break;
                    }
                    Some(reason) => *denied = reason,
                },
                Some(false) => denied.no_rule_matched(),
                None => {}
            }
        }
    }
    Ok(first)
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
        if let Self::Dns(wanted) = self
            && !dns_name::is_dns_name(wanted)
        {
            return Err(Denied::MalformedServerName);
        }
        let mut names = path.leaf().extensions().subject_alt_name.into_iter().flatten();
        // Each name is looked at once: that is linear in what was sent.
        let found = names.any(|name| match (self, name) {
            (Self::Dns(wanted), GeneralName::Dns(name)) => dns_name::covers(name, wanted),
            (Self::Ip(wanted), GeneralName::Ip(octets)) => is_address(octets, *wanted),
            _ => false,
        });
        if found { Ok(AuthorizedPeer { path, rule: None }) } else { Err(Denied::WrongServerName) }
    }
}
