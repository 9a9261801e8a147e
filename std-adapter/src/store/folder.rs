//! Manages a folder that only one process at a time may write to, and whose small files are replaced atomically.

use std::fmt;
use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::file::SLOTS;
use super::home::Entry;
use super::place::{Place, foreign};

const LOCK: &str = "lock";

/// The files other than the slots that hold keys.
const KEYS: [&str; 2] = [Entry::Account.name(), Entry::Order.name()];

/// A file as large as an order with its key, to test writing.
const PROBE: (&str, usize) = ("probe", 8192);

/// Locking is tried this often, at this interval: a process that checks whether the folder is free locks it for an
/// instant.
const TRIES: usize = 5;
const BETWEEN: Duration = Duration::from_millis(20);

/// A folder that is locked until this value is dropped.
#[derive(Debug)]
pub(super) struct Folder {
    place: Place,
    /// The file that holds the lock, which the system releases however the process ends.
    _lock: File,
}

/// A fault of a folder.
#[derive(Debug)]
pub(super) enum FolderError {
    /// Another process uses the folder.
    InUse(PathBuf),
    /// A file cannot be read or written, or other users may write to it.
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operation, as a participle.
        doing: &'static str,
        /// The system's error, or the value found and the one expected.
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

impl std::error::Error for FolderError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::InUse(_) => None,
            Self::Io { error, .. } => Some(error),
        }
    }
}

