//! Describes the mesh in force, for reports.

use edgetrust_core::mesh::{Edition, Mesh};
use edgetrust_core::x509::KeyHash;
use pki_types::UnixTime;

use crate::tls::Described;

/// The mesh in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshStatus {
    /// The name of the mesh.
    pub name: String,
    /// The name of this gateway's site.
    pub site: String,
    /// The edition; its generation is 0 for a mesh that is not signed.
    pub edition: Edition,
    /// The certificate of the signer; none for a mesh that is not signed.
    pub(crate) signer: Option<Described>,
    /// The time at which a signed mesh came into force here first.
    pub taken: Option<UnixTime>,
    /// The last second at which the mesh can be taken.
    pub not_after: Option<UnixTime>,
    /// The reason for which the mesh file was refused, where another mesh is in force.
    pub file_refused: Option<String>,
    /// True if two texts are signed with its sequence.
    pub conflict: bool,
    /// The sites, in the order of the text.
    pub sites: Vec<SiteStatus>,
    /// The links, in the order of the text.
    pub links: Vec<LinkStatus>,
    /// The number of denied keys.
    pub denied_keys: usize,
}

/// A site of the mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct SiteStatus {
    /// The name.
    pub name: String,
    /// The names of its gateways.
    pub gateways: Vec<String>,
    /// The keys of its CAs.
    issuers: Vec<KeyHash>,
}

/// The permission of sites to reach a service at other sites; `*` alone stands for every other site.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LinkStatus {
    /// The name of the service.
    pub service: String,
    /// The sites that may reach it.
    pub from: Vec<String>,
    /// The sites that have it.
    pub to: Vec<String>,
}

impl MeshStatus {
    /// Returns the sites of a mesh.
    pub(super) fn sites_of(mesh: &Mesh<'_>) -> Vec<SiteStatus> {
        let sites = mesh.sites().map(|site| SiteStatus {
            name: site.name().to_owned(),
            gateways: site.gateways().map(|gateway| gateway.host().to_owned()).collect(),
            issuers: site.issuer_keys().collect(),
        });
        sites.collect()
    }

    /// Returns the links of a mesh.
    pub(super) fn links_of(mesh: &Mesh<'_>) -> Vec<LinkStatus> {
        let links = mesh.links().map(|link| LinkStatus {
            service: link.service().to_owned(),
            from: link.from().map(str::to_owned).collect(),
            to: link.to().map(str::to_owned).collect(),
        });
        links.collect()
    }

    /// Returns the name of the site whose CA is on a path of these keys.
    pub fn site_of(&self, keys: &[KeyHash]) -> Option<&str> {
        // The first key is the peer's own.
        let issuers = keys.get(1..)?;
        let site = self.sites.iter().find(|site| site.issuers.iter().any(|issuer| issuers.contains(issuer)))?;
        Some(&site.name)
    }

    /// Returns the name of the site that has a gateway of this name.
    pub fn site_with(&self, gateway: &str) -> Option<&str> {
        self.sites.iter().find(|site| site.gateways.iter().any(|name| name == gateway)).map(|site| site.name.as_str())
    }
}
