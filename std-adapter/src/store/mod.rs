//! Stores keys and certificates: the core's two slots in files, and PEM copies for other programs.

mod file;
mod folder;
mod live;
mod place;

pub use file::{FileError, FileMedium};
pub use folder::{Folder, FolderError, leave, look};
pub use live::{live_generation, write_live};
