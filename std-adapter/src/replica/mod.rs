//! Several gateways with one credential: one of them orders, all of them show what it got.

mod bucket;
mod comparison;
mod document;
mod error;
#[cfg(test)]
mod faults;
mod held;
mod lease;
#[cfg(test)]
mod memory;
#[cfg(feature = "nats")]
mod nats;
mod obtain;
mod presence;
mod sealing;
pub(crate) mod settings;
mod shared;
mod standing;
#[cfg(test)]
mod tests;
mod user;

pub(crate) use bucket::{Bucket, BucketError, News, Revision, Value};
pub(crate) use document::DocumentError;
pub(crate) use error::SharedError;
pub(crate) use held::{SharedHeld, kept_generation};
pub(crate) use obtain::{ObtainError, Obtained};
pub(crate) use sealing::SealingKeys;
pub(crate) use shared::{Seen, Shared};
pub(crate) use standing::Standing;
