//! The parts of a mesh, each read from the text when it is asked for.

use core::net::IpAddr;

use pki_types::UnixTime;

use super::bounds::{MAX_DOMAINS, MAX_GATEWAYS, MAX_ISSUERS, MAX_REASON, MAX_SITES};
use super::certificate::{IssuerAt, SiteIssuer};
use super::error::MeshError;
use super::names::{is_domain, is_label, is_text};
use super::read::{Element, List, Place, Reader};
use crate::json::Token;
use crate::path;
use crate::time::Utc;
use crate::x509::KeyHash;

/// A place of the mesh with CAs of its own, which issue for its domains.
#[derive(Clone, Copy, Debug)]
pub struct Site<'a> {
    pub(super) name: &'a str,
    pub(super) name_offset: usize,
    pub(super) domains: List<'a, Domain<'a>>,
    pub(super) issuers: List<'a, IssuerAt<'a>>,
    pub(super) gateways: List<'a, Gateway<'a>>,
}

impl<'a> Site<'a> {
    const KEYS: &'static [&'static str] = &["name", "domains", "issuers", "gateways"];

    /// Returns the name: a DNS label in small letters.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the domains: all names of the site are equal to one of them or below.
    pub fn domains(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.domains.iter().map(|domain| domain.0)
    }

    /// Returns the CAs that issue for the site.
    pub fn issuers(&self) -> impl Iterator<Item = SiteIssuer<'a>> + use<'a> {
        self.issuers.iter().map(|at| at.issuer)
    }

    /// Returns the hashes of the keys of these CAs. A certificate is parsed for each.
    pub fn issuer_keys(&self) -> impl Iterator<Item = KeyHash> + use<'a> {
        // Every certificate of a mesh parses: it was looked at when the mesh was read.
        self.issuers().filter_map(|issuer| issuer.key_hash())
    }

    /// Returns the gateways.
    pub fn gateways(&self) -> impl Iterator<Item = Gateway<'a>> + use<'a> {
        self.gateways.iter()
    }
}

impl<'a> Element<'a> for Site<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        let mut site = Self {
            name: "",
            name_offset: 0,
            domains: List::absent(),
            issuers: List::absent(),
            gateways: List::absent(),
        };
        reader.object(Self::KEYS, 4, |reader, key| {
            match key {
                "name" => {
                    site.name = reader.text(LABEL, label)?;
                    site.name_offset = reader.token_offset();
                }
                "domains" => site.domains = reader.list(MAX_DOMAINS, "at most 8 domains of a site")?,
                "issuers" => site.issuers = reader.list(MAX_ISSUERS, "at most 8 issuers of a site")?,
                _ => site.gateways = reader.list(MAX_GATEWAYS, "at most 16 gateways of a site")?,
            }
            Ok(())
        })?;
        Ok(site)
    }
}

/// A domain of a site.
#[derive(Clone, Copy, Debug)]
pub(super) struct Domain<'a>(pub(super) &'a str);

impl<'a> Element<'a> for Domain<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        reader.text(DOMAIN, domain).map(Self)
    }
}

/// A gateway of a site.
#[derive(Clone, Copy, Debug)]
pub struct Gateway<'a> {
    host: &'a str,
    pub(super) host_offset: usize,
    address: Option<IpAddr>,
    pub(super) ports: Place<'a>,
}

impl<'a> Gateway<'a> {
    const KEYS: &'static [&'static str] = &["host", "address", "ports"];

    /// Returns the name: a DNS name in small letters, equal to a domain of its site or below.
    pub fn host(&self) -> &'a str {
        self.host
    }

    /// Returns the address to dial, if it does not follow from the name.
    pub fn address(&self) -> Option<IpAddr> {
        self.address
    }

    /// Returns the gateway's own port for a service; `None`: the service's.
    pub fn port(&self, service: &str) -> Option<u16> {
        let mut found = None;
        if self.ports.is_written() {
            let read = read_ports(&mut self.ports.reader(&[]), |_, name, port| {
                if name == service {
                    found = Some(port);
                }
                Ok(())
            });
            debug_assert!(read.is_ok(), "the ports were read before");
        }
        found
    }
}

impl<'a> Element<'a> for Gateway<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        let mut gateway = Self { host: "", host_offset: 0, address: None, ports: Place::absent() };
        reader.object(Self::KEYS, 1, |reader, key| {
            match key {
                "host" => {
                    gateway.host = reader.text(DOMAIN, domain)?;
                    gateway.host_offset = reader.token_offset();
                }
                "address" => gateway.address = Some(reader.text("an IP address", |text| text.parse().ok())?),
                _ => {
                    gateway.ports = reader.place();
                    if !reader.pass_over(&gateway.ports) {
                        read_ports(reader, |_, _, _| Ok(()))?;
                    }
                }
            }
            Ok(())
        })?;
        Ok(gateway)
    }
}

/// Reads the ports of a gateway: an object of services and ports.
pub(super) fn read_ports<'a>(
    reader: &mut Reader<'a>,
    mut each: impl FnMut(&Reader<'a>, &'a str, u16) -> Result<(), MeshError<'a>>,
) -> Result<(), MeshError<'a>> {
    reader.by_service(|reader, service| {
        let port = reader.value(PORT, port)?;
        each(reader, service, port)
    })
}

