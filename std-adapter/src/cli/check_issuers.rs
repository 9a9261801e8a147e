//! Reports for `edgetrust check` on names that are bound to issuers, on those that are not, and on denied keys.

use std::path::Path;

use edgetrust_core::config::{AllowedClients, ClientTrust, DeniedKey};
use edgetrust_core::identity::{RuleName, common_name};
use edgetrust_core::path;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::UnixTime;

use super::check_anchors::roles;
use super::findings::{Findings, Level};
use crate::tls::Anchors;
use crate::{clock, pem};

/// Reports on `allowed_clients`, and warns of common names that other CAs than the intended one can issue.
pub(super) fn clients(
    trust: &ClientTrust<'_>,
    allowed: &AllowedClients<'_>,
    anchors: &Anchors,
    denied: &[path::DeniedKey],
    findings: &mut Findings,
) {
    let mut free = trust.allowed_cns.to_vec();
    for (name, issuers) in allowed.of(trust.allowed_clients) {
        let shown = shown(&name);
        match issuers {
            Some(issuers) => {
                let from: Vec<_> = issuers.iter().flat_map(|issuer| keys(issuer, findings)).collect();
                warn_of_issuers(&shown, &from, anchors, denied, findings);
                let from: Vec<_> = from.into_iter().map(|(what, _)| what).collect();
                if !from.is_empty() {
                    findings.add(Level::Ok, format!("clients with the {shown}, issued by {}", from.join(" or ")));
                }
            }
            None => {
                if let RuleName::CommonName(name) = name {
                    free.push(name);
                }
                findings.add(Level::Ok, format!("clients with the {shown}"));
            }
        }
    }
    common_names(&free, anchors, findings);
}

fn shown(name: &RuleName<'_>) -> String {
    match name {
        RuleName::CommonName(name) => format!("common name {name}"),
        RuleName::Dns(name) => format!("DNS name {name}"),
        RuleName::Uri(uri) => format!("URI {uri}"),
        RuleName::Ip(address) => format!("IP address {address}"),
    }
}

/// Reports on the issuers that servers must come from.
pub(super) fn servers(issuers: &[&str], anchors: &Anchors, denied: &[path::DeniedKey], findings: &mut Findings) {
    let from: Vec<_> = issuers.iter().flat_map(|issuer| keys(issuer, findings)).collect();
    if from.is_empty() {
        return;
    }
    warn_of_issuers("servers", &from, anchors, denied, findings);
    let from: Vec<_> = from.into_iter().map(|(what, _)| what).collect();
    findings.add(Level::Ok, format!("servers must come from {}", from.join(" or ")));
}

/// Returns what an issuer is, and the keys that it names; reports a file that cannot be read.
fn keys(issuer: &str, findings: &mut Findings) -> Vec<(String, KeyHash)> {
    if let Some(key) = KeyHash::parse(issuer) {
        return vec![(format!("the key {key}"), key)];
    }
    match pem::read_certificates(Path::new(issuer)) {
        Ok(ders) => {
            let certificates = ders.iter().flat_map(|der| Certificate::from_der(der));
            let (cas, others): (Vec<_>, Vec<_>) = certificates
                .partition(|one| one.extensions().basic_constraints.is_some_and(|constraints| constraints.ca));
            for other in others {
                let subject = other.subject();
                findings.once(Level::Error, format!("{issuer}: {subject} is no CA, so it cannot have issued any"));
            }
            let of = |one: Certificate<'_>| (one.subject().to_string(), KeyHash::of(&one.subject_public_key_info()));
            cas.into_iter().map(of).collect()
        }
        Err(error) => {
            findings.once(Level::Error, error.to_string());
            Vec::new()
        }
    }
}

/// Warns of issuers that bind a name to nobody in particular, and of those from which nothing can come.
fn warn_of_issuers(
    name: &str,
    from: &[(String, KeyHash)],
    anchors: &Anchors,
    denied: &[path::DeniedKey],
    findings: &mut Findings,
) {
    let (_, cas) = roles(anchors);
    for (issuer, key) in from {
        if denied.iter().any(|denied| denied.key == *key && denied.holds(clock::now())) {
            findings.add(Level::Error, format!("{name}: nothing can come from {issuer}, whose key is denied"));
        }
        let shared = cas.iter().find(|ca| may_have_cas_below(ca) && KeyHash::of(&ca.subject_public_key_info()) == *key);
        if let Some(ca) = shared {
            findings.add(
                Level::Warning,
                format!(
                    "{name}: {} is a CA of CAs, and counts only for certificates that it signs itself: \
                     name the CA of the site",
                    ca.subject()
                ),
            );
        }
    }
}

fn may_have_cas_below(ca: &Certificate<'_>) -> bool {
    ca.extensions().basic_constraints.and_then(|constraints| constraints.path_len) != Some(0)
}

/// Warns of common names that other CAs than the intended one can issue.
fn common_names(names: &[&str], anchors: &Anchors, findings: &mut Findings) {
    let (pins, cas) = roles(anchors);
    // The name of a pin is that pin's alone.
    let is_pinned = |name: &str| pins.iter().any(|pin| is_named(pin, name));
    let free: Vec<_> = names.iter().filter(|name| !is_pinned(name)).copied().collect();
    if free.is_empty() {
        return;
    }
    let names = free.join(" or ");
    const BOUND: &str = "name constraints bind a common name only where it has a dot; allowed_clients binds each name \
                         to its issuers";
    for ca in cas.iter().filter(|ca| may_have_cas_below(ca)) {
        findings.add(Level::Warning, format!("any CA under {} can issue {names}: {BOUND}", ca.subject()));
    }
    if cas.len() > 1 && !cas.iter().any(may_have_cas_below) {
        findings.add(Level::Warning, format!("each of these {} CAs can issue {names}: {BOUND}", cas.len()));
    }
}

fn is_named(certificate: &Certificate<'_>, wanted: &str) -> bool {
    common_name(&certificate.subject()).is_ok_and(|name| name.chars().eq(wanted.chars().map(Ok)))
}

/// Reports on denied keys.
pub(super) fn denials(denied: &[DeniedKey<'_>], now: UnixTime, findings: &mut Findings) {
    for DeniedKey { key, reason, until } in denied {
        let why = reason.map_or_else(String::new, |reason| format!(" ({})", reason.escape_debug()));
        match until {
            Some(until) if *until < now => {
                findings.add(Level::Warning, format!("{key}{why}: the denial ended at {}", Utc(*until)));
            }
            Some(until) => findings.add(Level::Ok, format!("{key}{why} is denied until {}", Utc(*until))),
            None => findings.add(Level::Ok, format!("{key}{why} is denied")),
        }
    }
}
