//! Looks at the CAs themselves: whose names they could issue, what they could make beside, and which devices verify them.

use edgetrust_core::identity::{Issuers, PeerPolicy, Rule, RuleName, ServerName, ServerPolicy};
use edgetrust_core::x509::{Certificate, ObjectIdentifier};
use pki_types::alg_id;
use serde::Serialize;

use super::index::{Index, Issuer, Site};
use super::leaf::{Assumption, CLIENT_AUTH, SERVER_AUTH};
use super::paths::{Judged, Leaf, Material};

/// Stands for all sites, or all services.
const EVERY: &str = "*";

/// Somebody who could pass for a site's gateway.
#[derive(Debug, Serialize)]
pub(crate) struct Impersonation {
    pub(crate) by: String,
    /// The site, or `*`.
    pub(crate) r#as: String,
    /// The service, or `*`.
    pub(crate) service: String,
    pub(crate) how: String,
}

impl Impersonation {
    fn of_all(by: String, how: &str) -> Self {
        Self { by, r#as: EVERY.to_owned(), service: EVERY.to_owned(), how: how.to_owned() }
    }
}

/// An algorithm of a certificate that devices may not verify.
#[derive(Debug)]
pub(crate) struct Unverifiable {
    pub(crate) certificate: String,
    /// `key` or `signature`.
    pub(crate) part: &'static str,
    pub(crate) algorithm: ObjectIdentifier,
}

/// Returns who could pass for a site: the root and the signer by what they are for, and every CA for which the core
/// finds that its certificates with another site's name would be taken.
///
/// With it comes what to say of CAs whose names have no bounds. A rule is bound to the key of the site's own CA, so no
/// gateway takes such certificates; other programs under the same root may.
pub(super) fn impersonations(
    index: &Index<'_>,
    material: &Material<'_>,
    assumption: &Assumption,
    signer: Option<u32>,
    most_pairs: usize,
) -> (Vec<Impersonation>, Vec<String>) {
    const BY_ROOT: &str = "it certifies a signer of the next generation, whose mesh can name another CA for any site";
    const BY_SIGNER: &str =
        "it signs a mesh that gives a site's links to another CA that a root has certified, or takes denials back";
    let roots = index.roots.iter().filter_map(|root| Certificate::from_der(root).ok());
    // Nothing leads to a root that is denied, and what another root says of one is the same one again.
    let roots = roots.filter(|root| !material.denies(root) && root.subject() == root.issuer());
    let mut found: Vec<_> =
        roots.map(|root| Impersonation::of_all(format!("the root {}", root.subject()), BY_ROOT)).collect();
    found.extend(
        signer.map(|generation| Impersonation::of_all(format!("the signer of generation {generation}"), BY_SIGNER)),
    );
    let mut warnings = Vec::new();
    for (number, site) in index.sites.iter().enumerate() {
        for issuer in &site.issuers {
            let mut strange = None;
            for other in others(index, number, most_pairs) {
                let Some(host) = other.hosts.first() else { continue };
                let leaf = Leaf::new(issuer, host, assumption);
                let judged = Judged::new(&leaf, material, true);
                if matches!(judged.client, Some(Ok(_))) || matches!(judged.server, Some(Ok(_))) {
                    strange = strange.or(Some(*host));
                }
                if passes(&judged, host, other) {
                    found.extend(index.services.iter().map(|service| Impersonation {
                        by: format!("the CA of site {}", site.name),
                        r#as: other.name.to_owned(),
                        service: service.name.to_owned(),
                        how: format!("it issues a certificate for {host}"),
                    }));
                }
            }
            warnings.extend(strange.map(|host| {
                format!(
                    "the CA of site {} can issue names of other sites, as {host}: no gateway of the mesh takes them from \
                     it, and other programs may; expected name constraints (RFC 5280 section 4.2.1.10)",
                    site.name
                )
            }));
        }
    }
    (found, warnings)
}

/// Returns the sites whose names a CA is tried with: all others, or one of them where there are too many pairs.
fn others<'i>(index: &'i Index<'_>, number: usize, most_pairs: usize) -> impl Iterator<Item = &'i Site<'i>> {
    let all = index.pairs() <= most_pairs;
    let after = index.sites.iter().skip(number.saturating_add(1));
    let others = after.chain(index.sites.iter().take(number));
    others.take(if all { usize::MAX } else { 1 })
}

