//! Says why a path does not hold, in words: what is wrong with which certificate, and who has to change it.

use edgetrust_core::identity::Denied;
use edgetrust_core::path::{PathError, PathErrorKind};
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::UnixTime;

use super::index::{Index, Issuer, Site};

/// Says why certificates of a site's CA lead nowhere.
pub(super) fn of_path(error: &PathError, site: &Site<'_>, issuer: &Issuer, index: &Index<'_>, now: UnixTime) -> String {
    let ca = format!("the CA of site {}{}", site.name, named(issuer));
    // 0 is the gateway's certificate, 1 its CA's.
    let what = match error.depth {
        0 => format!("a certificate by {ca}"),
        1 => ca,
        2 if is_by_root(issuer, index) => format!("the root above {ca}"),
        _ => format!("a CA above {ca}"),
    };
    match error.kind {
        PathErrorKind::KeyDenied(key) => denied(&what, &key, index, now),
        kind => format!("{what}: {kind}; {}", remedy(&kind, error.depth, site.name)),
    }
}

/// Says that a key is denied, and why.
pub(super) fn denied(what: &str, key: &KeyHash, index: &Index<'_>, now: UnixTime) -> String {
    let why = index.denial(key, now).and_then(|denied| denied.reason);
    let why = why.map(|reason| format!(" ({reason})")).unwrap_or_default();
    format!(
        "{what}: the mesh denies its key {key}{why}; whoever signs the mesh can take that back with `federation allow`, \
         else the root's holder certifies another key"
    )
}

/// Says that nothing can be judged of a CA of which there is only the hash.
pub(super) fn not_judged(site: &Site<'_>, issuer: &Issuer) -> String {
    format!(
        "not judged: issuers of site {0} has only the hash {1} of its CA's key, and sites/{0}/ca.pem is no certificate \
         of that key; put the certificate there or in mesh.json",
        site.name, issuer.key
    )
}

/// Says why a rule does not match.
pub(super) fn of_rule(denied: Denied, host: &str, at: &str) -> String {
    format!("gateway {host} would be refused at site {at}: {denied}")
}

/// Returns whether a CA names a root as its issuer.
fn is_by_root(issuer: &Issuer, index: &Index<'_>) -> bool {
    let roots = index.roots.iter().filter_map(|root| Certificate::from_der(root).ok());
    issuer.parsed().is_some_and(|ca| roots.map(|root| root.subject()).any(|subject| subject == ca.issuer()))
}

/// Returns the name of a CA in brackets.
fn named(issuer: &Issuer) -> String {
    issuer.parsed().map(|ca: Certificate<'_>| format!(" ({})", ca.subject())).unwrap_or_default()
}

/// Returns who has to change what.
fn remedy(kind: &PathErrorKind, depth: u8, site: &str) -> String {
    if depth > 1 {
        return "the root's holder has to certify another one, and whoever signs the mesh has to add it".to_owned();
    }
    let expected = match kind {
        PathErrorKind::UnknownIssuer
        | PathErrorKind::SelfSigned
        | PathErrorKind::AuthorityKeyIdentifier
        | PathErrorKind::BadSignature => "issued by a root of this mesh",
        PathErrorKind::Expired { .. } | PathErrorKind::NotYetValid { .. } => "that is valid now",
        PathErrorKind::WrongPurpose => "with the purposes serverAuth and clientAuth",
        PathErrorKind::NameConstraint => "for the domains that the mesh has for the site",
        _ => "as `federation add` makes it",
    };
    format!("the root's holder has to give site {site} a CA certificate {expected}, and mesh.json has to have it")
}
