//! Takes from a mesh file what the tunnels of one site need: whom they let in, where they lead, which keys are denied.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};

use edgetrust_core::config::{MeshOfSites, Service};
use edgetrust_core::mesh::{EncodedCertificate, MAX_CERTIFICATE, MAX_MESH, Mesh, SiteIssuer, Unreachable};
use edgetrust_core::path::DeniedKey;
use pki_types::CertificateDer;

use super::{Address, Watched};
use crate::tls::{OwnedRule, OwnedRuleName, Peers, TrustSettings};

/// The reason that a mesh file cannot be used.
#[derive(Debug)]
pub enum MeshFileError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file has more octets than a mesh may have.
    TooLong(PathBuf),
    /// The file was read but refused, for this reason.
    Refused(PathBuf, String),
}

impl fmt::Display for MeshFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => write!(f, "{}: cannot be read: {error}", file.display()),
            Self::TooLong(file) => write!(f, "{}: found more than {MAX_MESH} octets", file.display()),
            Self::Refused(file, reason) => write!(f, "{}: {reason}", file.display()),
        }
    }
}

impl std::error::Error for MeshFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            Self::TooLong(_) | Self::Refused(..) => None,
        }
    }
}

/// A mesh file that was read, for one site.
#[derive(Debug)]
pub(crate) struct MeshText {
    file: PathBuf,
    text: Vec<u8>,
    site: String,
}

impl MeshText {
    /// Reads a mesh file, noted in `watched` first.
    ///
    /// # Errors
    /// Returns the file, and what is wrong with it.
    pub(crate) fn read(mesh: &MeshOfSites<'_>, watched: &mut Watched) -> Result<Self, MeshFileError> {
        use std::io::Read;
        let file = Path::new(mesh.file);
        watched.note(file);
        let unreadable = |error| MeshFileError::Unreadable(file.to_owned(), error);
        let limit = u64::try_from(MAX_MESH).unwrap_or(u64::MAX);
        let (opened, mut text) = (std::fs::File::open(file).map_err(unreadable)?, Vec::new());
        opened.take(limit.saturating_add(1)).read_to_end(&mut text).map_err(unreadable)?;
        if text.len() > MAX_MESH {
            return Err(MeshFileError::TooLong(file.to_owned()));
        }
        Ok(Self { file: file.to_owned(), text, site: mesh.site.to_owned() })
    }

    /// Parses the text.
    ///
    /// # Errors
    /// Returns the place in the text, what was found and what was expected.
    pub(crate) fn open(&self) -> Result<SiteMesh<'_>, MeshFileError> {
        let refused = |reason: String| MeshFileError::Refused(self.file.clone(), reason);
        let mesh = Mesh::parse(&self.text).map_err(|error| refused(error.to_string()))?;
        let roots = mesh.roots().map(decoded).collect();
        Ok(SiteMesh { mesh, site: &self.site, roots })
    }
}

/// A mesh as one site sees it.
#[derive(Debug)]
pub(crate) struct SiteMesh<'m> {
    mesh: Mesh<'m>,
    site: &'m str,
    roots: Vec<CertificateDer<'static>>,
}

/// The settings of a tunnel that follow from a mesh.
pub(super) struct OfMesh {
    pub(super) trust: TrustSettings,
    /// The target of a client tunnel, and the name that the server there must have.
    pub(super) server: Option<(Address, String)>,
}

impl<'m> SiteMesh<'m> {
    /// Returns the name of the mesh.
    pub(crate) fn name(&self) -> &str {
        self.mesh.name()
    }

    /// Returns the name of this site.
    pub(crate) fn site(&self) -> &str {
        self.site
    }

    /// Returns whether the mesh has this site.
    pub(crate) fn has_site(&self) -> bool {
        self.mesh.site(self.site).is_some()
    }

    /// Returns the trust anchors.
    pub(crate) fn roots(&self) -> &[CertificateDer<'static>] {
        &self.roots
    }

    /// Returns in words whom a service lets in, one gateway in each, or where a tunnel leads.
    ///
    /// # Errors
    /// Returns what the mesh lacks.
    pub(crate) fn described<'q>(&'q self, service: Service<'q>) -> Result<Vec<String>, Unreachable<'q>> {
        let Some(to) = service.to else {
            let clients = self.mesh.clients(service.name, self.site)?;
            return Ok(clients
                .map(|client| format!("lets in {} of site {}", client.host(), client.site().name()))
                .collect());
        };
        let OfMesh { server, .. } = self.of(service, TrustSettings::default())?;
        let leads = server.map(|(target, name)| format!("leads to {name} of site {to} at {target}"));
        Ok(leads.into_iter().collect())
    }

    /// Returns the keys that the mesh denies.
    pub(crate) fn denied_keys(&self) -> impl Iterator<Item = DeniedKey> {
        self.mesh.denied_keys().map(|denied| DeniedKey { key: denied.key(), until: denied.until() })
    }

    /// Returns the certificates of the sites' CAs, for peers that send none.
    pub(crate) fn known_intermediates(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        let issuers = self.mesh.sites().flat_map(|site| site.issuers());
        issuers.filter_map(|issuer| match issuer {
            SiteIssuer::Certificate(certificate) => Some(decoded(certificate)),
            SiteIssuer::Key(_) => None,
        })
    }

    /// Returns what the mesh says of a service. A server tunnel lets in the gateways of the sites that have a link to
    /// this one, each with a certificate from its own site's CA. A client tunnel leads to the first gateway of the other
    /// site, with a certificate from that site's CA.
    ///
    /// # Errors
    /// Returns what the mesh lacks.
    pub(super) fn of<'q>(&'q self, service: Service<'q>, more: TrustSettings) -> Result<OfMesh, Unreachable<'q>> {
        let more = TrustSettings { anchors: self.roots.clone().into(), ..more };
        let Some(to) = service.to else {
            let rules = self.mesh.clients(service.name, self.site)?.map(|client| OwnedRule {
                name: OwnedRuleName::Dns(client.host().to_owned()),
                issuers: Some(client.issuer_keys().collect()),
            });
            let clients = Peers::OneOf(rules.collect());
            return Ok(OfMesh { trust: TrustSettings { clients, ..more }, server: None });
        };
        let server = self.mesh.servers(service.name, self.site, to)?.next().ok_or(Unreachable::Gateway(to))?;
        let target = match server.address {
            Some(address) => Address::Tcp(SocketAddr::new(address, server.port)),
            None => Address::Host(server.host.to_owned(), server.port),
        };
        let issuers = self.mesh.site(to).map(|site| site.issuer_keys().collect()).unwrap_or_default();
        let trust = TrustSettings { server_issuers: Some(issuers), ..more };
        Ok(OfMesh { trust, server: Some((target, server.host.to_owned())) })
    }
}

/// Decodes a certificate that was decoded when the mesh was checked.
fn decoded(certificate: EncodedCertificate<'_>) -> CertificateDer<'static> {
    let mut out = [0; MAX_CERTIFICATE];
    let der = certificate.decode(&mut out);
    debug_assert!(der.is_some(), "the mesh was checked");
    CertificateDer::from(der.unwrap_or_default().to_vec())
}
