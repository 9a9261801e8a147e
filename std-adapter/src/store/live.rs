//! PEM copies for other programs: `live/cert.pem` and `live/key.pem`, always of one generation.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::symlink;
use std::path::Path;

use super::folder::{Folder, FolderError, replace};

/// Writes chain and key, PEM, into a folder of their own and turns the link `live` to it in one step: whoever opens `live/cert.pem` and
/// `live/key.pem` after each other may see two generations only if it opens them around that instant, never for longer. Older folders go.
///
/// # Errors
/// Where something cannot be written: then `live` is as before.
pub fn write_live(folder: &Folder, generation: u32, chain: &str, key: &str) -> Result<(), FolderError> {
    let fail = |path: &Path, doing: &'static str| {
        let path = path.to_owned();
        move |error| FolderError::Io { path, doing, error }
    };
    let name = format!("live-{generation}");
    let own = folder.path().join(&name);
    match fs::create_dir(&own) {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(fail(&own, "made")(error)),
        _ => {}
    }
    replace(&own, "key.pem", key.as_bytes(), 0o600)?;
    replace(&own, "cert.pem", chain.as_bytes(), 0o644)?;
    let (link, new) = (folder.path().join("live"), folder.path().join("live.new"));
    folder.remove("live.new")?;
    symlink(&name, &new).map_err(fail(&new, "made"))?;
    fs::rename(&new, &link).map_err(fail(&link, "written"))?;
    fs::File::open(folder.path()).and_then(|folder| folder.sync_all()).map_err(fail(&link, "synced"))?;
    remove_others(folder, &name)
}

/// The generation that `live` leads to.
pub fn live_generation(folder: &Folder) -> Option<u32> {
    let target = fs::read_link(folder.path().join("live")).ok()?;
    target.to_str()?.strip_prefix("live-")?.parse().ok()
}

fn remove_others(folder: &Folder, current: &str) -> Result<(), FolderError> {
    let fail = |error| FolderError::Io { path: folder.path().to_owned(), doing: "read", error };
    for entry in fs::read_dir(folder.path()).map_err(fail)? {
        let entry = entry.map_err(fail)?;
        let name = entry.file_name();
        let old = name.to_str().is_some_and(|name| name.starts_with("live-") && name != current);
        if old {
            let path = entry.path();
            fs::remove_dir_all(&path).map_err(|error| FolderError::Io { path, doing: "removed", error })?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

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
        // After a crash between the steps it is done again.
        write_live(&folder, 3, "chain 3", "key 3").unwrap();
        let mode = |name: &str| fs::metadata(live.join(name)).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode("key.pem"), mode("cert.pem")), (0o600, 0o644));
        let left: Vec<_> = fs::read_dir(parent.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert_eq!(left.len(), 3, "{left:?}");
    }
}
