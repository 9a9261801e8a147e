//! Reads the trust that all tunnels share: what completes chains, what is denied or revoked, and the mesh.

use std::path::Path;
use std::sync::Arc;

use edgetrust_core::config::{AllowedClients, DeniedKey, Gateway, Paths};
use edgetrust_core::path;
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::CertificateDer;
use tracing::warn;

use super::Watched;
use super::mesh_in_force::MeshKeeper;
use super::of_mesh::{MeshText, SiteMesh};
use super::plan_error::PlanError;
use super::revocation::{self, ListStatus};
use crate::clock;
use crate::pem::CaFiles;
use crate::replica::settings::{NatsSettings, permissions};
use crate::tls::{Anchors, RevocationLists, TrustSettings};

/// The trust that all tunnels share: what completes chains, what is denied, and what is revoked.
#[derive(Debug)]
pub(crate) struct SharedTrust<'a> {
    pub(super) allowed_clients: &'a AllowedClients<'a>,
    pub(crate) known_intermediates: Vec<CertificateDer<'static>>,
    denied_keys: Vec<path::DeniedKey>,
    lists: RevocationLists,
    pub(super) list_status: Vec<ListStatus>,
    pub(super) mesh: Option<MeshText>,
    /// The store of the mesh.
    pub(super) mesh_storage: Option<Arc<NatsSettings>>,
    pub(super) keeper: MeshKeeper,
    ca_files: CaFiles,
}

impl<'a> SharedTrust<'a> {
    /// Reads the known intermediates and the mesh, each file noted in `watched` first.
    pub(crate) fn read(
        gateway: &'a Gateway<'_>,
        denied_keys: &[DeniedKey<'_>],
        watched: &mut Watched,
        keeper: &MeshKeeper,
    ) -> Result<Self, PlanError> {
        let mut known_intermediates = certificates(&gateway.known_intermediates, watched)?;
        let mut denied_keys: Vec<_> = denied_keys.iter().map(path::DeniedKey::from).collect();
        let mesh = gateway.mesh.as_ref().map(|mesh| MeshText::read(mesh, &denied_keys, watched, keeper));
        let mesh = mesh.transpose().map_err(PlanError::Mesh)?;
        let mut ca_files = CaFiles::default();
        if let Some(mesh) = &mesh {
            let mesh = mesh.open().map_err(PlanError::Mesh)?;
            ca_files = ca_files_of(gateway, &mesh);
            known_intermediates.extend(mesh.known_intermediates());
            denied_keys.extend(mesh.denied_keys());
        }
        let storage = gateway.mesh.as_ref().and_then(|mesh| mesh.storage.as_ref());
        storage.into_iter().flat_map(permissions).for_each(|warning| warn!("{warning}"));
        let mesh_storage = NatsSettings::read(storage, &ca_files, |file| watched.note(file));
        let mesh_storage = mesh_storage.map_err(PlanError::MeshStorage)?;
        let (lists, list_status) = revocation::read(gateway, watched)?;
        let (allowed_clients, keeper) = (&gateway.allowed_clients, keeper.clone());
        Ok(Self {
            allowed_clients,
            known_intermediates,
            denied_keys,
            lists,
            list_status,
            mesh,
            mesh_storage,
            keeper,
            ca_files,
        })
    }

    /// Returns the keys that the configuration and the mesh deny.
    pub(crate) fn denied_keys(&self) -> &[path::DeniedKey] {
        &self.denied_keys
    }

    /// Warns of revocation lists that no CA has signed, after all CAs have been read.
    pub(crate) fn warn_of_lists(&self) {
        revocation::warn_of_strange(&self.lists, &self.list_status);
    }

    /// Returns the reader of files of CAs: the roots of a signed mesh in force stand for its `ca_bundle`.
    pub(crate) fn ca_files(&self) -> &CaFiles {
        &self.ca_files
    }

    /// Reads files of CAs, each noted first.
    pub(crate) fn authorities(
        &self,
        files: &Paths<'_>,
        watched: &mut Watched,
    ) -> Result<Vec<CertificateDer<'static>>, PlanError> {
        read(&self.ca_files, files, watched)
    }

    /// Returns the mesh that was read.
    pub(crate) fn mesh(&self) -> Option<&MeshText> {
        self.mesh.as_ref()
    }

    /// Returns the subjects and keys of those certificates of a chain whose key is denied.
    pub(crate) fn denied(&self, chain: &[CertificateDer<'_>]) -> Vec<(String, KeyHash)> {
        let certificates = chain.iter().flat_map(|der| Certificate::from_der(der));
        let keys = certificates.map(|one| (one.subject().to_string(), KeyHash::of(&one.subject_public_key_info())));
        let now = clock::now();
        let holds = |key: &KeyHash| self.denied_keys.iter().any(|denied| denied.key == *key && denied.holds(now));
        keys.filter(|(_, key)| holds(key)).collect()
    }

    /// Adds the anchors of one side.
    pub(super) fn with(&self, anchors: Anchors) -> TrustSettings {
        TrustSettings {
            known_intermediates: self.known_intermediates.clone(),
            denied_keys: self.denied_keys.clone(),
            revocation: self.lists.clone(),
            ..anchors.into()
        }
    }
}

/// Returns the reader of files of CAs where this mesh is in force.
pub(crate) fn ca_files_of(gateway: &Gateway<'_>, mesh: &SiteMesh<'_>) -> CaFiles {
    match gateway.mesh.as_ref().and_then(|mesh| mesh.signed) {
        Some(signed) => CaFiles::replacing(signed.ca_bundle, mesh.roots().to_vec()),
        None => CaFiles::default(),
    }
}

/// Reads the certificates of several files, each noted first.
pub(crate) fn certificates(
    files: &Paths<'_>,
    watched: &mut Watched,
) -> Result<Vec<CertificateDer<'static>>, PlanError> {
    read(&CaFiles::default(), files, watched)
}

fn read(
    ca_files: &CaFiles,
    files: &Paths<'_>,
    watched: &mut Watched,
) -> Result<Vec<CertificateDer<'static>>, PlanError> {
    let mut all = Vec::new();
    for file in files {
        watched.note(Path::new(file));
        all.extend(ca_files.read(Path::new(file)).map_err(PlanError::Certificates)?);
    }
    Ok(all)
}
