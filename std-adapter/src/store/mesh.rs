//! Keeps the mesh in force in a folder of its own: one small file, replaced as a whole.

use std::path::{Path, PathBuf};

use super::error::StorageError;
use super::folder::{Folder, look};

/// The file of the mesh in force.
const MESH: &str = "mesh.json";

/// A folder for the mesh in force, which this process holds until the value is dropped.
#[derive(Debug)]
pub struct MeshFolder {
    path: PathBuf,
    /// None where nothing is to be written.
    held: Option<Folder>,
}

impl MeshFolder {
    /// Locks the folder, and first makes a missing one.
    ///
    /// # Errors
    /// Fails if another process holds the folder, or it cannot be made, is another user's or is writable by others.
    pub fn hold(path: &Path) -> Result<Self, StorageError> {
        Ok(Self { path: path.to_owned(), held: Some(Folder::open(path)?) })
    }

    /// Opens a folder, which need not exist, for reading alone.
    pub fn view(path: &Path) -> Self {
        Self { path: path.to_owned(), held: None }
    }

    /// Returns what was kept last, if anything was.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is a link, is another user's or is writable by others.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(match &self.held {
            Some(folder) => folder.read(MESH)?,
            None => look(&self.path, MESH)?,
        })
    }

    /// Keeps these octets instead of those before; in a folder that is only viewed nothing changes.
    ///
    /// # Errors
    /// Fails if the file cannot be written; it is then unchanged.
    pub fn write(&self, octets: &[u8]) -> Result<(), StorageError> {
        Ok(self.held.as_ref().map_or(Ok(()), |folder| folder.write(MESH, octets))?)
    }

    /// Returns the file, for messages.
    pub fn file(&self) -> PathBuf {
        self.path.join(MESH)
    }
}
