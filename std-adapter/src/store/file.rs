//! Implements the core's storage medium with two files that behave like a microcontroller's flash.

use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

use edgetrust_core::store::{Slot, SlotMedium};

use super::place::Place;

/// The size of each file in octets: slightly more than the largest record that the core allows.
const CAPACITY: u32 = 80 * 1024;

/// The names of both files.
pub(super) const SLOTS: [&str; 2] = ["slot-a", "slot-b"];

/// A failed operation on a file.
pub struct FileError {
    /// The file.
    pub file: PathBuf,
    /// The operation, as a participle.
    pub doing: &'static str,
    /// The system's error.
    pub error: io::Error,
}

impl fmt::Display for FileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: cannot be {}: {}", self.file.display(), self.doing, self.error)
    }
}

impl fmt::Debug for FileError {
    /// Formats the error as `Display` does: `StoreError` shows a medium's errors with `Debug`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for FileError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.error)
    }
}

/// The files `slot-a` and `slot-b` of a folder. Erasing overwrites in place: once both exist, a full disk stops no
/// rotation.
#[derive(Debug)]
pub struct FileMedium {
    folder: PathBuf,
    place: io::Result<Place>,
    unsynced: bool,
}

impl FileMedium {
    /// Creates a medium of files that need not exist yet. Files of a missing folder read as blank.
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), place: Place::open(folder), unsynced: false }
    }

    fn place(&self) -> io::Result<&Place> {
        self.place.as_ref().map_err(|error| io::Error::new(error.kind(), error.to_string()))
    }

    fn name(slot: Slot) -> &'static str {
        let [a, b] = SLOTS;
        match slot {
            Slot::A => a,
            Slot::B => b,
        }
    }

    fn fail(&self, slot: Slot, doing: &'static str) -> impl Fn(io::Error) -> FileError {
        let file = self.folder.join(Self::name(slot));
        move |error| FileError { file: file.clone(), doing, error }
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
        let file = match self.place().and_then(|place| place.reader(Self::name(slot))) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            Err(error) => return Err(fail(error)),
        };
        let mut place = u64::from(offset);
        let mut left = out;
        while !left.is_empty() {
            match file.read_at(left, place) {
                // The octets beyond the end were never programmed.
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
            let place = self.place()?;
            let mut file = place.writer(Self::name(slot))?;
            file.write_all(&blank)?;
            file.sync_all()?;
            // The file may be new.
            place.sync()
        };
        erase().map_err(self.fail(slot, "erased"))
    }

    fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> Result<(), FileError> {
        self.unsynced = true;
        let program = || self.place()?.writer(Self::name(slot))?.write_all_at(octets, u64::from(offset));
        program().map_err(self.fail(slot, "written"))
    }

    fn barrier(&mut self) -> Result<(), FileError> {
        if !self.unsynced {
            return Ok(());
        }
        for slot in Slot::BOTH {
            let file = self.place().and_then(|place| place.reader(Self::name(slot)));
            match file.and_then(|file| file.sync_all()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(self.fail(slot, "synced")(error)),
                _ => {}
            }
        }
        self.unsynced = false;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use edgetrust_core::store::{NewRecord, Store, StoreError};
    use pki_types::UnixTime;
    use std::time::Duration;

    /// A failure of a file-system operation.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    enum Failure {
        /// An error (EIO, ENOSPC) before anything was written; the program goes on.
        Error,
        /// An error after this number of octets.
        Short(usize),
        /// The machine goes down, and unsynced writes survive.
        Crash,
        /// The machine goes down, and unsynced writes are lost.
        CrashUnsynced,
    }

    const FAILURES: [Failure; 5] =
        [Failure::Error, Failure::Short(5), Failure::Short(100), Failure::Crash, Failure::CrashUnsynced];

    /// Files whose operation number `at` fails.
    struct Faulty {
        files: FileMedium,
        operations: usize,
        fails: Option<(usize, Failure)>,
        down: bool,
        /// The octets before each write since the last barrier.
        unsynced: Vec<(Slot, u32, Vec<u8>)>,
    }

    impl Faulty {
        fn new(folder: &Path, fails: Option<(usize, Failure)>) -> Self {
            let files = FileMedium::new(folder);
            Self { files, operations: 0, fails, down: false, unsynced: Vec::new() }
        }

        /// Returns the failure of the operation that begins now, if any.
        fn begin(&mut self) -> Result<Option<Failure>, FileError> {
            let number = self.operations;
            self.operations += 1;
            if self.down {
                Err(self.error())
            } else {
                Ok(self.fails.filter(|(at, _)| *at == number).map(|(_, how)| how))
            }
        }

        fn error(&self) -> FileError {
            self.files.fail(Slot::A, "used")(io::Error::other("as the test wants it"))
        }

        fn note(&mut self, slot: Slot, offset: u32, length: usize) -> Result<(), FileError> {
            let mut before = vec![0; length];
            self.files.read(slot, offset, &mut before)?;
            self.unsynced.push((slot, offset, before));
            Ok(())
        }

        fn fail(&mut self, failure: Failure) -> Result<(), FileError> {
            self.down = matches!(failure, Failure::Crash | Failure::CrashUnsynced);
            if failure == Failure::CrashUnsynced {
                for (slot, offset, before) in std::mem::take(&mut self.unsynced).into_iter().rev() {
                    self.files.program(slot, offset, &before)?;
                }
            }
            Err(self.error())
        }
    }

    impl SlotMedium for Faulty {
        type Error = FileError;

        const WRITE_SIZE: u32 = FileMedium::WRITE_SIZE;

        fn capacity(&self) -> u32 {
            self.files.capacity()
        }

        fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), FileError> {
            if self.down { Err(self.error()) } else { self.files.read(slot, offset, out) }
        }

        fn erase(&mut self, slot: Slot) -> Result<(), FileError> {
            match self.begin()? {
                None => {
                    // Erasing syncs.
                    self.unsynced.clear();
                    self.files.erase(slot)
                }
                Some(Failure::Short(octets)) => {
                    self.files.program(slot, 0, &vec![0xff; octets])?;
                    Err(self.error())
                }
                Some(failure) => self.fail(failure),
            }
        }

        fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> Result<(), FileError> {
            let failure = self.begin()?;
            let written = match failure {
                None | Some(Failure::Crash | Failure::CrashUnsynced) => octets,
                Some(Failure::Error) => &[],
                Some(Failure::Short(length)) => &octets[..length.min(octets.len())],
            };
            self.note(slot, offset, written.len())?;
            self.files.program(slot, offset, written)?;
            failure.map_or(Ok(()), |failure| self.fail(failure))
        }

        fn barrier(&mut self) -> Result<(), FileError> {
            match self.begin()? {
                None => {
                    self.unsynced.clear();
                    self.files.barrier()
                }
                Some(failure) => self.fail(failure),
            }
        }
    }

    fn record<'a>(key: &'a [u8], chain: &'a [u8]) -> NewRecord<'a> {
        let at = UnixTime::since_unix_epoch(Duration::from_secs(u64::from(key[0])));
        NewRecord { key, chain, not_before: at, not_after: at, time_seen: at }
    }

    fn rotate<M: SlotMedium>(store: &mut Store<M>, number: u8) -> Result<(), StoreError<M::Error>> {
        let (key, chain) = (vec![number; 150], vec![number; 1500]);
        let free = store.survey().selected().active.map_or(Slot::A, Slot::other);
        store.write(free, &record(&key, &chain))?;
        store.confirm(free)
    }

    /// Returns the number of the record that a start finds.
    fn found(folder: &Path) -> Option<u8> {
        let mut store = Store::new(FileMedium::new(folder)).unwrap();
        let slot = store.survey().selected().active?;
        let (mut key, mut chain) = (vec![0; 4096], vec![0; 65536]);
        let stored = store.read(slot, &mut key, &mut chain).unwrap();
        let number = stored.key[0];
        assert!(stored.key.iter().chain(stored.chain).all(|octet| *octet == number), "mixed");
        Some(number)
    }

    #[test]
    fn a_link_in_the_place_of_a_slot_gets_no_key() {
        let (folder, outside) = (tempfile::tempdir().unwrap(), tempfile::NamedTempFile::new().unwrap());
        std::os::unix::fs::symlink(outside.path(), folder.path().join("slot-a")).unwrap();
        let mut store = Store::new(FileMedium::new(folder.path())).unwrap();
        let error = store.write(Slot::A, &record(&[1; 150], &[1; 1500])).unwrap_err().to_string();
        assert!(error.contains("slot-a: cannot be read: found a link, expected a file"), "{error}");
        assert_eq!(outside.as_file().metadata().unwrap().len(), 0);
        assert!(store.survey().a.is_err());
    }

    #[test]
    fn a_folder_that_is_not_there_reads_as_blank() {
        let parent = tempfile::tempdir().unwrap();
        let mut store = Store::new(FileMedium::new(&parent.path().join("none"))).unwrap();
        assert!(store.survey().a.unwrap().is_none());
    }

    #[test]
    fn every_operation_may_fail() {
        let mut survived = (0, 0);
        for before in 0..3 {
            for failure in FAILURES {
                for at in 0.. {
                    let folder = tempfile::tempdir().unwrap();
                    let mut store = Store::new(FileMedium::new(folder.path())).unwrap();
                    (1..=before).for_each(|number| rotate(&mut store, number).unwrap());
                    let mut store = Store::new(Faulty::new(folder.path(), Some((at, failure)))).unwrap();
                    let rotated = rotate(&mut store, 9);
                    if rotated.is_ok() && store.medium().operations <= at {
                        break;
                    }
                    match found(folder.path()) {
                        None if before == 0 => {}
                        Some(9) => survived.1 += 1,
                        Some(old) if old == before => survived.0 += 1,
                        other => panic!("{failure:?} at {at}: found {other:?}, {before} before"),
                    }
                    // The store works again, and nothing is left over.
                    rotate(&mut Store::new(FileMedium::new(folder.path())).unwrap(), 10).unwrap();
                    assert_eq!(found(folder.path()), Some(10));
                }
            }
        }
        assert!(survived.0 > 20 && survived.1 > 2, "{survived:?}");
    }
}
