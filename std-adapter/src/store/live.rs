//! Writes PEM copies for other programs: `live/cert.pem` and `live/key.pem`, always of one generation.

use std::fs;
use std::io;
use std::path::Path;

use super::folder::{Folder, FolderError};

/// Writes chain and key, PEM, into a new folder and switches the link `live` to it in one step: a program that opens
/// `live/cert.pem` and then `live/key.pem` sees two generations only if the switch falls between. Older folders are
/// removed.
///
/// # Errors
/// Fails if a file cannot be written; `live` is then unchanged.
pub(super) fn write_live(folder: &Folder, generation: u32, chain: &str, key: &str) -> Result<(), FolderError> {
    let fail = |path: &Path, doing: &'static str| {
        let path = path.to_owned();
        move |error| FolderError::Io { path, doing, error }
    };
    let (name, place) = (format!("live-{generation}"), folder.place());
    let path = folder.path().join(&name);
    let own = place.folder(&name).map_err(fail(&path, "made"))?;
    for (file, text) in [("key.pem", key), ("cert.pem", chain)] {
        own.replace(file, text.as_bytes()).map_err(fail(&path.join(file), "written"))?;
    }
    let turned = place.remove("live.new").and_then(|()| place.link(&name, "live.new"));
    turned.and_then(|()| place.rename("live.new", "live")).map_err(fail(&folder.path().join("live"), "written"))?;
    remove_others(folder, &name)
}

/// Returns the generation that `live` points to.
pub(super) fn live_generation(folder: &Folder) -> Option<u32> {
    let target = folder.place().linked("live").ok()?;
    std::str::from_utf8(&target).ok()?.strip_prefix("live-")?.parse().ok()
}

fn remove_others(folder: &Folder, current: &str) -> Result<(), FolderError> {
    let fail = |doing| move |error: io::Error| FolderError::Io { path: folder.path().to_owned(), doing, error };
    for entry in fs::read_dir(folder.path()).map_err(fail("read"))? {
        let name = entry.map_err(fail("read"))?.file_name();
        let old = name.to_str().is_some_and(|name| name.starts_with("live-") && name != current);
        if old {
            folder.place().remove_folder(&name).map_err(fail("cleared of older copies"))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::{PermissionsExt, symlink};

    #[test]
    fn both_files_change_together() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let live = parent.path().join("live");
        for generation in 1..4 {
            write_live(&folder, generation, &format!("chain {generation}"), &format!("key {generation}")).unwrap();
            assert_eq!(fs::read_to_string(live.join("cert.pem")).unwrap(), format!("chain {generation}"));
            assert_eq!(live_generation(&folder), Some(generation));
            assert_eq!(fs::read_to_string(live.join("key.pem")).unwrap(), format!("key {generation}"));
        }
        // After a crash between the steps, the same generation is written again.
        write_live(&folder, 3, "chain 3", "key 3").unwrap();
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!(
            [&live.join("key.pem"), &live.join("cert.pem"), &live].map(|path| mode(path)),
            [0o600, 0o600, 0o700]
        );
        let left: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }

    #[test]
    fn a_link_in_the_place_of_a_folder_is_refused() {
        let (parent, outside) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let folder = Folder::open(parent.path()).unwrap();
        symlink(outside.path(), parent.path().join("live-1")).unwrap();
        let error = write_live(&folder, 1, "chain", "key").unwrap_err().to_string();
        assert!(error.contains("live-1: cannot be made: "), "{error}");
        assert_eq!(fs::read_dir(outside.path()).unwrap().count(), 0);
    }
}
