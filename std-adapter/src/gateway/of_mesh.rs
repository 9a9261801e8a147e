//! Takes from a mesh file what the tunnels of one site need: whom they let in, where they lead, which keys are denied.

use std::net::SocketAddr;
use std::path::PathBuf;

use edgetrust_core::config::{MeshOfSites, Service};
use edgetrust_core::mesh::{Digest, Edition, MAX_MESH, Mesh, SiteIssuer, Unreachable};
use edgetrust_core::path::DeniedKey;
use edgetrust_core::x509::KeyHash;
use pki_types::CertificateDer;

use super::mesh_file::{self, MeshFileError, decoded, is_signed};
use super::mesh_in_force::{MeshInForce, MeshKeeper, MeshRemark};
use super::served_mesh::ServedMesh;
use super::{Address, MeshStatus, Watched};
use crate::tls::{OwnedRule, OwnedRuleName, Peers, TrustSettings};

/// A mesh file that was read, for one site.
#[derive(Debug)]
pub(crate) struct MeshText {
    file: PathBuf,
    text: Vec<u8>,
    site: String,
    /// The mesh in force, if it is signed.
    signed: Option<MeshInForce>,
}

impl MeshText {
    /// Reads a mesh file, noted in `watched` first; where it has to be signed, takes the mesh in force. `denied` are the
    /// keys that the configuration denies.
    ///
    /// # Errors
    /// Returns the file, and what is wrong with it.
    pub(crate) fn read(
        mesh: &MeshOfSites<'_>,
        denied: &[DeniedKey],
        watched: &mut Watched,
        keeper: &MeshKeeper,
    ) -> Result<Self, MeshFileError> {
        let (file, site) = (PathBuf::from(mesh.file), mesh.site.to_owned());
        let Some(signed) = &mesh.signed else {
            watched.note(&file);
            let text = mesh_file::read(&file, MAX_MESH)?;
            return Ok(Self { file, text, site, signed: None });
        };
        let signed = keeper.in_force(&file, signed, denied, watched)?;
        Ok(Self { file, text: signed.kept.payload().to_vec(), site, signed: Some(signed) })
    }

    /// Parses the text.
    ///
    /// # Errors
    /// Returns the place in the text, what was found and what was expected.
    pub(crate) fn open(&self) -> Result<SiteMesh<'_>, MeshFileError> {
        let mesh = Mesh::parse(&self.text).map_err(|error| {
            let reason = match is_signed(&self.text) {
                true => "found a signed mesh, expected storage_path and ca_bundle beside file".to_owned(),
                false => error.to_string(),
            };
            MeshFileError::Refused(self.file.clone(), reason)
        })?;
        let roots = mesh.roots().map(decoded).collect();
        Ok(SiteMesh { mesh, text: self, roots })
    }

    /// Returns the edition of a signed mesh.
    pub(crate) fn edition(&self) -> Option<Edition> {
        self.signed.as_ref().map(|signed| signed.kept.edition())
    }

    /// Returns what somebody should hear of a signed mesh.
    pub(crate) fn remarks(&self) -> &[MeshRemark] {
        self.signed.as_ref().map_or(&[], |signed| &signed.remarks)
    }
}

/// A mesh as one site sees it.
#[derive(Debug)]
pub(crate) struct SiteMesh<'m> {
    mesh: Mesh<'m>,
    text: &'m MeshText,
    roots: Vec<CertificateDer<'static>>,
}

/// The settings of a tunnel that follow from a mesh.
pub(super) struct OfMesh {
    pub(super) trust: TrustSettings,
    /// The targets of a client tunnel, each with the name that the server there must have.
    pub(super) servers: Vec<(Address, String)>,
}

impl<'m> SiteMesh<'m> {
    /// Returns the name of the mesh.
    pub(crate) fn name(&self) -> &str {
        self.mesh.name()
    }

    /// Returns the name of this site.
    pub(crate) fn site(&self) -> &str {
        &self.text.site
    }

