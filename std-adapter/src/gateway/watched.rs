//! Detects changes of the files that settings were read from.

use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

/// The metadata of a file. An atomic rename shows in the inode, a symlink swap in device and inode (links are
/// followed), a write in place in size and times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Look {
    device: u64,
    inode: u64,
    size: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

fn look(file: &Path) -> Option<Look> {
    let found = std::fs::metadata(file).ok()?;
    Some(Look {
        device: found.dev(),
        inode: found.ino(),
        size: found.size(),
        modified: (found.mtime(), found.mtime_nsec()),
        changed: (found.ctime(), found.ctime_nsec()),
    })
}

/// The number of looks after which files that keep changing are reported all the same.
const MAX_UNSETTLED: u32 = 10;

/// Watches files by name. Metadata is taken before a file is read, so that a change during the read is detected too.
///
/// The caller looks at intervals, which works on every file system, through every kind of link, and for files that do
/// not exist yet.
#[derive(Clone, Debug, Default)]
pub struct Watched {
    files: BTreeMap<PathBuf, Option<Look>>,
    unsettled: Option<Vec<Option<Look>>>,
    /// The number of looks that found a change, and other metadata than the look before.
    waited: u32,
}

impl Watched {
    /// Notes a file. Must be called before reading the file.
    pub fn note(&mut self, file: &Path) {
        self.files.insert(file.to_owned(), look(file));
    }

    /// Adds the files of another attempt.
    pub fn extend(&mut self, other: Self) {
        self.files.extend(other.files);
        self.settle();
    }

    fn settle(&mut self) {
        self.unsettled = None;
        self.waited = 0;
    }

    /// Returns the changed files once two calls in a row find the same metadata: a program that writes several files
    /// has the time between two calls. A file that is written without end does not delay the others for ever.
    pub fn changed(&mut self) -> Vec<PathBuf> {
        let looks: Vec<_> = self.files.keys().map(|file| look(file)).collect();
        let changed = self.files.iter().zip(&looks).filter(|((_, before), now)| before != now);
        let changed: Vec<PathBuf> = changed.map(|((file, _), _)| file.clone()).collect();
        if changed.is_empty() {
            self.settle();
            return changed;
        }
        if self.unsettled.as_ref() != Some(&looks) && self.waited < MAX_UNSETTLED {
            self.unsettled = Some(looks);
            self.waited = self.waited.saturating_add(1);
            return Vec::new();
        }
        self.settle();
        for (before, now) in self.files.values_mut().zip(looks) {
            *before = now;
        }
        changed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn watched(files: &[&Path]) -> Watched {
        let mut watched = Watched::default();
        files.iter().for_each(|file| watched.note(file));
        watched
    }

    /// Returns the changes at the second look, since the first only starts the wait.
    fn settled(watched: &mut Watched) -> Vec<PathBuf> {
        assert_eq!(watched.changed(), Vec::<PathBuf>::new());
        watched.changed()
    }

    #[test]
    fn every_kind_of_replacement_is_seen_once() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        let (file, link, missing) = (path("file"), path("link"), path("missing"));
        fs::write(&file, "one").unwrap();
        fs::create_dir(path("v1")).unwrap();
        fs::create_dir(path("v2")).unwrap();
        fs::write(path("v1/cert"), "same").unwrap();
        fs::write(path("v2/cert"), "same").unwrap();
        std::os::unix::fs::symlink(path("v1"), &link).unwrap();
        let through = link.join("cert");
        let mut watched = watched(&[&file, &through, &missing]);
        assert!(settled(&mut watched).is_empty());

        fs::write(path("new"), "two").unwrap();
        fs::rename(path("new"), &file).unwrap();
        assert_eq!(settled(&mut watched), std::slice::from_ref(&file));

        std::os::unix::fs::symlink(path("v2"), path("new-link")).unwrap();
        fs::rename(path("new-link"), &link).unwrap();
        assert_eq!(settled(&mut watched), [through]);

        fs::write(&missing, "now").unwrap();
        assert_eq!(settled(&mut watched), [missing]);

        fs::remove_file(&file).unwrap();
        assert_eq!(settled(&mut watched), [file]);
        assert!(settled(&mut watched).is_empty());
    }

    #[test]
    fn a_change_that_goes_on_is_waited_for() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut watched = watched(&[&file]);
        for text in ["a", "ab", "abc"] {
            fs::write(&file, text).unwrap();
            assert!(watched.changed().is_empty());
        }
        assert_eq!(watched.changed(), [file]);
    }

    #[test]
    fn a_change_without_end_is_taken_up_all_the_same() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("file");
        let mut watched = watched(&[&file]);
        let mut text = String::new();
        let looks = (1..100).find(|_| {
            text.push('a');
            fs::write(&file, &text).unwrap();
            !watched.changed().is_empty()
        });
        assert_eq!(looks, Some(11));
    }
}
