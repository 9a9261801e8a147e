//! The names and ports that the files of a site have in common.

use crate::federation::mesh::{Gateway, Mesh, Site};

/// The port of a site's CA.
pub(super) const CA_PORT: u16 = 9000;

/// A site, with the names that its files use.
pub(super) struct Names<'a> {
    pub(super) site: &'a str,
    pub(super) domain: &'a str,
    pub(super) gateway: &'a str,
}

impl<'a> Names<'a> {
    /// Returns the names of a site: its first domain and its first gateway.
    pub(super) fn of(site: &'a Site) -> Result<Self, String> {
        let missing = || format!("site {}: found no domain or no gateway, expected one or more", site.name);
        Ok(Self {
            site: &site.name,
            domain: site.domains.first().ok_or_else(missing)?,
            gateway: site.gateways.first().map(|gateway| &gateway.host).ok_or_else(missing)?,
        })
    }

    /// Returns the name of the site's CA as a server.
    pub(super) fn ca(&self) -> String {
        format!("ca.{}", self.domain)
    }
}

/// Returns these services in order, each once, and the port of each at a site.
pub(super) fn ports(mesh: &Mesh, site: &Site, mut services: Vec<String>) -> Vec<(String, u16)> {
    services.sort();
    services.dedup();
    let first = site.gateways.first();
    services.into_iter().map(|service| (service.clone(), port(mesh, first, &service))).collect()
}

/// Returns the port of a service at a gateway.
pub(in crate::federation) fn port(mesh: &Mesh, gateway: Option<&Gateway>, service: &str) -> u16 {
    let own = gateway.and_then(|gateway| gateway.ports.as_ref()?.get(service).copied());
    let common = mesh.services.iter().find(|known| known.name == service).map(|known| known.port);
    own.or(common).unwrap_or_default()
}
