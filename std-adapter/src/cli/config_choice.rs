//! Finds the configuration file: the one that is named, or the first that lies where one is expected.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use tracing::info;

use super::Failure;

/// The places of a configuration that is not named, in their order.
pub(super) const PLACES: [&str; 2] = ["./gateway.json", "/etc/edgetrust/gateway.json"];

#[derive(clap::Args)]
pub(crate) struct ConfigChoice {
    /// Configuration file with `security.tls` and `gateway`, or a whole SemStreams file; by default ./gateway.json, else
    /// /etc/edgetrust/gateway.json
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
}

impl ConfigChoice {
    /// Returns the file, and logs it where it was not named.
    ///
    /// # Errors
    /// Fails if none is named and none is found, with the places where it was looked for.
    pub(crate) fn file(&self) -> Result<PathBuf, Failure> {
        let file = self.find()?;
        self.tell(&file);
        Ok(file)
    }

    /// Returns the file, before there is a log.
    ///
    /// # Errors
    /// Fails if none is named and none is found, with the places where it was looked for.
    pub(crate) fn find(&self) -> Result<PathBuf, Failure> {
        match &self.config {
            Some(file) => Ok(file.clone()),
            None => first(PLACES.iter().map(Path::new)),
        }
    }

    /// Logs a file that was found rather than named.
    pub(crate) fn tell(&self, file: &Path) {
        if self.config.is_none() {
            info!(file = %file.display(), "configuration file found");
        }
    }
}

/// Returns the first of these that is there. One that cannot be looked at counts as there: to pass over it would take
/// another one silently.
fn first<'a>(places: impl Iterator<Item = &'a Path> + Clone) -> Result<PathBuf, Failure> {
    let absent = |place: &Path| matches!(place.symlink_metadata(), Err(error) if error.kind() == ErrorKind::NotFound);
    match places.clone().find(|place| !absent(place)) {
        Some(found) => Ok(found.to_owned()),
        None => {
            let looked: Vec<_> = places.map(|place| place.display().to_string()).collect();
            let looked = looked.join(" nor ");
            Err(format!("no --config, and neither {looked} is there: name the file, or make one with `edgetrust init`")
                .into())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_that_is_there_is_taken_and_the_places_are_named_where_none_is() {
        let folder = tempfile::tempdir().unwrap();
        let [here, system] = ["here", "system"].map(|name| folder.path().join(name));
        let find = || first([here.as_path(), system.as_path()].into_iter());
        let said = find().unwrap_err().to_string();
        assert!(said.contains(&format!("neither {} nor {} is there", here.display(), system.display())), "{said}");
        std::fs::write(&system, "{}").unwrap();
        assert_eq!(find().unwrap(), system);
        // A link that leads nowhere is a mistake to be told, and no reason to take another file.
        std::os::unix::fs::symlink("nowhere", &here).unwrap();
        assert_eq!(find().unwrap(), here);
    }
}