fn fail(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> FolderError {
    move |error| FolderError::Io { path: path.to_owned(), doing, error }
}

impl Folder {
    /// Locks the folder, and first creates a missing one for its owner alone. A folder that cannot be written to is
    /// locked all the same, since its contents can be used.
    ///
    /// # Errors
    /// Fails if another process holds the folder, or it cannot be created, is another user's or is writable by others.
    pub(super) fn open(path: &Path) -> Result<Self, FolderError> {
        let place = match Place::open(path) {
            Err(error) if error.kind() == ErrorKind::NotFound => Place::make(path).map_err(fail(path, "made"))?,
            opened => opened.map_err(fail(path, "opened"))?,
        };
        place.is_ours().map_err(fail(path, "used"))?;
        for name in SLOTS.into_iter().chain(KEYS) {
            match place.reader(name) {
                // An unreadable file is reported by its reader; a missing one is created later.
                Err(error) if foreign(&error) => {
                    return Err(fail(&path.join(name), "used")(error));
                }
                _ => {}
            }
        }
        let file = path.join(LOCK);
        let lock = match place.writer(LOCK) {
            // A process that cannot write here takes no lock from one that can.
            Err(error) if cannot_write(&error) => match place.reader(LOCK) {
                Err(error) if error.kind() == ErrorKind::NotFound => place.lockable(),
                there => there,
            },
            made => made,
        };
        let lock = lock.map_err(fail(&file, "opened"))?;
        for _ in 0..TRIES {
            match lock.try_lock() {
                Ok(()) => return Ok(Self { place, _lock: lock }),
                Err(TryLockError::WouldBlock) => std::thread::sleep(BETWEEN),
                Err(TryLockError::Error(error)) => return Err(fail(&file, "locked")(error)),
            }
        }
        Err(FolderError::InUse(path.to_owned()))
    }

    /// Returns the folder's path.
    pub(super) fn path(&self) -> &Path {
        self.place.path()
    }

    pub(super) fn place(&self) -> &Place {
        &self.place
    }

    /// Returns the contents of a file of this folder, or `None` if there is no such file.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is a link, is another user's or is writable by others.
    pub(super) fn read(&self, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
        self.place.read(name).map_err(fail(&self.path().join(name), "read"))
    }

    /// Replaces a file, for its owner alone; after any failure the file is the old or the new one.
    ///
    /// # Errors
    /// Fails if the file cannot be written; the file is then unchanged.
    pub(super) fn write(&self, name: &str, octets: &[u8]) -> Result<(), FolderError> {
        self.place.replace(name, octets).map_err(fail(&self.path().join(name), "written"))
    }

    /// Removes a file, if it exists.
    ///
    /// # Errors
    /// Fails if the file cannot be removed.
    pub(super) fn remove(&self, name: &str) -> Result<(), FolderError> {
        self.place.remove(name).map_err(fail(&self.path().join(name), "removed"))
    }

    /// Tests that there is room for a file and that files may be written.
    ///
    /// # Errors
    /// Returns why nothing new can be stored here.
    pub(super) fn try_writing(&self) -> Result<(), FolderError> {
        let (name, octets) = PROBE;
        let written = self.place.replace(name, &vec![0; octets]).and_then(|()| self.place.remove(name));
        written.map_err(fail(self.path(), "written to"))
    }
}

/// Returns whether the disk is full or read-only, in which case existing files are still good.
fn cannot_write(error: &io::Error) -> bool {
    matches!(
        error.kind(),
        ErrorKind::ReadOnlyFilesystem | ErrorKind::StorageFull | ErrorKind::QuotaExceeded | ErrorKind::PermissionDenied
    )
}

/// Writes a file into a folder that another process has locked.
///
/// # Errors
/// Fails if the file cannot be written, or the folder is not ours.
pub(super) fn leave(folder: &Path, name: &str, octets: &[u8]) -> Result<(), FolderError> {
    let written = Place::open(folder).and_then(|place| {
        place.is_ours()?;
        place.replace(name, octets)
    });
    written.map_err(fail(&folder.join(name), "written"))
}

/// Returns the contents of a file of a folder that another process may have locked, or `None` if there is none.
///
/// # Errors
/// Fails if the file cannot be read, is a link, is another user's or is writable by others.
pub(super) fn look(folder: &Path, name: &str) -> Result<Option<Vec<u8>>, FolderError> {
    let read = match Place::open(folder) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
        place => place.and_then(|place| place.read(name)),
    };
    read.map_err(fail(&folder.join(name), "read"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    fn set_mode(path: &Path, mode: u32) {
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
    }

    #[test]
    fn a_file_that_could_not_be_read_again_is_not_written() {
        let there = tempfile::tempdir().unwrap();
        let folder = Folder::open(&there.path().join("folder")).unwrap();
        folder.write("file", b"before").unwrap();
        let error = folder.write("file", &vec![0; 8 * 1024 * 1024 + 1]).unwrap_err().to_string();
        assert!(error.contains("found 8388609 bytes, expected at most 8388608"), "{error}");
        assert_eq!(folder.read("file").unwrap().as_deref(), Some(&b"before"[..]));
    }

    #[test]
    fn one_process_at_a_time() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a/b");
        let folder = Folder::open(&path).unwrap();
        let error = Folder::open(&path).unwrap_err().to_string();
        assert!(error.ends_with("a/b: another process uses this folder"), "{error}");
        drop(folder);
        Folder::open(&path).unwrap();
        assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o700, 0o700));
    }

    #[test]
    fn files_are_replaced_as_a_whole() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        assert_eq!(folder.read("order.json").unwrap(), None);
        // The leftover of a crash.
        fs::write(parent.path().join("order.json.new"), "half").unwrap();
        folder.write("order.json", b"one").unwrap();
        folder.write("order.json", b"two").unwrap();
        assert_eq!(folder.read("order.json").unwrap().as_deref(), Some(&b"two"[..]));
        assert_eq!(mode(&parent.path().join("order.json")), 0o600);
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

    #[test]
    fn the_folder_may_be_a_link_and_nothing_in_it() {
        let parent = tempfile::tempdir().unwrap();
        let (real, link) = (parent.path().join("private"), parent.path().join("link"));
        fs::create_dir(&real).unwrap();
        symlink(&real, &link).unwrap();
        let folder = Folder::open(&link).unwrap();
        let outside = parent.path().join("outside");
        fs::write(&outside, "theirs").unwrap();
        set_mode(&outside, 0o600);
        symlink(&outside, real.join("order.json")).unwrap();
        let error = folder.read("order.json").unwrap_err().to_string();
        assert!(error.contains("link/order.json: cannot be read: found a link, expected a file"), "{error}");
        // A link is replaced, not followed.
        symlink(&outside, real.join("order.json.new")).unwrap();
        folder.write("order.json", b"ours").unwrap();
        assert_eq!(fs::read(&outside).unwrap(), b"theirs");
        assert_eq!(folder.read("order.json").unwrap().as_deref(), Some(&b"ours"[..]));
        drop(folder);
        fs::remove_file(real.join("lock")).unwrap();
        symlink(&outside, real.join("lock")).unwrap();
        let error = Folder::open(&link).unwrap_err().to_string();
        assert!(error.contains("lock: cannot be opened: found a link"), "{error}");
    }

    #[test]
    fn what_others_may_write_is_refused_by_name() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("kept");
        drop(Folder::open(&path).unwrap());
        for others in [0o770, 0o707, 0o777] {
            set_mode(&path, others);
            let error = Folder::open(&path).unwrap_err().to_string();
            assert!(error.contains(&format!("kept: cannot be used: mode {others:o} lets others write")), "{error}");
        }
        set_mode(&path, 0o755);
        let folder = Folder::open(&path).unwrap();
        fs::write(path.join("account.json"), "{}").unwrap();
        set_mode(&path.join("account.json"), 0o620);
        let error = folder.read("account.json").unwrap_err().to_string();
        assert!(error.contains("account.json: cannot be read: mode 620 lets others write"), "{error}");
    }

    #[test]
    fn a_pipe_in_the_place_of_a_file_holds_nobody_up() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let made = std::process::Command::new("mkfifo").arg(parent.path().join("order.json")).status().unwrap();
        assert!(made.success());
        let error = folder.read("order.json").unwrap_err().to_string();
        assert!(error.contains("order.json: cannot be read: found neither a file nor a folder"), "{error}");
    }
}