    /// Returns whether the mesh has this site.
    pub(crate) fn has_site(&self) -> bool {
        self.mesh.site(&self.text.site).is_some()
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
            let clients = self.mesh.clients(service.name, &self.text.site)?;
            return Ok(clients
                .map(|client| format!("lets in {} of site {}", client.host(), client.site().name()))
                .collect());
        };
        let OfMesh { servers, .. } = self.of(service, TrustSettings::default())?;
        let leads = servers.iter().map(|(target, name)| format!("leads to {name} of site {to} at {target}"));
        Ok(leads.collect())
    }

    /// Returns the keys that the mesh denies.
    pub(crate) fn denied_keys(&self) -> impl Iterator<Item = DeniedKey> {
        let also = self.text.signed.as_ref();
        self.mesh
            .denied_keys()
            .map(DeniedKey::from)
            .chain(also.into_iter().flat_map(|signed| signed.kept.also_denied()))
    }

    /// Returns the certificates of the sites' CAs, for peers that send none.
    pub(crate) fn known_intermediates(&self) -> impl Iterator<Item = CertificateDer<'static>> {
        let issuers = self.mesh.sites().flat_map(|site| site.issuers());
        issuers.filter_map(|issuer| match issuer {
            SiteIssuer::Certificate(certificate) => Some(decoded(certificate)),
            SiteIssuer::Key(_) => None,
        })
    }

    /// Returns what there is to say of the mesh on the pages.
    pub(super) fn status(&self) -> MeshStatus {
        let signed = self.text.signed.as_ref();
        let digest = || Digest::of(&self.text.text);
        MeshStatus {
            name: self.mesh.name().to_owned(),
            site: self.text.site.clone(),
            edition: self.text.edition().unwrap_or_else(|| Edition {
                generation: 0,
                sequence: self.mesh.sequence(),
                digest: digest(),
            }),
            signer: signed.and_then(|signed| signed.kept.signer()),
            taken: signed.map(|signed| signed.kept.taken()),
            not_after: self.mesh.not_after(),
            file_refused: self.text.remarks().iter().find_map(MeshRemark::refused),
            conflict: signed.is_some_and(|signed| signed.kept.is_disputed()),
            sites: MeshStatus::sites_of(&self.mesh),
            links: MeshStatus::links_of(&self.mesh),
            denied_keys: self.denied_keys().count(),
        }
    }

    /// Returns rules for the gateways of all sites, each with a certificate from its own site's CA.
    pub(super) fn gateways(&self) -> Peers {
        let rules = self.mesh.sites().flat_map(|site| {
            let issuers: Vec<_> = site.issuer_keys().collect();
            site.gateways().map(move |gateway| OwnedRule {
                name: OwnedRuleName::Dns(gateway.host().to_owned()),
                issuers: Some(issuers.clone()),
            })
        });
        Peers::OneOf(rules.collect())
    }

    /// Returns the keys of the CAs of all sites.
    pub(super) fn issuer_keys(&self) -> impl Iterator<Item = KeyHash> {
        self.mesh.sites().flat_map(|site| site.issuer_keys())
    }

    /// Returns the mesh in force as others see it; none where it is not signed.
    pub(super) fn served(&self) -> Option<ServedMesh> {
        self.text.signed.as_ref().map(|signed| signed.kept.served())
    }

    /// Returns what the mesh says of a service. A server tunnel lets in the gateways of the sites that have a link to
    /// this one, each with a certificate from its own site's CA. A client tunnel leads to the gateways of the other site, with
    /// certificates from that site's CA.
    ///
    /// # Errors
    /// Returns what the mesh lacks.
    pub(super) fn of<'q>(&'q self, service: Service<'q>, more: TrustSettings) -> Result<OfMesh, Unreachable<'q>> {
        let more = TrustSettings { anchors: self.roots.clone().into(), ..more };
        let Some(to) = service.to else {
            let rules = self.mesh.clients(service.name, &self.text.site)?.map(|client| OwnedRule {
                name: OwnedRuleName::Dns(client.host().to_owned()),
                issuers: Some(client.issuer_keys().collect()),
            });
            let clients = Peers::OneOf(rules.collect());
            return Ok(OfMesh { trust: TrustSettings { clients, ..more }, servers: Vec::new() });
        };
        let servers = self.mesh.servers(service.name, &self.text.site, to)?.map(|server| {
            let target = match server.address {
                Some(address) => Address::Tcp(SocketAddr::new(address, server.port)),
                None => Address::Host(server.host.to_owned(), server.port),
            };
            (target, server.host.to_owned())
        });
        let servers: Vec<_> = servers.collect();
        let issuers = self.mesh.site(to).map(|site| site.issuer_keys().collect()).unwrap_or_default();
        let trust = TrustSettings { server_issuers: Some(issuers), ..more };
        Ok(OfMesh { trust, servers })
    }
}
