//! Names the faults of a credential's home.

use std::error::Error;
use std::fmt;

/// The reason that an operation on a home failed.
#[derive(Debug)]
pub enum StorageError {
    /// Another process holds the home; the text says which home.
    InUse(String),
    /// The home failed, or refused.
    Failed(Box<dyn Error + Send + Sync>),
}

impl StorageError {
    pub(crate) fn failed(error: impl Error + Send + Sync + 'static) -> Self {
        Self::Failed(Box::new(error))
    }
}

impl fmt::Display for StorageError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::InUse(what) => f.write_str(what),
            Self::Failed(error) => error.fmt(f),
        }
    }
}

impl Error for StorageError {
    /// Returns what is behind the error that is displayed.
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::InUse(_) => None,
            Self::Failed(error) => error.source(),
        }
    }
}
