//! Serves EST (RFC 7030, RFC 8951) to the devices of a location: each device renews its certificate over mutual TLS,
//! with a key that stays on the device, and the gateway orders the certificate from the CA.
//!
//! The operations are `cacerts`, `csrattrs` and `simplereenroll`, below `/.well-known/est/`. A device gets exactly the
//! names that it has, and none of the gateway's. It must present the certificate to replace.
//!
//! Devices without a certificate get their first one by `simpleenroll` at an address of its own, each by a voucher that
//! `edgetrust devices invite` made for its name. Without that address first certificates come from elsewhere.

mod answer;
mod attempts;
mod attributes;
mod authorities;
mod connection;
mod denial;
mod first;
mod first_desk;
mod first_names;
mod first_orders;
mod own_names;
mod plan;
mod reenroll;
mod refused;
mod secret;
mod server;
mod state;
mod status;
mod voucher;
mod voucher_file;
mod vouchers;

pub use first_names::FirstNames;
pub use plan::Plan;
pub use secret::{KeptHash, Secret};
pub use server::Server;
pub use status::{Outcome, Status};
pub use voucher::VoucherState;
pub use voucher_file::VoucherFile;
