//! The whole of a mesh.

use pki_types::UnixTime;

use super::bounds::{MAX_DENIED_KEYS, MAX_LINKS, MAX_MESH, MAX_NAME, MAX_ROOTS, MAX_SERVICES, MAX_SITES};
use super::certificate::EncodedCertificate;
use super::edition::Digest;
use super::error::MeshError;
use super::model::{DeniedKey, HASH, Link, Service, Site, TIME, time};
use super::names::is_text;
use super::read::{List, MORE, Reader};
use super::validate::validate;
use crate::json::Token;

/// The sites of a mesh, what they reach each other for, and whom they trust: a text that was checked as a whole.
///
/// The text is at most [`MAX_MESH`] octets of JSON (RFC 8259) in UTF-8, without comments and without `\` in strings.
/// Nothing of it is copied: each list is read from the text again where it is asked for. So a mesh takes no heap, and
/// whoever asks often keeps what was found.
///
/// | key | value | at most |
/// |---|---|---|
/// | `mesh` | the name, text | 128 octets |
/// | `sequence` | a number from 1, raised with each change | 2⁶⁴ − 1 |
/// | `previous` | `sha256:…`, the digest of the text before; may be left out | |
/// | `not_after` | a time such as `2027-06-01T00:00:00Z`; may be left out where the mesh is not signed | |
/// | `roots` | certificates of CAs, DER in base64 | 8 |
/// | `sites` | objects of `name`, `domains`, `issuers`, `gateways` | 1,024 |
/// | `sites[].domains` | DNS names; those of two sites neither equal nor one below the other | 8; 2,048 of all sites |
/// | `sites[].issuers` | certificates of the site's CAs, or `sha256:…` of their keys, which no other site has | 8; 2,048 of all sites |
/// | `sites[].gateways` | objects of `host`, and maybe `address` and `ports` | 16 |
/// | `services` | objects of `name` and `port` | 64 |
/// | `links` | objects of `service`, `from`, `to` | 16,384 |
/// | `denied_keys` | objects of `key`, and maybe `reason` and `until`; may be left out | 1,024 |
///
/// Names of sites and services are DNS labels in small letters.
#[derive(Clone, Copy, Debug)]
pub struct Mesh<'a> {
    pub(super) name: &'a str,
    pub(super) sequence: u64,
    pub(super) previous: Option<Digest>,
    pub(super) not_after: Option<UnixTime>,
    pub(super) roots: List<'a, EncodedCertificate<'a>>,
    pub(super) sites: List<'a, Site<'a>>,
    pub(super) services: List<'a, Service<'a>>,
    pub(super) links: List<'a, Link<'a>>,
    pub(super) denied_keys: List<'a, DeniedKey<'a>>,
}

impl<'a> Mesh<'a> {
    const KEYS: &'static [&'static str] =
        &["mesh", "sequence", "roots", "sites", "services", "links", "denied_keys", "previous", "not_after"];
    /// The number of keys that are not left out.
    const REQUIRED: usize = 6;

    /// Reads and checks a text.
    ///
    /// # Errors
    /// The first error: its place, the value found, the value expected.
    pub fn parse(text: &'a [u8]) -> Result<Self, MeshError<'a>> {
        let mut reader = Reader::new(text);
        if text.len() > MAX_MESH {
            return Err(reader.refuse_at(MAX_MESH, MORE, "at most 1048576 octets"));
        }
        let mut mesh = Self {
            name: "",
            sequence: 0,
            previous: None,
            not_after: None,
            roots: List::absent(),
            sites: List::absent(),
            services: List::absent(),
            links: List::absent(),
            denied_keys: List::absent(),
        };
        reader.object(Self::KEYS, Self::REQUIRED, |reader, key| mesh.member(reader, key))?;
        reader.require(Token::End, "nothing after the last }")?;
        validate(&mesh)?;
        Ok(mesh)
    }

    fn member(&mut self, reader: &mut Reader<'a>, key: &'static str) -> Result<(), MeshError<'a>> {
        match key {
            "mesh" => {
                let is_name = |text: &&str| !text.is_empty() && is_text(text, MAX_NAME);
                let expected = "a name of 1 to 128 octets without control characters";
                self.name = reader.text(expected, |text| Some(text).filter(is_name))?;
            }
            "sequence" => self.sequence = reader.value("a whole number from 1 to 18446744073709551615", sequence)?,
            "previous" => self.previous = Some(reader.text(HASH, Digest::parse)?),
            "not_after" => self.not_after = Some(reader.text(TIME, time)?),
            "roots" => self.roots = reader.list(MAX_ROOTS, "at most 8 roots")?,
            "sites" => self.sites = reader.list(MAX_SITES, "at most 1024 sites")?,
            "services" => self.services = reader.list(MAX_SERVICES, "at most 64 services")?,
            "links" => self.links = reader.list(MAX_LINKS, "at most 16384 links")?,
            _ => self.denied_keys = reader.list(MAX_DENIED_KEYS, "at most 1024 denied keys")?,
        }
        Ok(())
    }

    /// Returns the name of the mesh.
    pub fn name(&self) -> &'a str {
        self.name
    }

    /// Returns the number of this state of the mesh, from 1.
    pub fn sequence(&self) -> u64 {
        self.sequence
    }

    /// Returns the digest of the text that this one replaces.
    pub fn previous(&self) -> Option<Digest> {
        self.previous
    }

    /// Returns the last second at which the mesh may be taken.
    pub fn not_after(&self) -> Option<UnixTime> {
        self.not_after
    }

    /// Returns the certificates of the roots, at least one. Several may have one key: a root and what another root
    /// issued for it.
    pub fn roots(&self) -> impl Iterator<Item = EncodedCertificate<'a>> + use<'a> {
        self.roots.iter()
    }

    /// Returns the sites.
    pub fn sites(&self) -> impl Iterator<Item = Site<'a>> + use<'a> {
        self.sites.iter()
    }

    /// Returns the site of a name.
    pub fn site(&self, name: &str) -> Option<Site<'a>> {
        self.sites().find(|site| site.name() == name)
    }

    /// Returns the services.
    pub fn services(&self) -> impl Iterator<Item = Service<'a>> + use<'a> {
        self.services.iter()
    }

    /// Returns the service of a name.
    pub fn service(&self, name: &str) -> Option<Service<'a>> {
        self.services().find(|service| service.name() == name)
    }

    /// Returns the links.
    pub fn links(&self) -> impl Iterator<Item = Link<'a>> + use<'a> {
        self.links.iter()
    }

    /// Returns the denied keys, those whose denial has ended too.
    pub fn denied_keys(&self) -> impl Iterator<Item = DeniedKey<'a>> + use<'a> {
        self.denied_keys.iter()
    }
}

fn sequence(token: Token<'_>) -> Option<u64> {
    match token {
        Token::Number(digits) => digits.parse().ok().filter(|sequence| *sequence > 0),
        _ => None,
    }
}
