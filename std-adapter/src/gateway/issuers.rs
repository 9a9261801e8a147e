//! Reads the keys of the CAs that names must come from.

use std::path::Path;

use edgetrust_core::config::{AllowedClients, ClientTrust};
use edgetrust_core::identity::RuleName;
use edgetrust_core::x509::{Certificate, KeyHash};

use super::Watched;
use crate::pem;
use crate::tls::{OwnedRule, OwnedRuleName, Peers};

/// Reads issuers: hashes of keys, and files with the certificates of CAs, each noted in `watched` first.
///
/// # Errors
/// Returns the fault in a file.
pub(crate) fn issuers(texts: &[&str], watched: &mut Watched) -> Result<Vec<KeyHash>, String> {
    let mut keys = Vec::new();
    for text in texts {
        if let Some(key) = KeyHash::parse(text) {
            keys.push(key);
            continue;
        }
        let file = Path::new(text);
        watched.note(file);
        for (place, der) in (1_usize..).zip(pem::read_certificates(file).map_err(|error| error.to_string())?) {
            let fault = |why: &dyn std::fmt::Display| format!("{text}: certificate {place} {why}");
            let certificate = Certificate::from_der(&der).map_err(|error| fault(&error))?;
            if !certificate.extensions().basic_constraints.is_some_and(|constraints| constraints.ca) {
                return Err(fault(&"is no CA's, so it cannot have issued any: expected the certificates of issuers"));
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
) -> Result<Peers, String> {
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
) -> Result<Vec<OwnedRule>, String> {
    let mut rules = Vec::new();
    for (name, files) in allowed.of(trust) {
        let name = match name {
            RuleName::CommonName(name) => OwnedRuleName::CommonName(name.to_owned()),
            RuleName::Dns(name) => OwnedRuleName::Dns(name.to_owned()),
            RuleName::Uri(uri) => OwnedRuleName::Uri(uri.to_owned()),
            RuleName::Ip(address) => OwnedRuleName::Ip(address),
        };
        let issuers = files.map(|files| issuers(files, watched)).transpose();
        let issuers = issuers.map_err(|error| format!("allowed_clients: {name}: {error}"))?;
        rules.push(OwnedRule { name, issuers });
    }
    Ok(rules)
}
