//! Two files that behave like flash: the core's store writes to them as it does on a microcontroller.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use edgetrust_core::store::{Slot, SlotMedium};

/// Octets of each file: the largest record that the core allows, and some.
const CAPACITY: u32 = 80 * 1024;

/// What failed, on which file.
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// What was done to it.
    pub doing: &'static str,
    /// What the system says.
    pub error: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot be {}: {}", self.file.display(), self.doing, self.error)
    }
}

impl fmt::Debug for FileError {
    /// As for people: `StoreError` shows a medium's errors so.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for FileError {}

/// The files `slot-a` and `slot-b` of a folder. Erasing overwrites in place: once both are there, a full disk does not stop a rotation.
#[derive(Debug)]
pub struct FileMedium {
    folder: PathBuf,
    unsynced: bool,
}

impl FileMedium {
    /// Files that need not be there yet, in a folder that must be.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), unsynced: false }
    }

    fn path(&self, slot: Slot) -> PathBuf {
        self.folder.join(match slot {
            Slot::A => "slot-a",
            Slot::B => "slot-b",
        })
    }

    fn fail(&self, slot: Slot, doing: &'static str) -> impl Fn(io::Error) -> FileError {
        let file = self.path(slot);
        move |error| FileError { file: file.clone(), doing, error }
    }

    fn open(&self, slot: Slot) -> io::Result<File> {
        OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(self.path(slot))
    }
}

impl SlotMedium for FileMedium {
    type Error = FileError;

    const WRITE_SIZE: u32 = 16;

    fn capacity(&self) -> u32 {
        CAPACITY
    }

    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), FileError> {
        out.fill(0xff);
        let fail = self.fail(slot, "read");
        let file = match File::open(self.path(slot)) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(fail(error)),
        };
        let mut place = u64::from(offset);
        let mut left = out;
        while !left.is_empty() {
            match file.read_at(left, place) {
                // What lies beyond the end was never programmed.
                Ok(0) => return Ok(()),
                Ok(octets) => {
                    place = place.saturating_add(u64::try_from(octets).unwrap_or(u64::MAX));
                    left = left.get_mut(octets..).unwrap_or_default();
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) => return Err(fail(error)),
            }
        }
        Ok(())
    }

    fn erase(&mut self, slot: Slot) -> Result<(), FileError> {
        let blank = vec![0xff; usize::try_from(CAPACITY).unwrap_or_default()];
        let erase = || {
            let mut file = self.open(slot)?;
            file.write_all(&blank)?;
            file.sync_all()?;
            // The file may be new.
            File::open(&self.folder)?.sync_all()
        };
        erase().map_err(self.fail(slot, "erased"))
    }

    fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> Result<(), FileError> {
        self.unsynced = true;
        let program = || self.open(slot)?.write_all_at(octets, u64::from(offset));
        program().map_err(self.fail(slot, "written"))
    }

    fn barrier(&mut self) -> Result<(), FileError> {
        if !self.unsynced {
            return Ok(());
        }
        for slot in Slot::BOTH {
            match File::open(self.path(slot)).and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.fail(slot, "synced")(error)),
                _ => {}
            }
        }
        self.unsynced = false;
        Ok(())
    }
}
