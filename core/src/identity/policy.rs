//! Allow lists and server names, which alone make an [`AuthorizedPeer`].

use core::net::IpAddr;

use super::common_name::{self, CommonNameError, common_name};
use super::objection::objection;
use super::rule::{Rule, RuleName, is_address};
use super::{Denied, Issuers, dns_name};
use crate::path::{Purpose, VerifiedPath};
use crate::x509::{Exhausted, GeneralName, Work};

/// The policy that decides which clients are authorized.
#[derive(Clone, Copy, Debug)]
pub enum PeerPolicy<'a> {
    /// No list is configured: any verified path is authorized.
    AnyVerified,
    /// One rule must match; an empty list authorizes no client.
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

/// Proof that a peer is authorized and a gateway may forward bytes. Only a policy or a server's name makes one:
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
    /// Returns the verified path.
    pub fn path(&self) -> &VerifiedPath<'p> {
        &self.path
    }

    /// Returns the index of the rule that matched, or `None` if the policy has no list.
    pub fn rule(&self) -> Option<u16> {
        self.rule
    }
}

/// The work of reading an alternative name, without its octets.
const NAME: usize = 6;

impl PeerPolicy<'_> {
    /// Authorizes a client by this policy.
    ///
    /// # Errors
    /// [`Denied`], with the most specific reason of all rules.
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

/// Returns the index of the first rule that a name matches without objection. Each name is read once, since a
/// certificate may have thousands.
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
        let RuleName::CommonName(wanted) = rule.name else { continue };
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
        // A rule after one that has already matched decides nothing.
        for (index, rule) in (0_u16..first.unwrap_or(u16::MAX)).zip(rules) {
            work.spend(1)?;
            match rule.name.is(&name, work)? {
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
    /// Authorizes a server by this name, from any CA that the trust anchors vouch for: [`ServerPolicy::authorize`].
    ///
    /// # Errors
    /// As [`ServerPolicy::authorize`].
    pub fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        ServerPolicy::from(*self).authorize(path)
    }
}

/// The server that is wanted: its name, and the CAs that its certificate must come from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ServerPolicy<'a> {
    /// The name.
    pub name: ServerName<'a>,
    /// The CAs.
    pub issuers: Issuers<'a>,
}

impl<'a> From<ServerName<'a>> for ServerPolicy<'a> {
    /// Wants a name, from any CA that the trust anchors vouch for.
    fn from(name: ServerName<'a>) -> Self {
        Self { name, issuers: Issuers::Any }
    }
}

impl ServerPolicy<'_> {
    /// Authorizes a server by its name (RFC 9525 section 6) and its issuer.
    ///
    /// # Errors
    /// [`Denied::WrongServerName`] where no name of the subjectAltName fits; [`Denied::OtherIssuer`].
    pub fn authorize<'p>(&self, path: VerifiedPath<'p>) -> Result<AuthorizedPeer<'p>, Denied> {
        if path.purpose() != Purpose::ServerAuth {
            return Err(Denied::WrongPurpose);
        }
        if let ServerName::Dns(wanted) = self.name
            && !dns_name::is_dns_name(wanted)
        {
            return Err(Denied::MalformedServerName);
        }
        let mut names = path.leaf().extensions().subject_alt_name.into_iter().flatten();
        // Each name is looked at once: the work is linear in the size of the certificate.
        let found = names.any(|name| match (self.name, name) {
            (ServerName::Dns(wanted), GeneralName::Dns(name)) => dns_name::covers(name, wanted),
            (ServerName::Ip(wanted), GeneralName::Ip(octets)) => is_address(octets, wanted),
            _ => false,
        });
        if !found {
            return Err(Denied::WrongServerName);
        }
        match self.issuers.objection(&path, &mut path.work()).map_err(|_| Denied::TooMuchWork)? {
            Some(reason) => Err(reason),
            None => Ok(AuthorizedPeer { path, rule: None }),
        }
    }
}
