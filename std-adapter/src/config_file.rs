//! Reads a configuration file: limits its size, locates its errors by line and column, and resolves relative names
//! from its folder.

use std::error::Error;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};

use edgetrust_core::config::{Config, PathKind};
use edgetrust_core::mesh::Digest;

/// The size limit of a configuration file, in octets.
pub const MAX_FILE: u64 = 1024 * 1024;

/// A fault of a configuration file.
#[derive(Debug)]
pub enum ConfigFileError {
    /// The file cannot be read.
    Unreadable(PathBuf, io::Error),
    /// The file is larger than [`MAX_FILE`].
    TooLarge(PathBuf),
    /// A relative name of the file cannot be resolved from its folder, for this reason.
    Name(PathBuf, String),
    /// The file was read but refused.
    Refused {
        /// The file.
        file: PathBuf,
        /// The line, from 1.
        line: usize,
        /// The column, from 1, in characters.
        column: usize,
        /// The place in the JSON, the value found and the value expected.
        reason: String,
    },
}

impl fmt::Display for ConfigFileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(file, error) => write!(f, "{}: cannot be read: {error}", file.display()),
            Self::TooLarge(file) => {
                write!(f, "{}: found more than {MAX_FILE} bytes, expected at most {MAX_FILE}", file.display())
            }
            Self::Name(file, reason) => write!(f, "{}: {reason}", file.display()),
            Self::Refused { file, line, column, reason } => write!(f, "{}:{line}:{column}: {reason}", file.display()),
        }
    }
}

impl Error for ConfigFileError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Unreadable(_, error) => Some(error),
            Self::TooLarge(_) | Self::Name(..) | Self::Refused { .. } => None,
        }
    }
}

