//! Opens the file of the audit log.

use std::fmt;
use std::fs::{File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

/// The mode of a file that is made: a group may read it, and nobody else.
const MODE: u32 = 0o640;

/// An open file, to whose end lines are written.
#[derive(Debug)]
pub(crate) struct AuditFile {
    path: PathBuf,
    pub(super) file: File,
}

/// The reason that the file of the audit log cannot be opened.
#[derive(Debug)]
pub(crate) struct AuditFileError {
    path: PathBuf,
    error: io::Error,
}

impl fmt::Display for AuditFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "gateway.audit_log: {}: cannot be opened for writing: {}", self.path.display(), self.error)
    }
}

impl std::error::Error for AuditFileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

impl AuditFile {
    /// Opens a file, and makes it if it is missing.
    ///
    /// # Errors
    /// Fails if it cannot be opened for writing; a named pipe cannot while nobody reads it.
    pub(crate) fn open(path: &Path) -> Result<Self, AuditFileError> {
        let opened = match options().open(path) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => make(path),
            opened => opened,
        };
        let file = opened.map_err(|error| AuditFileError { path: path.to_owned(), error })?;
        Ok(Self { path: path.to_owned(), file })
    }

    #[cfg(test)]
    pub(super) fn of(path: PathBuf, file: File) -> Self {
        Self { path, file }
    }

    /// Returns the device and the inode.
    pub(super) fn identity(&self) -> (u64, u64) {
        self.file.metadata().map_or((0, 0), |found| (found.dev(), found.ino()))
    }

    /// Returns whether the file ends with a part of a line, as far as it may be read.
    pub(super) fn is_torn(&self) -> bool {
        let length = self.file.metadata().map_or(0, |found| if found.is_file() { found.len() } else { 0 });
        let Some(last) = length.checked_sub(1) else { return false };
        let mut octet = [0];
        // Something else may have the name by now, and a pipe would be waited for.
        let opened = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK).open(&self.path);
        let read = opened.and_then(|file| file.read_exact_at(&mut octet, last));
        read.is_ok() && octet != *b"\n"
    }

    /// Returns the file's name.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }
}

/// Makes a file, whose mode does not depend on the umask: that of the unit is for keys.
fn make(path: &Path) -> io::Result<File> {
    let file = options().create(true).mode(MODE).open(path)?;
    file.set_permissions(Permissions::from_mode(MODE))?;
    Ok(file)
}

/// Opens the file of a configuration, if it names one.
///
/// # Errors
/// Fails if it cannot be opened for writing.
pub(crate) fn open(path: Option<&Path>) -> Result<Option<AuditFile>, AuditFileError> {
    path.map(AuditFile::open).transpose()
}

/// Without `O_NONBLOCK`, opening a pipe that nobody reads would not end.
fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.append(true).custom_flags(libc::O_NONBLOCK);
    options
}

/// Returns why a file cannot be written; nothing is made or changed.
pub(crate) fn find_fault(path: &Path) -> Option<AuditFileError> {
    let opened = match options().open(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
            let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
            rustix::fs::access(folder, access).map_err(io::Error::from)
        }
        opened => opened.map(drop),
    };
    opened.err().map(|error| AuditFileError { path: path.to_owned(), error })
}
