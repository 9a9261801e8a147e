//! Reads the user and the password for a proxy, which no message shows.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

/// The longest user or password: both fit into one octet of length (RFC 1929 section 2).
const LONGEST: usize = 255;

/// A user and a password.
#[derive(Clone, PartialEq, Eq)]
pub(super) struct Credentials {
    pub(super) user: Vec<u8>,
    pub(super) password: Vec<u8>,
}

impl fmt::Debug for Credentials {
    /// Formats nothing of either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Credentials")
    }
}

/// The reason that a file holds no user and password.
#[derive(Debug)]
pub enum CredentialsFault {
    Unreadable(io::Error),
    /// The file holds something else than one line of `user:password`.
    Malformed(&'static str),
}

impl fmt::Display for CredentialsFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Malformed(found) => write!(f, "found {found}, expected one line with user:password"),
        }
    }
}

impl Credentials {
    /// Reads a file with one line, `user:password`.
    ///
    /// # Errors
    /// Returns what is wrong with the file, and nothing of its contents.
    pub(super) fn read(file: &Path) -> Result<Self, CredentialsFault> {
        let mut text = Vec::new();
        let opened = std::fs::File::open(file).map_err(CredentialsFault::Unreadable)?;
        opened.take(4096).read_to_end(&mut text).map_err(CredentialsFault::Unreadable)?;
        let line = text.strip_suffix(b"\n").unwrap_or(&text);
        Self::parse(line.strip_suffix(b"\r").unwrap_or(line)).map_err(CredentialsFault::Malformed)
    }

    /// Parses `user:password`.
    pub(super) fn parse(line: &[u8]) -> Result<Self, &'static str> {
        if line.contains(&b'\n') {
            return Err("a second line");
        }
        // Basic authentication takes no control characters (RFC 7617 section 2).
        if line.iter().any(u8::is_ascii_control) {
            return Err("a control character");
        }
        let colon = line.iter().position(|octet| *octet == b':').ok_or("no colon")?;
        let (user, password) = line.split_at_checked(colon).ok_or("no colon")?;
        let password = password.strip_prefix(b":").unwrap_or_default();
        match (user.len(), password.len()) {
            (0, _) => Err("no user before the colon"),
            (_, 0) => Err("no password after the colon"),
            (..=LONGEST, ..=LONGEST) => Ok(Self { user: user.to_vec(), password: password.to_vec() }),
            _ => Err("a user or a password of more than 255 octets"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_has_a_user_and_a_password() {
        let known = Credentials::parse(b"user:pass:word").unwrap();
        assert_eq!((&known.user[..], &known.password[..]), (&b"user"[..], &b"pass:word"[..]));
        assert_eq!(format!("{known:?}"), "Credentials");
        for (line, fault) in [
            (&b""[..], "no colon"),
            (b"secret", "no colon"),
            (b":x", "no user before the colon"),
            (b"x:", "no password after the colon"),
            (b"x:y\nz", "a second line"),
            (b"x:\0", "a control character"),
            (&[&[b'x'; 256][..], b":y"].concat(), "a user or a password of more than 255 octets"),
        ] {
            assert_eq!(Credentials::parse(line).unwrap_err(), fault);
        }
    }

    #[test]
    fn a_file_is_read_and_its_faults_are_told_without_its_contents() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("proxy");
        std::fs::write(&file, "user:secret\r\n").unwrap();
        assert_eq!(Credentials::read(&file).unwrap().password, b"secret");
        std::fs::write(&file, "secret\n").unwrap();
        let said = Credentials::read(&file).unwrap_err().to_string();
        assert_eq!(said, "found no colon, expected one line with user:password");
        std::fs::write(&file, "a:b\nsecret:x\n").unwrap();
        assert!(!Credentials::read(&file).unwrap_err().to_string().contains("secret"));
        assert!(Credentials::read(&folder.path().join("none")).unwrap_err().to_string().starts_with("cannot be read"));
    }
}
