//! Reads the keys of the CAs that names must come from.

use std::error::Error;
use std::fmt;
use std::path::Path;

use edgetrust_core::config::{AllowedClients, ClientTrust};
use edgetrust_core::identity::RuleName;
use edgetrust_core::x509::{Certificate, KeyHash, ParseError};

use super::Watched;
use crate::pem::{self, PemError};
use crate::tls::{OwnedRule, OwnedRuleName, Peers};

/// The fault of a file that names issuers.
#[derive(Debug)]
pub enum IssuerError {
    /// The file cannot be read, or has no certificate.
    File(PemError),
    /// The certificate at this place of the file does not parse.
    Certificate(String, usize, ParseError),
    /// The certificate at this place of the file is no CA's.
    NoCa(String, usize),
    /// The issuers of this name have a fault.
    Name(OwnedRuleName, Box<Self>),
}

impl fmt::Display for IssuerError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::File(error) => error.fmt(f),
            Self::Certificate(file, place, error) => write!(f, "{file}: certificate {place} {error}"),
            Self::NoCa(file, place) => write!(
                f,
                "{file}: certificate {place} is no CA's, so it cannot have issued any: expected the certificates of issuers"
            ),
            Self::Name(name, error) => write!(f, "{name}: {error}"),
        }
    }
}

impl Error for IssuerError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::File(error) => Some(error),
            Self::Certificate(_, _, error) => Some(error),
            Self::Name(_, error) => Some(&**error),
            Self::NoCa(..) => None,
        }
    }
}

/// Reads issuers: hashes of keys, and files with the certificates of CAs, each noted in `watched` first.
///
/// # Errors
/// Returns the fault in a file.
pub(crate) fn issuers(texts: &[&str], watched: &mut Watched) -> Result<Vec<KeyHash>, IssuerError> {
    let mut keys = Vec::new();
    for text in texts {
        if let Some(key) = KeyHash::parse(text) {
            keys.push(key);
            continue;
        }
        let file = Path::new(text);
        watched.note(file);
        for (place, der) in (1_usize..).zip(pem::read_certificates(file).map_err(IssuerError::File)?) {
            let certificate = Certificate::from_der(&der)
                .map_err(|error| IssuerError::Certificate((*text).to_owned(), place, error))?;
            if !certificate.extensions().basic_constraints.is_some_and(|constraints| constraints.ca) {
                return Err(IssuerError::NoCa((*text).to_owned(), place));
            }
            keys.push(KeyHash::of(&certificate.subject_public_key_info()));
        }
    }
    Ok(keys)
}

/// Returns the allow list of a configuration; the files that name issuers are noted in `watched` first.
///
/// # Errors
/// Returns the fault in a file.
pub(super) fn peers(
    trust: &ClientTrust<'_>,
    allowed: &AllowedClients<'_>,
    watched: &mut Watched,
) -> Result<Peers, IssuerError> {
    let owned = |name: &&str| (*name).to_owned();
    let names = (trust.allowed_cns.iter().map(owned).map(OwnedRuleName::CommonName))
        .chain(trust.allowed_dns.iter().map(owned).map(OwnedRuleName::Dns))
        .chain(trust.allowed_uris.iter().map(owned).map(OwnedRuleName::Uri))
        .chain(trust.allowed_ips.iter().copied().map(OwnedRuleName::Ip));
    let mut rules: Vec<OwnedRule> = names.map(OwnedRule::from).collect();
    rules.extend(bound(trust, allowed, watched)?);
    // Allow lists that are configured and empty authorize nobody.
    Ok(if trust.any_verified && rules.is_empty() { Peers::AnyVerified } else { Peers::OneOf(rules) })
}

/// Returns the rules of `allowed_clients`.
fn bound(
    trust: &ClientTrust<'_>,
    allowed: &AllowedClients<'_>,
    watched: &mut Watched,
) -> Result<Vec<OwnedRule>, IssuerError> {
    let mut rules = Vec::new();
    for (name, files) in allowed.of(trust.allowed_clients) {
        let name = match name {
            RuleName::CommonName(name) => OwnedRuleName::CommonName(name.to_owned()),
            RuleName::Dns(name) => OwnedRuleName::Dns(name.to_owned()),
            RuleName::Uri(uri) => OwnedRuleName::Uri(uri.to_owned()),
            RuleName::Ip(address) => OwnedRuleName::Ip(address),
        };
        let issuers = files.map(|files| issuers(files, watched)).transpose();
        match issuers {
            Ok(issuers) => rules.push(OwnedRule { name, issuers }),
            Err(error) => return Err(IssuerError::Name(name, Box::new(error))),
        }
    }
    Ok(rules)
}
