//! Stores keys and certificates: what the home of a credential does, and folders that do it. In a folder, the core's
//! two slots are files, and PEM copies are for other programs.

mod answer;
mod error;
mod file;
mod folder;
mod home;
mod in_folder;
mod live;
mod locked_file;
mod mesh;
mod place;
mod slots;

pub use answer::ChallengeAnswer;
pub use error::StorageError;
pub use file::FileMedium;
#[cfg(test)]
pub use home::Storage;
pub use home::{Entry, Held, Home, Kept, PemFiles, Pending, Record};
pub use locked_file::{LockedFile, Stamp};
pub use mesh::MeshFolder;

/// Makes a folder that is missing, for this user alone.
///
/// # Errors
/// Fails if it cannot be made or opened.
pub fn make_folder(path: &std::path::Path) -> std::io::Result<()> {
    place::Place::make(path).map(drop)
}
