//! Decides which signed mesh is in force: the one that was kept, or the one that the mesh file offers.
//!
//! | kept | offered | in force | kept afterwards |
//! |---|---|---|---|
//! | nothing | proved by `ca_bundle` | the offered one | the offered one |
//! | nothing | refused | none: an error | nothing |
//! | a mesh | a higher edition, proved by the roots of the kept one | the offered one | the offered one |
//! | a mesh | the same, or a lower edition, or refused, or no file | the kept one | the kept one |
//! | a mesh | the same sequence and generation, another text | the one with the higher digest, and the denials of both | both |

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use edgetrust_core::config::SignedFile;
use edgetrust_core::mesh::{Edition, MAX_SIGNED_MESH};
use edgetrust_core::path::DeniedKey;
use edgetrust_core::time::Utc;
use pki_types::UnixTime;
use tracing::{error, info, warn};

use super::Watched;
use super::mesh_file::{self, MeshFileError};
use super::mesh_kept::{Kept, Offered};
use super::served_mesh::{ServedMesh, ServedTag};
use crate::store::MeshFolder;
use crate::{clock, pem};

/// Keeps the mesh in force of a gateway, over all reloads. Clones are of one gateway.
#[derive(Clone, Debug, Default)]
pub(crate) struct MeshKeeper {
    memory: Arc<Mutex<Option<Memory>>>,
    /// True for a command that says what a gateway would do: nothing is written.
    views: bool,
}

/// The mesh in force, and what judges and keeps the next one.
#[derive(Debug)]
struct Memory {
    storage: PathBuf,
    /// The keys that the configuration denies.
    denied: Vec<DeniedKey>,
    kept: Kept,
    /// The mesh with its rivals that a reload has read last, and the one that a reload has put in force last, each with the
    /// number of the keys that it denies.
    read: (ServedTag, usize),
    loaded: Option<(ServedTag, usize)>,
    /// True if the folder does not have the mesh, since it cannot be written.
    unwritten: bool,
}

/// The signed mesh in force.
#[derive(Debug)]
pub(super) struct MeshInForce {
    pub(super) kept: Kept,
    /// Findings for the log.
    pub(super) remarks: Vec<MeshRemark>,
}

/// A finding about the mesh in force.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum MeshRemark {
    /// Another mesh has come into force.
    Taken(Edition),
    /// The file has a lower edition than the mesh in force.
    Older(String),
    /// The file is refused, and the mesh in force stays.
    Refused(String),
    /// Two texts are signed with one sequence: that in force, and another one.
    Conflict(Edition),
    /// The mesh in force could not be kept.
    NotKept(String),
    /// The mesh in force ends soon, or has ended: no gateway takes it any more that does not have it.
    Ends(UnixTime),
}

impl MeshRemark {
    /// Returns the reason that the mesh file is refused.
    pub(super) fn refused(&self) -> Option<String> {
        match self {
            Self::Refused(reason) => Some(reason.clone()),
            _ => None,
        }
    }
}

/// Logs what there is to say of the mesh that has come into force.
pub(crate) fn log(remarks: &[MeshRemark]) {
    for remark in remarks {
        match remark {
            MeshRemark::Taken(_) | MeshRemark::Older(_) => info!("gateway.mesh: {remark}"),
            MeshRemark::Ends(_) => warn!("gateway.mesh: {remark}"),
            MeshRemark::Refused(_) | MeshRemark::Conflict(_) | MeshRemark::NotKept(_) => {
                error!("gateway.mesh: {remark}");
            }
        }
    }
}

impl fmt::Display for MeshRemark {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Taken(edition) => write!(f, "another mesh is in force: {edition}"),
            Self::Older(reason) => write!(f, "the mesh file is older than the mesh in force: {reason}"),
            Self::Refused(reason) => write!(f, "the mesh file is not taken, and the mesh in force stays: {reason}"),
            Self::Conflict(edition) => write!(
                f,
                "two meshes are signed as {edition}: both hold in what they deny, until one of a higher sequence is signed"
            ),
            Self::NotKept(reason) => write!(f, "the mesh in force cannot be kept: {reason}"),
            Self::Ends(end) => write!(f, "the mesh in force can be taken until {}: sign it again", Utc(*end)),
        }
    }
}

impl MeshKeeper {
    /// Returns a keeper that writes nothing.
    pub(crate) fn viewer() -> Self {
        Self { views: true, ..Self::default() }
    }

    /// Locks the memory. What a panic elsewhere leaves is a whole mesh.
    fn memory(&self) -> MutexGuard<'_, Option<Memory>> {
        self.memory.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn folder(&self, storage: &Path) -> Result<MeshFolder, MeshFileError> {
        if self.views {
            Ok(MeshFolder::view(storage))
        } else {
            MeshFolder::hold(storage).map_err(MeshFileError::Storage)
        }
    }

