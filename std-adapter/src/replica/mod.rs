//! Several gateways with one credential: one of them orders, all of them show what it got.

#[cfg(feature = "nats")]
mod bucket;
#[cfg(feature = "nats")]
mod document;
#[cfg(feature = "nats")]
mod lease;
#[cfg(feature = "nats")]
mod sealing;
pub(crate) mod settings;
#[cfg(feature = "nats")]
mod shared;
