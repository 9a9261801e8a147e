//! A folder that one process at a time may write to; small files in it are replaced as a whole.

use std::fmt;
use std::fs::{self, DirBuilder, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file larger than this is not one of ours.
const MAX_FILE: u64 = 1024 * 1024;

/// A folder, locked while this lives.
#[derive(Debug)]
pub struct Folder {
    path: PathBuf,
    /// Held for its lock, which the system takes back however the process ends.
    _lock: File,
}

/// What is wrong with a folder.
#[derive(Debug)]
pub enum FolderError {
    /// Another process uses it.
    InUse(PathBuf),
    /// Something in it cannot be read or written.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// What was done to it.
        doing: &'static str,
        /// What the system says.
        error: io::Error,
    },
}

impl fmt::Display for FolderError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(path) => write!(f, "{}: another process uses this folder", path.display()),
            Self::Io { path, doing, error } => write!(f, "{}: cannot be {doing}: {error}", path.display()),
        }
    }
}

impl std::error::Error for FolderError {}

fn fail(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> FolderError {
    move |error| FolderError::Io { path: path.to_owned(), doing, error }
}

impl Folder {
    /// Makes the folder, for its owner alone, if it is not there; takes it.
    ///
    /// # Errors
    /// Where another process has it, or it cannot be written to.
    pub fn open(path: &Path) -> Result<Self, FolderError> {
        DirBuilder::new().recursive(true).mode(0o700).create(path).map_err(fail(path, "made"))?;
        let lock = path.join("lock");
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
        let file = file.map_err(fail(&lock, "opened"))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { path: path.to_owned(), _lock: file }),
            Err(TryLockError::WouldBlock) => Err(FolderError::InUse(path.to_owned())),
            Err(TryLockError::Error(error)) => Err(fail(&lock, "locked")(error)),
        }
    }

    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// A file of this folder; none where there is none.
    ///
    /// # Errors
    /// Where it cannot be read.
    pub fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        read(&self.path, name)
    }

    /// Replaces a file as a whole: whatever happens, it is the old or the new one. For its owner alone.
    ///
    /// # Errors
    /// Where it cannot be written: then it is as before.
    pub fn write(&self, name: &str, octets: &[u8]) -> Result<(), FolderError> {
        replace(&self.path, name, octets, 0o600)
    }

    /// Removes a file, if it is there.
    ///
    /// # Errors
    /// Where it cannot be removed.
    pub fn remove(&self, name: &str) -> Result<(), FolderError> {
        let file = self.path.join(name);
        match fs::remove_file(&file) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(fail(&file, "removed")(error)),
            _ => Ok(()),
        }
    }
}

/// A file of a folder that need not be ours; none where there is none.
///
/// # Errors
/// Where it cannot be read.
pub(super) fn read(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
    let file = folder.join(name);
    match fs::metadata(&file) {
        Ok(found) if found.len() > MAX_FILE => {
            let error = io::Error::new(ErrorKind::FileTooLarge, format!("{} bytes", found.len()));
            return Err(fail(&file, "read")(error));
        }
        _ => {}
    }
    match fs::read(&file) {
        Ok(octets) => Ok(Some(octets)),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        Err(error) => Err(fail(&file, "read")(error)),
    }
}

/// Written beside it, synced, renamed over it, the folder synced.
pub(super) fn replace(folder: &Path, name: &str, octets: &[u8], mode: u32) -> Result<(), FolderError> {
    let (file, new) = (folder.join(name), folder.join(format!("{name}.new")));
    let written = || {
        // A leftover of a crash may have another mode.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut out = OpenOptions::new().write(true).create_new(true).mode(mode).open(&new)?;
        out.write_all(octets)?;
        out.sync_all()?;
        fs::rename(&new, &file)?;
        File::open(folder)?.sync_all()
    };
    written().map_err(fail(&file, "written"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    #[test]
    fn one_process_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(error.ends_with("a/b: another process uses this folder"), "{error}");
        drop(folder);
        Folder::open(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o700);
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        assert_eq!(folder.read("order.json").unwrap(), None);
        // What a crash left behind.
        fs::write(parent.path().join("order.json.new"), "half").unwrap();
        folder.write("order.json", b"one").unwrap();
        folder.write("order.json", b"two").unwrap();
        assert_eq!(folder.read("order.json").unwrap().as_deref(), Some(&b"two"[..]));
        let mode = fs::metadata(parent.path().join("order.json")).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        folder.remove("order.json").unwrap();
        folder.remove("order.json").unwrap();
        assert_eq!(folder.read("order.json").unwrap(), None);
    }

    #[test]
    fn what_cannot_be_written_is_named() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        fs::create_dir(parent.path().join("order.json")).unwrap();
        let error = folder.write("order.json", b"one").unwrap_err().to_string();
        assert!(error.contains("order.json: cannot be written: "), "{error}");
    }
}
