//! Files and folders that are there as a whole or not at all.

use std::fs::{self, DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Read as _, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, Mode, OFlags, RenameFlags};
use rustix::io::Errno;

/// Modes of files and folders: of secrets, and of what everybody may read.
pub(super) const SECRET: u32 = 0o600;
pub(super) const PUBLIC: u32 = 0o644;
pub(super) const SECRET_FOLDER: u32 = 0o700;
pub(super) const PUBLIC_FOLDER: u32 = 0o755;

/// The size limit of a file that is read, in octets.
const MAX_FILE: u64 = 2 * 1024 * 1024;

/// Returns the text of an error, with the path and what was to be done, as a participle.
pub(super) fn failed(path: &Path, doing: &'static str) -> impl Fn(io::Error) -> String {
    move |error| format!("{}: cannot be {doing}: {error}", path.display())
}

/// Opens a file that is to be read. A pipe or a device is refused at once: it may never say anything.
pub(super) fn open(file: &Path) -> io::Result<File> {
    // Without the flag, a pipe is opened only once somebody writes to it.
    let opened = rustix::fs::open(file, OFlags::RDONLY | OFlags::NONBLOCK | OFlags::CLOEXEC, Mode::empty())?;
    let opened = File::from(opened);
    match opened.metadata()?.is_file() {
        true => Ok(opened),
        false => Err(io::Error::other("found no regular file, expected one")),
    }
}

/// Returns a file's octets, or `None` if there is no such file.
pub(super) fn look(file: &Path) -> Result<Option<Vec<u8>>, String> {
    let opened = match open(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        opened => opened.map_err(failed(file, "opened"))?,
    };
    let mut octets = Vec::new();
    opened.take(MAX_FILE.saturating_add(1)).read_to_end(&mut octets).map_err(failed(file, "read"))?;
    if u64::try_from(octets.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(format!("{}: found more than {MAX_FILE} octets", file.display()));
    }
    Ok(Some(octets))
}

/// Replaces a file: after any failure it is the old one or the new one. The mode holds whatever the umask is.
pub(super) fn replace(file: &Path, octets: &[u8], mode: u32) -> Result<(), String> {
    let beside = beside(file);
    let write = || -> io::Result<()> {
        remove(&beside)?;
        before_write()?;
        let mut new = OpenOptions::new().write(true).create_new(true).mode(mode).open(&beside)?;
        new.set_permissions(fs::Permissions::from_mode(mode))?;
        new.write_all(octets)?;
        sync(&new)?;
        before_write()?;
        fs::rename(&beside, file)?;
        sync_parent(file)
    };
    write().map_err(|error| {
        // The error before says more.
        let _ = remove(&beside);
        failed(file, "written")(error)
    })
}

fn beside(file: &Path) -> std::path::PathBuf {
    let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
    file.with_file_name(format!(".{name}.new"))
}

fn remove(file: &Path) -> io::Result<()> {
    before_write()?;
    match fs::remove_file(file) {
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

/// Makes a folder, and fails if anything of its name is there: somebody else may have made it.
pub(super) fn make_new(folder: &Path, mode: u32) -> Result<(), String> {
    let made = before_write().and_then(|()| DirBuilder::new().mode(mode).create(folder));
    let made = made.and_then(|()| with_mode(folder, mode));
    made.map_err(failed(folder, "made"))
}

/// Makes a folder if it is not there yet.
pub(super) fn make(folder: &Path, mode: u32) -> Result<(), String> {
    let create = || before_write().and_then(|()| DirBuilder::new().mode(mode).create(folder));
    let make = || match create() {
        Err(error) if error.kind() == ErrorKind::AlreadyExists => Ok(()),
        Err(error) => Err(error),
        Ok(()) => with_mode(folder, mode),
    };
    make().map_err(failed(folder, "made"))
}

/// Sets the mode of a new folder, of which the umask may have cleared bits.
fn with_mode(folder: &Path, mode: u32) -> io::Result<()> {
    fs::set_permissions(folder, fs::Permissions::from_mode(mode))
}

/// Renames a file or folder to a name that is free.
pub(super) fn move_to(from: &Path, to: &Path) -> Result<(), String> {
    before_write().map_err(failed(to, "made"))?;
    let renamed = match rustix::fs::renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // Some file systems have no such flag.
        Err(Errno::INVAL | Errno::NOSYS) if !to.exists() => fs::rename(from, to),
        other => other.map_err(io::Error::from),
    };
    let renamed = renamed.and_then(|()| sync_parent(to)).and_then(|()| sync_parent(from));
    renamed.map_err(failed(to, "made"))
}

/// Removes a file, or a folder with all that is in it.
pub(super) fn remove_all(path: &Path) -> Result<(), String> {
    let gone = match path.is_dir() && !path.is_symlink() {
        true => before_write().and_then(|()| fs::remove_dir_all(path)),
        false => remove(path),
    };
    gone.map_err(failed(path, "removed"))
}

/// Returns a name in a folder that nothing has: the wanted one, or one with a number.
pub(super) fn free(folder: &Path, wanted: &str) -> PathBuf {
    let numbered = (2_u32..).map(|number| format!("{wanted}-{number}"));
    let mut paths = std::iter::once(wanted.to_owned()).chain(numbered).map(|name| folder.join(name));
    // There is a free one among four billion.
    paths.find(|path| path.symlink_metadata().is_err()).unwrap_or_else(|| folder.join(wanted))
}

/// Returns the names of a folder's entries, none if there is no such folder.
pub(super) fn names(folder: &Path) -> Result<Vec<String>, String> {
    let read = || -> io::Result<Vec<String>> {
        let entries = match fs::read_dir(folder) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries?,
        };
        // The names of others, which are not text, are none of ours.
        entries.filter_map(|entry| entry.map(|entry| entry.file_name().into_string().ok()).transpose()).collect()
    };
    read().map_err(failed(folder, "read"))
}

/// Comes before each call that changes the disk.
#[cfg(not(test))]
fn before_write() -> io::Result<()> {
    Ok(())
}

#[cfg(test)]
use interruption::before_write;

/// Writes the names in the folder of a file to the disk.
fn sync_parent(file: &Path) -> io::Result<()> {
    let parent = file.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    sync(&File::open(parent)?)
}

/// Waits until the disk has a file. Tests of this crate write thousands, and no power fails there.
fn sync(file: &File) -> io::Result<()> {
    if cfg!(test) { Ok(()) } else { file.sync_all() }
}

/// Stops a command at any of its writes, as a kill does: from there on nothing is written.
#[cfg(test)]
pub(super) mod interruption {
    use std::cell::Cell;
    use std::io;

    thread_local! {
        static LEFT: Cell<Option<usize>> = const { Cell::new(None) };
    }

    /// Lets this thread write so many times and no more; `None` takes the limit away.
    pub(in crate::federation) fn after(writes: Option<usize>) {
        LEFT.set(writes);
    }

    pub(super) fn before_write() -> io::Result<()> {
        match LEFT.get() {
            None => Ok(()),
            Some(0) => Err(io::Error::other("stopped here")),
            Some(left) => {
                LEFT.set(Some(left.saturating_sub(1)));
                Ok(())
            }
        }
    }
}
