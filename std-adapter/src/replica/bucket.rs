//! What several gateways need of a store: values that are replaced only by whoever has read their last revision.

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::watch;

/// The revision of a value; 0 where there is none. It grows with each write.
pub(crate) type Revision = u64;

/// A value with its revision.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Value {
    pub(crate) revision: Revision,
    /// `None` where there is none.
    pub(crate) octets: Option<Vec<u8>>,
}

/// The reason that an operation failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum BucketError {
    /// Somebody else has written since: nothing was written.
    Conflict,
    /// The store does not answer, or refuses. Whether something was written is not known.
    Away(String),
}

impl fmt::Display for BucketError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Conflict => f.write_str("another gateway has written since"),
            Self::Away(reason) => f.write_str(reason),
        }
    }
}

impl std::error::Error for BucketError {}

pub(crate) type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, BucketError>> + Send + 'a>>;

/// A store. Every operation has a time limit of its own.
pub(crate) trait Bucket: fmt::Debug + fmt::Display + Send + Sync {
    /// Returns the value of a key. It may be an older one than the last.
    fn get(&self, key: &str) -> Answer<'_, Value>;

    /// Replaces a value if its revision is still this one; returns the new revision.
    fn replace(&self, key: &str, octets: Vec<u8>, over: Revision) -> Answer<'_, Revision>;

    /// Replaces a value, whatever it is.
    fn put(&self, key: &str, octets: Vec<u8>) -> Answer<'_, Revision>;

    /// Follows a key: the receiver has the newest value that was heard of, and an error while the store is away.
    fn follow(&self, key: &str) -> watch::Receiver<Result<Value, BucketError>>;
}
