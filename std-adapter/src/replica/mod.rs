//! Several gateways with one credential: one of them orders, all of them show what it got.

mod bucket;
mod comparison;
mod document;
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
#[expect(clippy::module_inception, reason = "the module's main type")]
mod replica;
mod sealing;
pub(crate) mod settings;
mod shared;
mod standing;
#[cfg(test)]
mod tests;

pub(crate) use replica::{News, Replica, urgent_at};
pub(crate) use standing::Standing;