/// Returns whether a gateway that is linked to a site would take a certificate for one of that site's gateways.
fn passes(judged: &Judged<'_>, host: &str, site: &Site<'_>) -> bool {
    let issuers = Issuers::OneOf(&site.keys);
    let rules = [Rule { name: RuleName::Dns(host), issuers }];
    let server = ServerPolicy { name: ServerName::Dns(host), issuers };
    let client = judged.client.as_ref().and_then(|path| path.as_ref().ok());
    let client = client.is_some_and(|path| PeerPolicy::OneOf(&rules).authorize(path.clone()).is_ok());
    let path = judged.server.as_ref().and_then(|path| path.as_ref().ok());
    client || path.is_some_and(|path| server.authorize(path.clone()).is_ok())
}

/// Returns what the CAs of sites could make beside certificates of gateways.
pub(super) fn excess(index: &Index<'_>) -> Vec<String> {
    let mut found = Vec::new();
    for (site, ca) in of_sites(index) {
        let extensions = ca.extensions();
        let mut purposes: Vec<_> =
            extensions.extended_key_usage.into_iter().flat_map(|usage| usage.purposes()).collect();
        purposes.sort_unstable();
        if purposes != [&SERVER_AUTH[..], &CLIENT_AUTH] {
            let what = if purposes.is_empty() { "no extended key usage" } else { "other purposes" };
            found.push(format!(
                "the CA of site {site} has {what}: expected serverAuth and clientAuth alone, so that it certifies no \
                 other signer (RFC 5280 section 4.2.1.12)"
            ));
        }
        let below = extensions.basic_constraints.and_then(|constraints| constraints.path_len);
        if below != Some(0) {
            found.push(format!(
                "the CA of site {site} can have CAs below it: expected path length 0 (RFC 5280 section 4.2.1.9)"
            ));
        }
    }
    found
}

/// Returns the keys and signatures that devices may not be able to verify: they verify ECDSA with P-256 and SHA-256.
pub(super) fn unverifiable(index: &Index<'_>) -> Vec<Unverifiable> {
    let roots = index.roots.iter().filter_map(|root| Certificate::from_der(root).ok());
    let roots = roots.map(|root| ("the root".to_owned(), root, true));
    let sites = of_sites(index).map(|(site, ca)| (format!("the CA of site {site}"), ca, false));
    let mut found = Vec::new();
    for (certificate, parsed, is_anchor) in roots.chain(sites) {
        let (key, signature) = (parsed.subject_public_key_info().algorithm, parsed.signature_algorithm());
        if key != alg_id::ECDSA_P256.as_ref() {
            let algorithm = ObjectIdentifier::of_key(key);
            found.push(Unverifiable { certificate, part: "key", algorithm });
        // An anchor's own signature proves nothing and is not verified.
        } else if !is_anchor && signature != alg_id::ECDSA_SHA256.as_ref() {
            let algorithm = ObjectIdentifier::algorithm(signature);
            found.push(Unverifiable { certificate, part: "signature", algorithm });
        }
    }
    found
}

fn of_sites<'i>(index: &'i Index<'_>) -> impl Iterator<Item = (&'i str, Certificate<'i>)> {
    let issuers = index.sites.iter().flat_map(|site| site.issuers.iter().map(|issuer| (site.name, issuer)));
    issuers.filter_map(|(site, issuer)| Some((site, Issuer::parsed(issuer)?)))
}
