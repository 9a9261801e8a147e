//! Derives a gateway's tunnels from the links of a mesh.

use core::fmt;
use core::net::IpAddr;

use super::index::{Index, Sites};
use super::mesh::Mesh;
use super::model::{Link, Site, SiteName};
use super::read::List;
use crate::x509::KeyHash;

/// The reason why nothing follows from a mesh for a tunnel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unreachable<'q> {
    /// The mesh has no such service.
    Service(&'q str),
    /// The mesh has no such site.
    Site(&'q str),
    /// No link lets a site reach a service at another one.
    Link {
        /// The name of the service.
        service: &'q str,
        /// The name of the site that would reach it.
        from: &'q str,
        /// The name of the site that would have it.
        to: &'q str,
    },
    /// The site has no gateway.
    Gateway(&'q str),
}

/// A gateway that may reach a service.
#[derive(Clone, Copy, Debug)]
pub struct Client<'a> {
    site: Site<'a>,
    host: &'a str,
}

impl<'a> Client<'a> {
    /// Returns the gateway's site.
    pub fn site(&self) -> Site<'a> {
        self.site
    }

    /// Returns the DNS name that the gateway's certificate is for.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// Returns the hashes of the keys, one of which issued the gateway's certificate.
    pub fn issuer_keys(&self) -> impl Iterator<Item = KeyHash> + use<'a> {
        self.site.issuer_keys()
    }
}

/// A gateway that has a service.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Server<'a> {
    /// The DNS name that the gateway's certificate is for.
    pub host: &'a str,
    /// The address to dial; `None`: that of the name.
    pub address: Option<IpAddr>,
    /// The port to dial.
    pub port: u16,
}

impl<'a> Mesh<'a> {
    /// Returns the gateways that may reach a service at a site: all of each site that a link lets in. `*` does not stand
    /// for the site itself: gateways of one site reach each other where a link names that site on both sides.
    ///
    /// # Errors
    /// [`Unreachable`] if there is no such service or site.
    pub fn clients<'q>(
        &self,
        service: &'q str,
        to: &'q str,
    ) -> Result<impl Iterator<Item = Client<'a>> + use<'a>, Unreachable<'q>> {
        self.service(service).ok_or(Unreachable::Service(service))?;
        let linked = self.linked(service, to).ok_or(Unreachable::Site(to))?;
        let sites = self.sites().enumerate().filter(move |(place, _)| linked.contains(*place));
        Ok(sites.flat_map(|(_, site)| site.gateways().map(move |gateway| Client { site, host: gateway.host() })))
    }

    /// Returns the gateways to dial for a service of a site, from a gateway of another site, in the order of the text.
    ///
    /// # Errors
    /// [`Unreachable`] if there is no such service, site or link, or no gateway.
    pub fn servers<'q>(
        &self,
        service: &'q str,
        from: &'q str,
        to: &'q str,
    ) -> Result<impl Iterator<Item = Server<'a>> + use<'a>, Unreachable<'q>> {
        let wanted = self.service(service).ok_or(Unreachable::Service(service))?;
        self.site(from).ok_or(Unreachable::Site(from))?;
        let site = self.site(to).ok_or(Unreachable::Site(to))?;
        if !self.links().any(|link| link.lets(service, from, to)) {
            return Err(Unreachable::Link { service, from, to });
        }
        let mut gateways = site.gateways().peekable();
        gateways.peek().ok_or(Unreachable::Gateway(to))?;
        Ok(gateways.map(move |gateway| Server {
            host: gateway.host(),
            address: gateway.address(),
            port: gateway.port(wanted.name()).unwrap_or(wanted.port()),
        }))
    }

    /// Returns the places in the list of sites of those that reach a service at a site; `None` if it is not in the list.
    #[inline(never)]
    fn linked(&self, service: &str, to: &str) -> Option<Sites> {
        // Names of sites are unique: the mesh was checked.
        let index = Index::new(&self.sites).ok()?;
        let site = index.number(to)?;
        let mut linked = Sites::new();
        for link in self.links().filter(|link| link.service() == service) {
            let Some(side) = Side::of(&link.to, to) else { continue };
            for number in index.numbers(&link.from, site) {
                if number != site || side == Side::Named {
                    linked.insert(number);
                }
            }
        }
        let mut places = Sites::new();
        for (place, site) in self.sites().enumerate() {
            if index.number(site.name()).is_some_and(|number| linked.contains(number)) {
                places.insert(place);
            }
        }
        Some(places)
    }
}

impl Link<'_> {
    /// Returns whether the link lets a site reach a service at another one, or at itself.
    pub fn lets(&self, service: &str, from: &str, to: &str) -> bool {
        if self.service() != service {
            return false;
        }
        match (Side::of(&self.from, from), Side::of(&self.to, to)) {
            (Some(one), Some(other)) => from != to || one == Side::Named && other == Side::Named,
            _ => false,
        }
    }
}

/// The way in which a side of a link names a site.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Named,
    EveryOther,
}

impl Side {
    fn of<'a>(list: &List<'a, SiteName<'a>>, name: &str) -> Option<Self> {
        list.iter().find_map(|found| match found {
            SiteName::EVERY_OTHER => Some(Self::EveryOther),
            SiteName(found) => (found == name).then_some(Self::Named),
        })
    }
}

impl fmt::Display for Unreachable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Service(name) => write!(f, "the mesh has no service {name:?}"),
            Self::Site(name) => write!(f, "the mesh has no site {name:?}"),
            Self::Link { service, from, to } => {
                write!(f, "no link of the mesh lets site {from:?} reach {service:?} at site {to:?}")
            }
            Self::Gateway(name) => write!(f, "site {name:?} of the mesh has no gateway"),
        }
    }
}

impl core::error::Error for Unreachable<'_> {}
