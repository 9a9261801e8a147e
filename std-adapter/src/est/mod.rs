//! EST (RFC 7030, RFC 8951) for the devices of a location: each renews its certificate over mutual TLS, with a key that stays on it, and
//! the gateway orders the certificate from the CA.
//!
//! `/.well-known/est/cacerts` and `/.well-known/est/simplereenroll`. A device gets the names that it has and no others: it must show the
//! certificate that is to be replaced, so first certificates come from elsewhere.

mod answer;
mod denial;
mod plan;
mod reenroll;
mod server;
mod status;

pub use plan::Plan;
pub use server::{Prepared, Server, ServerError};
pub use status::{Outcome, Status};