/// A service that sites reach at each other: a port of their gateways.
#[derive(Clone, Copy, Debug)]
pub struct Service<'a> {
    name: &'a str,
    pub(super) name_offset: usize,
    port: u16,
}

impl<'a> Service<'a> {
    const KEYS: &'static [&'static str] = &["name", "port"];

    /// Returns the name: a DNS label in small letters.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the port of the gateways that have none of their own for the service.
    pub fn port(&self) -> u16 {
        self.port
    }
}

impl<'a> Element<'a> for Service<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        let mut service = Self { name: "", name_offset: 0, port: 0 };
        reader.object(Self::KEYS, 2, |reader, key| {
            match key {
                "name" => {
                    service.name = reader.text(LABEL, label)?;
                    service.name_offset = reader.token_offset();
                }
                _ => service.port = reader.value(PORT, port)?,
            }
            Ok(())
        })?;
        Ok(service)
    }
}

/// The permission of sites to reach a service at other sites.
#[derive(Clone, Copy, Debug)]
pub struct Link<'a> {
    service: &'a str,
    pub(super) service_offset: usize,
    pub(super) from: List<'a, SiteName<'a>>,
    pub(super) to: List<'a, SiteName<'a>>,
}

impl<'a> Link<'a> {
    const KEYS: &'static [&'static str] = &["service", "from", "to"];

    /// Returns the name of the service.
    pub fn service(&self) -> &'a str {
        self.service
    }

    /// Returns the names of the sites that may reach the service, or `*` alone, which stands for every other site.
    pub fn from(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.from.iter().map(|name| name.0)
    }

    /// Returns the names of the sites that have the service, or `*` alone, which stands for every other site.
    pub fn to(&self) -> impl Iterator<Item = &'a str> + use<'a> {
        self.to.iter().map(|name| name.0)
    }
}

impl<'a> Element<'a> for Link<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        let mut link = Self { service: "", service_offset: 0, from: List::absent(), to: List::absent() };
        reader.object(Self::KEYS, 3, |reader, key| {
            match key {
                "service" => {
                    link.service = reader.text(LABEL, label)?;
                    link.service_offset = reader.token_offset();
                }
                "from" => link.from = reader.list(MAX_SITES, SITES_FULL)?,
                _ => link.to = reader.list(MAX_SITES, SITES_FULL)?,
            }
            Ok(())
        })?;
        Ok(link)
    }
}

/// The name of a site in a link, or `*`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct SiteName<'a>(pub(super) &'a str);

impl SiteName<'_> {
    /// Stands for every site but the one at the other end of the link.
    pub(super) const EVERY_OTHER: SiteName<'static> = SiteName("*");
}

impl<'a> Element<'a> for SiteName<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        reader.text("the name of a site, or \"*\"", |text| (text == "*" || is_label(text)).then_some(Self(text)))
    }
}

/// A key that no path may contain.
#[derive(Clone, Copy, Debug)]
pub struct DeniedKey<'a> {
    key: KeyHash,
    pub(super) key_offset: usize,
    reason: Option<&'a str>,
    until: Option<UnixTime>,
}

impl<'a> DeniedKey<'a> {
    const KEYS: &'static [&'static str] = &["key", "reason", "until"];

    /// Returns the hash of the key.
    pub fn key(&self) -> KeyHash {
        self.key
    }

    /// Returns the reason, for people.
    pub fn reason(&self) -> Option<&'a str> {
        self.reason
    }

    /// Returns the last second of the denial; `None`: for ever.
    pub fn until(&self) -> Option<UnixTime> {
        self.until
    }
}

impl From<DeniedKey<'_>> for path::DeniedKey {
    fn from(denied: DeniedKey<'_>) -> Self {
        Self { key: denied.key, until: denied.until }
    }
}

impl<'a> Element<'a> for DeniedKey<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        let mut denied = Self { key: KeyHash::new([0; 32]), key_offset: 0, reason: None, until: None };
        reader.object(Self::KEYS, 1, |reader, key| {
            match key {
                "key" => {
                    denied.key = reader.text(HASH, KeyHash::parse)?;
                    denied.key_offset = reader.token_offset();
                }
                "reason" => {
                    let expected = "text of at most 256 octets without control characters";
                    denied.reason = Some(reader.text(expected, |text| is_text(text, MAX_REASON).then_some(text))?);
                }
                _ => denied.until = Some(reader.text(TIME, time)?),
            }
            Ok(())
        })?;
        Ok(denied)
    }
}

const LABEL: &str = "a name of 1 to 63 of a to z, 0 to 9 and -, not first or last";
const DOMAIN: &str = "a DNS name in small letters, without a dot at its end";
const PORT: &str = "a port from 1 to 65535";
const SITES_FULL: &str = "at most 1024 sites";
pub(super) const HASH: &str = "sha256: and 64 hexadecimal digits";
pub(super) const TIME: &str = "a time in UTC such as \"2027-06-01T00:00:00Z\"";

fn label(text: &str) -> Option<&str> {
    is_label(text).then_some(text)
}

fn domain(text: &str) -> Option<&str> {
    is_domain(text).then_some(text)
}

fn port(token: Token<'_>) -> Option<u16> {
    match token {
        Token::Number(digits) => digits.parse().ok().filter(|port| *port > 0),
        _ => None,
    }
}

pub(super) fn time(text: &str) -> Option<UnixTime> {
    Utc::parse(text).map(|time| time.0)
}