/// Reads a file, and passes its configuration to `then`. Relative names of files, folders, sockets and hooks are
/// resolved from the file's folder, so that they can be opened.
///
/// # Errors
/// Returns the file, the line, the value found and the value expected.
pub fn with_config<T>(file: &Path, then: impl FnOnce(&Config<'_>) -> T) -> Result<T, ConfigFileError> {
    with_config_text(file, |config, _| then(config))
}

/// Does the same as [`with_config`], and passes the digest of the file's text too.
///
/// # Errors
/// Returns the file, the line, the value found and the value expected.
pub fn with_config_text<T>(file: &Path, then: impl FnOnce(&Config<'_>, Digest) -> T) -> Result<T, ConfigFileError> {
    let text = read(file)?;
    let digest = Digest::of(&text);
    // Parsing decodes text in place, so the places of errors are looked up in another copy.
    let mut scratch = text.clone();
    let resolved: Vec<String>;
    match Config::parse(&mut scratch) {
        Ok(mut config) => {
            let folder = file.parent().unwrap_or(Path::new(""));
            let mut names = Vec::new();
            config.for_each_path(&mut |kind, name| names.push(from_folder(folder, kind, name)));
            let names: Result<_, _> = names.into_iter().collect();
            resolved = names.map_err(|why| ConfigFileError::Name(file.to_owned(), why))?;
            let mut resolved = resolved.iter();
            // The names are visited again in the same order.
            config.for_each_path(&mut |_, name| *name = resolved.next().map_or(*name, String::as_str));
            Ok(then(&config, digest))
        }
        Err(error) => {
            let offset = usize::try_from(error.offset).unwrap_or(usize::MAX);
            let (line, column) = place(&text, offset);
            let remedy = if follows_comma(&text, offset) { ": remove the comma before it" } else { "" };
            Err(ConfigFileError::Refused { file: file.to_owned(), line, column, reason: format!("{error}{remedy}") })
        }
    }
}

/// Returns whether the end of an object or an array is here, and a comma before it, which JSON does not allow.
fn follows_comma(text: &[u8], offset: usize) -> bool {
    let Some((before, [b'}' | b']', ..])) = text.split_at_checked(offset) else { return false };
    before.trim_ascii_end().ends_with(b",")
}

/// Resolves a name from a folder, so that it can be opened from the working directory.
fn from_folder(folder: &Path, kind: PathKind, name: &str) -> Result<String, String> {
    let joined = |name: &str| match folder.join(name).into_os_string().into_string() {
        Ok(joined) => Ok(joined),
        Err(_) if Path::new(name).is_absolute() => Ok(name.to_owned()),
        Err(_) => Err(format!("found {name:?} in a folder whose name is not UTF-8, expected an absolute name")),
    };
    match kind {
        PathKind::File | PathKind::Folder | PathKind::Log | PathKind::Listener | PathKind::Socket => joined(name),
        PathKind::Token => Ok(name.to_owned()),
        PathKind::Hook => {
            if let Some((signal, pid_file)) = name.strip_prefix("signal:").and_then(|rest| rest.split_once(':')) {
                return Ok(format!("signal:{signal}:{}", joined(pid_file)?));
            }
            let program = name.split_whitespace().next().unwrap_or_default();
            // A program without a slash is looked up in PATH.
            if !program.contains('/') || Path::new(program).is_absolute() {
                return Ok(name.to_owned());
            }
            let absolute = joined(program)?;
            if absolute.contains(char::is_whitespace) {
                return Err(format!(
                    "hook: found {program:?} in a folder with a space in its name, expected an absolute name"
                ));
            }
            Ok(name.replacen(program, &absolute, 1))
        }
    }
}

fn read(file: &Path) -> Result<Vec<u8>, ConfigFileError> {
    use std::io::Read;
    let unreadable = |error| ConfigFileError::Unreadable(file.to_owned(), error);
    let opened = std::fs::File::open(file).map_err(unreadable)?;
    let mut text = Vec::new();
    opened.take(MAX_FILE.saturating_add(1)).read_to_end(&mut text).map_err(unreadable)?;
    if u64::try_from(text.len()).unwrap_or(u64::MAX) > MAX_FILE {
        return Err(ConfigFileError::TooLarge(file.to_owned()));
    }
    Ok(text)
}

/// Returns the line and the column of a byte, both from 1.
fn place(text: &[u8], offset: usize) -> (usize, usize) {
    let before = text.get(..offset).unwrap_or(text);
    let line = before.iter().filter(|byte| **byte == b'\n').count();
    let start = before.iter().rposition(|byte| *byte == b'\n').map_or(0, |newline| newline.saturating_add(1));
    let before = String::from_utf8_lossy(before.get(start..).unwrap_or(&[]));
    // No editor shows the byte order mark.
    let column = before.trim_start_matches('\u{feff}').chars().count();
    (line.saturating_add(1), column.saturating_add(1))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refused(text: &[u8]) -> String {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("gateway.json");
        std::fs::write(&file, text).unwrap();
        let error = with_config(&file, |_| ()).unwrap_err().to_string();
        error.rsplit_once("gateway.json").unwrap().1.to_owned()
    }

    #[test]
    fn errors_have_a_place() {
        assert_eq!(
            refused(b"{\"security\": {\"tls\": {\n  // \xc3\xa4\n  \"servr\": {}\n}}}"),
            ":3:3: security.tls.servr: found \"servr\", expected a known key; did you mean \"server\"?"
        );
        assert!(refused("\u{feff}{\"security\": 1}".as_bytes()).starts_with(":1:14: security: found 1"));
        assert!(refused(b"").starts_with(":1:1: found the end of the file"), "{}", refused(b""));
        assert_eq!(refused(&vec![b' '; 10 << 20]), ": found more than 1048576 bytes, expected at most 1048576");
    }

    #[test]
    fn relative_names_are_relative_to_the_files_folder() {
        let folder = Path::new("/etc/edgetrust");
        for (kind, name, expected) in [
            (PathKind::File, "a.pem", "/etc/edgetrust/a.pem"),
            (PathKind::File, "../a.pem", "/etc/edgetrust/../a.pem"),
            (PathKind::File, "/run/a.pem", "/run/a.pem"),
            (PathKind::Hook, "systemctl reload nats", "systemctl reload nats"),
            (PathKind::Hook, "bin/reload bin/x", "/etc/edgetrust/bin/reload bin/x"),
            (PathKind::Hook, "/bin/reload bin/x", "/bin/reload bin/x"),
            (PathKind::Hook, "signal:HUP:nats.pid", "signal:HUP:/etc/edgetrust/nats.pid"),
            (PathKind::Hook, "signal:HUP:/run/nats.pid", "signal:HUP:/run/nats.pid"),
        ] {
            assert_eq!(from_folder(folder, kind, name).as_deref(), Ok(expected));
        }
        let spaced = from_folder(Path::new("/etc/edge trust"), PathKind::Hook, "bin/reload").unwrap_err();
        assert!(spaced.starts_with("hook: found \"bin/reload\" in a folder with a space"), "{spaced}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let error = with_config(Path::new("/nonexistent/gateway.json"), |_| ()).unwrap_err().to_string();
        assert!(error.starts_with("/nonexistent/gateway.json: cannot be read: "), "{error}");
    }
}
