//! Defines a store that several gateways share: values are replaced only by whoever has read their last revision.

#![cfg_attr(not(any(test, feature = "nats")), expect(dead_code, reason = "only a store makes them"))]

use std::fmt;
use std::future::Future;
use std::pin::Pin;

use tokio::sync::mpsc;

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

/// News of a store that is followed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum News {
    /// The store is heard: what follows is all that stands in it, and what changes.
    Heard,
    /// A key has this value.
    Value(String, Value),
    /// The store is not heard any more, and why.
    Away(String),
}

/// The largest number of news that wait for whoever follows, and the octets of values that they may have.
const NEWS: usize = 64;
const WAITING: usize = 16 * 1024 * 1024;

/// Returns the number of news that may wait for whoever follows values of this length.
pub(crate) fn room(longest: usize) -> usize {
    WAITING.checked_div(longest).unwrap_or(NEWS).clamp(1, NEWS)
}

/// A store. Every operation has a time limit of its own.
pub(crate) trait Bucket: fmt::Debug + fmt::Display + Send + Sync {
    /// Returns the value of a key as the store's leader has it.
    fn get<'a>(&'a self, key: &'a str) -> Answer<'a, Value>;

    /// Replaces a value if its revision is still this one; returns the new revision.
    fn replace<'a>(&'a self, key: &'a str, octets: Vec<u8>, over: Revision) -> Answer<'a, Revision>;

    /// Replaces a value, whatever it is.
    fn put<'a>(&'a self, key: &'a str, octets: Vec<u8>) -> Answer<'a, Revision>;

    /// Follows the keys below `prefix` until the receiver is dropped. A value of more than `longest` octets comes without
    /// what is beyond the next one: so it is refused by its length, and does not wait as a whole.
    fn follow(&self, prefix: &str, longest: usize) -> mpsc::Receiver<News>;
}
