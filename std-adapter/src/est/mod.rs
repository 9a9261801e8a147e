//! Serves EST (RFC 7030, RFC 8951) to the devices of a location: each device renews its certificate over mutual TLS,
//! with a key that stays on the device, and the gateway orders the certificate from the CA.
//!
//! The operations are `cacerts`, `csrattrs` and `simplereenroll`, below `/.well-known/est/`. A device gets exactly the
//! names that it has, and none of the gateway's. It must present the certificate to replace, so first certificates
//! come from elsewhere.

mod answer;
mod attributes;
mod authorities;
mod connection;
mod denial;
mod own_names;
mod plan;
mod reenroll;
mod refused;
mod server;
mod state;
mod status;

pub use plan::Plan;
pub use server::Server;
pub use status::{Outcome, Status};
