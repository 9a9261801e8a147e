//! Keeps a folder open and accesses its files: none of their names is followed as a link, and only this user may write
//! them.

use std::ffi::OsStr;
use std::fs::{self, DirBuilder, File};
use std::io::{self, ErrorKind, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, Stat};
use rustix::io::Errno;
use rustix::process::geteuid;

/// The size limit of a file, in octets; larger files are not ours. The largest is a mesh in force with two rivals, 1.4 MB
/// each, and all keys that these and others deny.
const MAX_FILE: u64 = 8 * 1024 * 1024;

/// The modes of folders and files, for their owner alone, whatever the umask is.
const FOLDER_MODE: u32 = 0o700;
const FILE_MODE: u32 = 0o600;

/// The kind of the errors about files that another user owns or may write to.
const FOREIGN: ErrorKind = ErrorKind::InvalidData;

/// The mode bits that let users other than the owner write.
const WRITABLE_BY_OTHERS: u32 = 0o022;

/// An open folder: file names refer to this folder even if its path changes.
#[derive(Debug)]
pub(super) struct Place {
    path: PathBuf,
    fd: OwnedFd,
    /// The folder's owner, who must also own the folder's files.
    owner: u32,
}

impl Place {
    /// Opens a folder. Its path may lead through links (systemd's `StateDirectory=` with `DynamicUser=`); names in it
    /// may not.
    pub(super) fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(CWD, path, flags, Mode::empty())?;
        Self::of(path.to_owned(), fd)
    }

    fn of(path: PathBuf, fd: OwnedFd) -> io::Result<Self> {
        let owner = rustix::fs::fstat(&fd)?.st_uid;
        Ok(Self { path, fd, owner })
    }

    /// Creates the folder and its missing parents, and opens it.
    pub(super) fn make(path: &Path) -> io::Result<Self> {
        match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() && !path.exists() => drop(Self::make(parent)?),
            _ => {}
        }
        match DirBuilder::new().mode(FOLDER_MODE).create(path) {
            // The umask may have cleared bits of the owner's.
            Ok(()) => fs::set_permissions(path, fs::Permissions::from_mode(FOLDER_MODE))?,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => {}
            Err(error) => return Err(error),
        }
        Self::open(path)
    }

    /// Returns the folder's path.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Returns the folder itself as a file, for a lock.
    pub(super) fn lockable(&self) -> io::Result<File> {
        Ok(self.fd.try_clone()?.into())
    }

    /// Checks that this process's user owns the folder and that no other user may write to it.
    pub(super) fn is_ours(&self) -> io::Result<()> {
        owned(&rustix::fs::fstat(&self.fd)?, geteuid().as_raw())
    }

    /// Opens an existing file for reading.
    pub(super) fn reader(&self, name: &str) -> io::Result<File> {
        let file = self.file(name, OFlags::RDONLY)?;
        owned(&rustix::fs::fstat(&file)?, self.owner)?;
        Ok(file)
    }

    /// Opens a file for writing in place, and creates a missing one.
    pub(super) fn writer(&self, name: &str) -> io::Result<File> {
        let file = self.file(name, OFlags::RDWR | OFlags::CREATE)?;
        owned(&rustix::fs::fstat(&file)?, self.owner)?;
        restrict(&file)?;
        Ok(file)
    }

    fn file(&self, name: &str, flags: OFlags) -> io::Result<File> {
        // A pipe of this name must not block us.
        let flags = flags | OFlags::NOFOLLOW | OFlags::CLOEXEC | OFlags::NONBLOCK;
        match rustix::fs::openat(&self.fd, name, flags, Mode::from_raw_mode(FILE_MODE)) {
            Ok(fd) => Ok(fd.into()),
            Err(Errno::LOOP) => Err(io::Error::new(FOREIGN, "found a link, expected a file")),
            Err(error) => Err(error.into()),
        }
    }

    /// Opens a folder in this one, and creates a missing one.
    pub(super) fn folder(&self, name: &str) -> io::Result<Self> {
        match rustix::fs::mkdirat(&self.fd, name, Mode::from_raw_mode(FOLDER_MODE)) {
            Ok(()) => {
                let mode = Mode::from_raw_mode(FOLDER_MODE);
                rustix::fs::chmodat(&self.fd, name, mode, AtFlags::empty())?;
            }
            Err(Errno::EXIST) => {}
            Err(error) => return Err(error.into()),
        }
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NOFOLLOW | OFlags::CLOEXEC;
        let fd = rustix::fs::openat(&self.fd, name, flags, Mode::empty())?;
        owned(&rustix::fs::fstat(&fd)?, self.owner)?;
        Self::of(self.path.join(name), fd)
    }

    /// Returns the contents of a file, or `None` if there is no such file.
    pub(super) fn read(&self, name: &str) -> io::Result<Option<Vec<u8>>> {
        use std::io::Read;
        let file = match self.reader(name) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
            other => other?,
        };
        let mut octets = Vec::new();
        file.take(MAX_FILE.saturating_add(1)).read_to_end(&mut octets)?;
        if u64::try_from(octets.len()).unwrap_or(u64::MAX) > MAX_FILE {
            return Err(io::Error::new(ErrorKind::FileTooLarge, format!("found more than {MAX_FILE} bytes")));
        }
        Ok(Some(octets))
    }

    /// Replaces a file atomically: writes and syncs a new file, renames it over the old one, and syncs the folder.
    pub(super) fn replace(&self, name: &str, octets: &[u8]) -> io::Result<()> {
        if u64::try_from(octets.len()).unwrap_or(u64::MAX) > MAX_FILE {
            // It could not be read again.
            let length = octets.len();
            return Err(io::Error::new(
                ErrorKind::FileTooLarge,
                format!("found {length} bytes, expected at most {MAX_FILE}"),
            ));
        }
        let new = format!("{name}.new");
        // A leftover of a crash may have another mode.
        self.remove(&new)?;
        let mut file = self.file(&new, OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL)?;
        let written = restrict(&file).and_then(|()| file.write_all(octets)).and_then(|()| file.sync_all());
        if let Err(error) = written {
            // The leftover must not fill a full disk further.
            let _ = self.remove(&new);
            return Err(error);
        }
        self.rename(&new, name)
    }

    /// Renames a file of this folder over another, and syncs the folder.
    pub(super) fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        rustix::fs::renameat(&self.fd, from, &self.fd, to)?;
        self.sync()
    }

    /// Creates a link; fails if the name is taken.
    pub(super) fn link(&self, target: &str, name: &str) -> io::Result<()> {
        Ok(rustix::fs::symlinkat(target, &self.fd, name)?)
    }

    /// Returns the target of a link of this folder.
    pub(super) fn linked(&self, name: &str) -> io::Result<Vec<u8>> {
        Ok(rustix::fs::readlinkat(&self.fd, name, Vec::new())?.into_bytes())
    }

    /// Removes a file or a link, if it exists.
    pub(super) fn remove(&self, name: &str) -> io::Result<()> {
        match rustix::fs::unlinkat(&self.fd, name, AtFlags::empty()) {
            Err(Errno::NOENT) => Ok(()),
            other => Ok(other?),
        }
    }

    /// Removes a folder of files, or another file of this name.
    pub(super) fn remove_folder(&self, name: &OsStr) -> io::Result<()> {
        let path = self.path.join(name);
        match fs::symlink_metadata(&path)?.is_dir() {
            // `symlink_metadata` follows no link.
            true => fs::remove_dir_all(&path),
            false => fs::remove_file(&path),
        }
    }

    /// Writes the folder's changes (files created, renamed or removed) to the disk.
    pub(super) fn sync(&self) -> io::Result<()> {
        Ok(rustix::fs::fsync(&self.fd)?)
    }
}

