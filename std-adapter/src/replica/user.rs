//! Holds the user that NATS servers know a gateway as.

use std::fmt;
use std::io::{self, Read};
use std::path::Path;

use zeroize::Zeroizing;

/// The JWT and the seed of a NATS user, as a `.creds` file has them.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct NatsUser(Zeroizing<String>);

impl fmt::Debug for NatsUser {
    /// Formats nothing of either.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("NatsUser")
    }
}

impl NatsUser {
    /// Returns the text of the file.
    #[cfg_attr(not(any(test, feature = "nats")), expect(dead_code, reason = "for whoever connects to the servers"))]
    pub(crate) fn text(&self) -> &str {
        &self.0
    }

    /// Reads a `.creds` file.
    ///
    /// # Errors
    /// Returns what is wrong with the file, and nothing of its contents.
    pub(super) fn read(file: &Path) -> Result<Self, UserFault> {
        let opened = std::fs::File::open(file).map_err(UserFault::Unreadable)?;
        // Room for all of it, since a text that is moved while it grows leaves copies.
        let size = opened.metadata().map_or(0, |found| found.len().min(MAX_USER)).saturating_add(1);
        let mut text = Zeroizing::new(String::with_capacity(usize::try_from(size).unwrap_or(0)));
        let read = opened.take(MAX_USER.saturating_add(1)).read_to_string(&mut text);
        match read {
            Ok(size) if u64::try_from(size).unwrap_or(u64::MAX) > MAX_USER => {
                Err(UserFault::Malformed("more than 65536 octets"))
            }
            Ok(0) => Err(UserFault::Malformed("nothing")),
            Ok(_) if !text.contains("BEGIN NATS USER JWT") => Err(UserFault::Malformed("no NATS USER JWT")),
            Ok(_) if !text.contains("BEGIN USER NKEY SEED") => Err(UserFault::Malformed("no USER NKEY SEED")),
            Ok(_) => Ok(Self(text)),
            Err(error) if error.kind() == io::ErrorKind::InvalidData => Err(UserFault::Malformed("no UTF-8")),
            Err(error) => Err(UserFault::Unreadable(error)),
        }
    }
}

/// The size limit of a `.creds` file, in octets.
const MAX_USER: u64 = 64 * 1024;

/// The reason that a file holds no NATS user.
#[derive(Debug)]
pub enum UserFault {
    /// The file cannot be read.
    Unreadable(io::Error),
    /// The file holds something else.
    Malformed(&'static str),
}

impl fmt::Display for UserFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unreadable(error) => write!(f, "cannot be read: {error}"),
            Self::Malformed(found) => write!(f, "found {found}, expected the JWT and the seed of a NATS user (.creds)"),
        }
    }
}