    /// Returns the mesh in force, after a look at the file, which is noted in `watched` first. `denied` are the keys that
    /// the configuration denies.
    ///
    /// # Errors
    /// Fails if no mesh is in force and the file is refused, or the folder of the mesh in force cannot be used.
    pub(super) fn in_force(
        &self,
        file: &Path,
        settings: &SignedFile<'_>,
        denied: &[DeniedKey],
        watched: &mut Watched,
    ) -> Result<MeshInForce, MeshFileError> {
        watched.note(file);
        let mut memory = self.memory();
        let storage = Path::new(settings.storage_path);
        let (loaded, known) =
            memory.as_ref().map_or((None, None), |known| (known.loaded.clone(), Some(known.kept.clone())));
        // At a start, what cannot be read may be what must not be forgotten. Later the memory has it.
        let (folder, on_disk) = match self.folder(storage) {
            Ok(folder) => match kept_in(&folder) {
                Err(error) if known.is_none() => return Err(error),
                on_disk => (Ok(folder), on_disk.unwrap_or_default()),
            },
            Err(error) if known.is_none() => return Err(error),
            Err(error) => (Err(error.to_string()), None),
        };
        let (now, mut remarks) = (clock::now(), Vec::new());
        let offered = mesh_file::read(file, MAX_SIGNED_MESH);
        let refused = |reason| MeshFileError::Refused(file.to_owned(), reason);
        let before = on_disk.clone();
        // Of two that are the same, the memory's has what was said since.
        let newest = on_disk.into_iter().chain(known).max_by_key(Kept::edition);
        let kept = match newest {
            None => {
                let bundle = Path::new(settings.ca_bundle);
                watched.note(bundle);
                let roots = pem::read_certificates(bundle).map_err(MeshFileError::Roots)?;
                Kept::first(offered?, &roots, denied, now).map_err(refused)?
            }
            Some(mut kept) => {
                match offered.and_then(|text| kept.offer(text, denied, now).map_err(refused)) {
                    Err(error) => remarks.push(MeshRemark::Refused(error.to_string())),
                    Ok(Offered::Older(reason)) => remarks.push(MeshRemark::Older(reason)),
                    Ok(Offered::InForce | Offered::Taken(_) | Offered::Conflict(_)) => {}
                }
                kept
            }
        };
        if loaded.as_ref().is_none_or(|(tag, _)| tag.edition != kept.edition()) {
            remarks.insert(0, MeshRemark::Taken(kept.edition()));
        }
        if kept.is_disputed() {
            remarks.push(MeshRemark::Conflict(kept.edition()));
        }
        let written = match before {
            Some(before) if before.is(&kept) => Ok(()),
            _ => folder.and_then(|folder| kept.write(&folder)),
        };
        let unwritten = written.is_err();
        remarks.extend(written.err().map(MeshRemark::NotKept));
        remarks.extend(kept.ends(now).map(MeshRemark::Ends));
        let (storage, denied) = (storage.to_owned(), denied.to_vec());
        let read = (kept.served().tag(), kept.denied().len());
        *memory = Some(Memory { storage, denied, kept: kept.clone(), loaded, read, unwritten });
        Ok(MeshInForce { kept, remarks })
    }

    /// Records that the mesh that was read last is in force: the configuration that was made with it is.
    pub(crate) fn loaded(&self) {
        if let Some(memory) = self.memory().as_mut() {
            memory.loaded = Some(memory.read.clone());
        }
    }

    /// Returns the mesh that has come and is not in force, since a reload was refused, and all keys that it denies.
    pub(crate) fn pending(&self) -> Option<(ServedMesh, Vec<DeniedKey>)> {
        let memory = self.memory();
        let Memory { kept, loaded, .. } = memory.as_ref()?;
        let (served, denied, loaded) = (kept.served(), kept.denied(), loaded.as_ref()?);
        (*loaded != (served.tag(), denied.len())).then_some((served, denied))
    }

    /// Tries again to keep what could not be kept; returns true if that went well now.
    pub(crate) fn keep_again(&self) -> bool {
        let mut memory = self.memory();
        let Some(memory) = memory.as_mut().filter(|memory| memory.unwritten) else { return false };
        let folder = self.folder(&memory.storage).map_err(|error| error.to_string());
        memory.unwritten = folder.and_then(|folder| memory.kept.write(&folder)).is_err();
        !memory.unwritten
    }

    /// Offers a mesh that another gateway has. This blocks: it verifies, parses and writes.
    ///
    /// # Errors
    /// Returns why it is refused; nothing changes then.
    pub(super) fn offer(&self, text: Vec<u8>) -> Result<Offered, String> {
        let mut memory = self.memory();
        let Some(Memory { storage, denied, kept, unwritten, .. }) = memory.as_mut() else {
            return Err("no mesh is in force".to_owned());
        };
        let offered = kept.offer(text, denied, clock::now())?;
        if offered.is_news() {
            let folder = self.folder(storage).map_err(|error| error.to_string());
            // The reload that follows tries it again, and says if it cannot be kept.
            *unwritten = folder.and_then(|folder| kept.write(&folder)).is_err();
        }
        Ok(offered)
    }
}

/// Returns what a folder keeps, if anything was kept.
fn kept_in(folder: &MeshFolder) -> Result<Option<Kept>, MeshFileError> {
    let Some(octets) = folder.read().map_err(MeshFileError::Storage)? else { return Ok(None) };
    let again = "remove this file, and the mesh file counts again as for a new gateway";
    let refused = |reason| MeshFileError::Refused(folder.file(), format!("{reason}; {again}"));
    Kept::read(&octets).map(Some).map_err(refused)
}
