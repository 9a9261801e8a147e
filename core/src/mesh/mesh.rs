//! The whole of a mesh.

use pki_types::UnixTime;

use super::certificate::EncodedCertificate;
use super::edition::Digest;
use super::model::{DeniedKey, Link, Service, Site};
use super::read::List;

/// The sites of a mesh, what they reach each other for, and whom they trust: a text that was checked as a whole.
///
/// The text is at most [`MAX_MESH`](super::MAX_MESH) octets of JSON (RFC 8259) in UTF-8, without comments and without `\` in strings.
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