/// Rejects a file or folder that another user owns or may write to: that user would obtain the key, or choose it.
fn owned(stat: &Stat, by: u32) -> io::Result<()> {
    let owner = stat.st_uid;
    let mode = stat.st_mode & 0o7777;
    if !matches!(FileType::from_raw_mode(stat.st_mode), FileType::RegularFile | FileType::Directory) {
        return Err(io::Error::new(FOREIGN, "found neither a file nor a folder"));
    }
    if owner != by {
        let reason = format!("it is owned by user {owner}, expected user {by}");
        return Err(io::Error::new(FOREIGN, reason));
    }
    if mode & WRITABLE_BY_OTHERS != 0 {
        let reason = format!(
            "mode {mode:03o} lets others write, expected {FOLDER_MODE:o} for a folder, {FILE_MODE:o} for a file"
        );
        return Err(io::Error::new(FOREIGN, reason));
    }
    Ok(())
}

/// Returns whether the error is about a file that another user owns or may write to, or that is not a regular file.
pub(super) fn foreign(error: &io::Error) -> bool {
    error.kind() == FOREIGN
}

/// Sets the mode: a strict umask gives a new file less than its mode, and an old file may have more.
fn restrict(file: &File) -> io::Result<()> {
    let mode = rustix::fs::fstat(file)?.st_mode & 0o777;
    if mode == FILE_MODE { Ok(()) } else { Ok(rustix::fs::fchmod(file, Mode::from_raw_mode(FILE_MODE))?) }
}
