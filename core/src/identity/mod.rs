//! Who a verified peer is, and whether it may come in.
mod error;
mod policy;
pub use error::Denied;
pub use policy::{AuthorizedPeer, PeerPolicy, Rule, ServerName};
