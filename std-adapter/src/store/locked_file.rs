//! Keeps one small file that several processes of one user change: each reads, decides and writes under a lock, so that
//! no change is lost, and whoever only reads finds a whole file at any time.

use std::fs::{File, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::error::StorageError;
use super::folder::{FolderError, look};
use super::place::Place;

/// The longest wait for the lock, which others hold for the time of one write.
const PATIENCE: Duration = Duration::from_secs(5);
/// The interval of tries.
const BETWEEN: Duration = Duration::from_millis(5);

/// A file in a folder of this user's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LockedFile {
    folder: PathBuf,
    name: &'static str,
    /// The file whose lock whoever writes holds: the file itself is replaced, and its lock with it.
    lock: &'static str,
}

/// The inode, size and change time of a file: another state of it has another stamp, since a change replaces the file.
pub type Stamp = Option<(u64, u64, i64, i64)>;

impl LockedFile {
    /// Names a file, which need not exist, and the file beside it that is locked.
    pub fn new(folder: &Path, name: &'static str, lock: &'static str) -> Self {
        Self { folder: folder.to_owned(), name, lock }
    }

    /// Returns the file's path, for messages.
    pub fn path(&self) -> PathBuf {
        self.folder.join(self.name)
    }

    /// Returns the mark of the file's present state; `None` if there is no file.
    ///
    /// # Errors
    /// Fails if the file cannot be looked at.
    pub fn stamp(&self) -> Result<Stamp, StorageError> {
        use std::os::unix::fs::MetadataExt;
        match std::fs::symlink_metadata(self.path()) {
            Ok(found) => Ok(Some((found.ino(), found.size(), found.ctime(), found.ctime_nsec()))),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(self.failed(self.name, "read")(error).into()),
        }
    }

    /// Returns the contents, or `None` if there is no file.
    ///
    /// # Errors
    /// Fails if the file cannot be read, is a link, is another user's or is writable by others.
    pub fn read(&self) -> Result<Option<Vec<u8>>, StorageError> {
        Ok(look(&self.folder, self.name)?)
    }

    /// Replaces the contents by what `change` makes of them, while no other process changes them; where it makes
    /// nothing, the file stays. A missing folder is made.
    ///
    /// # Errors
    /// Fails where the file cannot be locked, read or written, and where `change` fails; the file is then unchanged.
    pub fn change<T, E: From<StorageError>>(
        &self,
        change: impl FnOnce(Option<&[u8]>) -> Result<(T, Option<Vec<u8>>), E>,
    ) -> Result<T, E> {
        let (place, _lock) = self.hold()?;
        let before = place.read(self.name).map_err(self.failed(self.name, "read"));
        let (result, after) = change(before.map_err(StorageError::from)?.as_deref())?;
        if let Some(after) = after {
            place.replace(self.name, &after).map_err(|error| self.failed(self.name, "written")(error).into())?;
        }
        Ok(result)
    }

    /// Opens the folder and takes the lock, which the system releases however the process ends.
    fn hold(&self) -> Result<(Place, File), StorageError> {
        let place = match Place::open(&self.folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => {
                Place::make(&self.folder).map_err(self.failed("", "made"))?
            }
            opened => opened.map_err(self.failed("", "opened"))?,
        };
        place.is_ours().map_err(self.failed("", "used"))?;
        let lock = place.writer(self.lock).map_err(self.failed(self.lock, "opened"))?;
        let since = Instant::now();
        loop {
            match lock.try_lock() {
                Ok(()) => return Ok((place, lock)),
                Err(TryLockError::WouldBlock) if since.elapsed() < PATIENCE => std::thread::sleep(BETWEEN),
                Err(TryLockError::WouldBlock) => {
                    let waited = format!("another process holds it for more than {} s", PATIENCE.as_secs());
                    return Err(self.failed(self.lock, "locked")(io::Error::new(ErrorKind::WouldBlock, waited)).into());
                }
                Err(TryLockError::Error(error)) => return Err(self.failed(self.lock, "locked")(error).into()),
            }
        }
    }

    fn failed(&self, name: &str, doing: &'static str) -> impl FnOnce(io::Error) -> FolderError {
        let path = if name.is_empty() { self.folder.clone() } else { self.folder.join(name) };
        move |error| FolderError::Io { path, doing, error }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    fn file(folder: &Path) -> LockedFile {
        LockedFile::new(folder, "file", "file.lock")
    }

    fn add(file: &LockedFile) -> Result<usize, StorageError> {
        file.change(|before| {
            let count = before.map_or(0, |text| text.len());
            Ok((count, Some(vec![b'x'; count + 1])))
        })
    }

    #[test]
    fn no_change_of_many_at_once_is_lost() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("made");
        std::thread::scope(|scope| {
            for _ in 0..8 {
                // Each has the file open by itself, as processes have.
                scope.spawn(|| (0..25).for_each(|_| assert!(add(&file(&path)).unwrap() < 200)));
            }
        });
        assert_eq!(file(&path).read().unwrap().unwrap().len(), 200);
        let mode = |name: &str| std::fs::metadata(path.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("file"), mode("file.lock")), (0o600, 0o600));
    }

    #[test]
    fn a_stamp_differs_after_each_change_and_reading_needs_no_lock() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        assert_eq!((file.stamp().unwrap(), file.read().unwrap()), (None, None));
        let mut before = None;
        for _ in 0..20 {
            add(&file).unwrap();
            let now = file.stamp().unwrap();
            assert_ne!(now, before);
            before = now;
        }
        file.change(|_| Ok::<_, StorageError>(((), None))).unwrap();
        assert_eq!(file.stamp().unwrap(), before, "nothing was changed");
    }

    #[test]
    fn what_cannot_be_used_is_named_and_stays() {
        let folder = tempfile::tempdir().unwrap();
        let file = file(folder.path());
        symlink("/dev/null", file.path()).unwrap();
        let said = add(&file).unwrap_err().to_string();
        assert!(said.contains("file: cannot be read: found a link, expected a file"), "{said}");
        std::fs::remove_file(file.path()).unwrap();
        std::fs::write(file.path(), "x").unwrap();
        std::fs::set_permissions(file.path(), std::fs::Permissions::from_mode(0o666)).unwrap();
        let said = add(&file).unwrap_err().to_string();
        assert!(said.contains("file: cannot be read: mode 666 lets others write"), "{said}");
        assert_eq!(std::fs::read(file.path()).unwrap(), b"x");
    }
}
