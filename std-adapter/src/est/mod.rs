//! EST (RFC 7030, RFC 8951) for the devices of a location: each renews its certificate over mutual TLS, with a key that stays on it, and
//! the gateway orders the certificate from the CA.
//!
//! `cacerts`, `csrattrs` and `simplereenroll`, below `/.well-known/est/`. A device gets the names that it has and no others, and none of
//! the gateway's: it must show the certificate that is to be replaced, so first certificates come from elsewhere.

mod answer;
mod attributes;
mod authorities;
mod denial;
mod own_names;
mod plan;
mod reenroll;
mod refused;
mod server;
mod status;

pub use own_names::OwnNames;
pub use plan::Plan;
pub use server::{Prepared, Server, ServerError};
pub use status::{Outcome, Status};
