//! Defines the reasons that a shared credential cannot be used.

use std::fmt;

use super::bucket::BucketError;
use super::document::DocumentError;

/// The reason that a shared credential cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SharedError {
    /// The store does not answer.
    Store(String, BucketError),
    /// The document in the store cannot be used.
    Document(String, DocumentError),
    /// Another gateway has the lease.
    LeaseLost(String),
    /// Another gateway orders, and was waited for as long as there is time.
    Slow(String),
    /// Another gateway has ordered, and failed.
    Failed(String),
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(place, error) => write!(f, "{place}: {error}"),
            Self::Document(place, error) => write!(f, "{place}: {error}"),
            Self::LeaseLost(place) => write!(f, "{place}: another gateway orders now"),
            Self::Slow(place) => write!(f, "{place}: another gateway orders, and does not come to an end"),
            Self::Failed(reason) => write!(f, "another gateway ordered: {reason}"),
        }
    }
}

impl std::error::Error for SharedError {}

impl SharedError {
    /// Returns whether nothing comes of the other gateways: the store is away, or holds what cannot be used, or the one
    /// that orders does not come to an end.
    pub(crate) fn is_of_the_store(&self) -> bool {
        matches!(self, Self::Store(..) | Self::Document(..) | Self::Slow(..))
    }
}
