//! Verifies, once for each site's CA and gateway, what the CA could issue: by the mesh's own certificates.

use edgetrust_core::path::{Anchor, Budget, DeniedKey, Limits, PathError, Purpose, Trust, VerifiedPath};
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{SignatureVerificationAlgorithm, UnixTime};

use super::index::{Index, Issuer};
use super::leaf::{Assuming, Assumption};

/// The parsed certificates and the keys that every gateway of a mesh takes from it.
pub(super) struct Material<'i> {
    anchors: Vec<Anchor<'i>>,
    known: Vec<Certificate<'i>>,
    denied: Vec<DeniedKey>,
    algorithms: Vec<&'i dyn SignatureVerificationAlgorithm>,
    now: UnixTime,
}

impl<'i> Material<'i> {
    pub(super) fn new(index: &'i Index<'_>, algorithms: &'i [Assuming], now: UnixTime) -> Self {
        // Every certificate of a mesh parses: it was looked at when the mesh was read.
        let roots = index.roots.iter().filter_map(|root| Certificate::from_der(root).ok());
        let issuers = index.sites.iter().flat_map(|site| &site.issuers).filter(|issuer| issuer.in_mesh);
        Self {
            anchors: roots.map(Anchor::new).collect(),
            known: issuers.filter_map(Issuer::parsed).collect(),
            denied: index.denied.iter().map(|denied| denied.key).collect(),
            algorithms: algorithms.iter().map(|algorithm| algorithm as _).collect(),
            now,
        }
    }

    /// Returns whether the key of a certificate is denied now.
    pub(super) fn denies(&self, certificate: &Certificate<'_>) -> bool {
        let key = KeyHash::of(&certificate.subject_public_key_info());
        self.denied.iter().any(|denied| denied.key == key && denied.holds(self.now))
    }

    /// Verifies a leaf as a gateway would whose peer shows it with the certificate of its CA.
    pub(super) fn verify<'p>(
        &'p self,
        leaf: &'p [u8],
        ca: Certificate<'p>,
        purpose: Purpose,
    ) -> Option<Result<VerifiedPath<'p>, PathError>> {
        let trust = Trust {
            anchors: &self.anchors,
            known_intermediates: &self.known,
            denied_keys: &self.denied,
            algorithms: &self.algorithms,
        };
        // What is written here parses.
        let leaf = Certificate::from_der(leaf).ok()?;
        Some(trust.verify(&leaf, &[ca], purpose, self.now, &mut Budget::new(Limits::SERVER)))
    }
}

impl Issuer {
    /// Returns the parsed certificate, if there is one.
    pub(super) fn parsed(&self) -> Option<Certificate<'_>> {
        Certificate::from_der(self.certificate.as_deref()?).ok()
    }
}

/// A certificate that a site's CA could issue to one of its gateways.
pub(super) struct Leaf<'i> {
    pub(super) host: &'i str,
    pub(super) issuer: &'i Issuer,
    /// `None` if there is no certificate of the CA.
    der: Option<Vec<u8>>,
}

impl<'i> Leaf<'i> {
    pub(super) fn new(issuer: &'i Issuer, host: &'i str, assumption: &Assumption) -> Self {
        Self { host, issuer, der: issuer.parsed().map(|ca| assumption.leaf(&ca, host)) }
    }

    /// Returns, for each site, what its CAs could issue to its gateways, gateway by gateway.
    pub(super) fn of_sites(index: &'i Index<'_>, assumption: &Assumption) -> Vec<Vec<Self>> {
        let of_host = |site: &'i super::index::Site<'_>, host: &'i str| {
            site.issuers.iter().map(move |issuer| Self::new(issuer, host, assumption))
        };
        index.sites.iter().map(|site| site.hosts.iter().flat_map(|host| of_host(site, host)).collect()).collect()
    }
}

/// The core's verdicts on a leaf, as that of a client and of a server.
pub(super) struct Judged<'p> {
    pub(super) host: &'p str,
    pub(super) issuer: &'p Issuer,
    /// `None` if there is nothing to judge.
    pub(super) client: Option<Result<VerifiedPath<'p>, PathError>>,
    /// `None` also for a gateway that nobody dials.
    pub(super) server: Option<Result<VerifiedPath<'p>, PathError>>,
}

impl<'p> Judged<'p> {
    /// Judges a leaf; as a server only where others dial it.
    pub(super) fn new(leaf: &'p Leaf<'_>, material: &'p Material<'_>, is_dialled: bool) -> Self {
        let verify = |purpose| material.verify(leaf.der.as_deref()?, leaf.issuer.parsed()?, purpose);
        let server = if is_dialled { verify(Purpose::ServerAuth) } else { None };
        Self { host: leaf.host, issuer: leaf.issuer, client: verify(Purpose::ClientAuth), server }
    }

    /// Judges all leafs of all sites. Others dial the first gateway of a site.
    pub(super) fn of_sites(leafs: &'p [Vec<Leaf<'_>>], material: &'p Material<'_>) -> Vec<Vec<Self>> {
        let of_site = |site: &'p Vec<Leaf<'_>>| {
            let first = site.first().map(|leaf| leaf.host);
            site.iter().map(move |leaf| Self::new(leaf, material, first == Some(leaf.host))).collect()
        };
        leafs.iter().map(of_site).collect()
    }
}
