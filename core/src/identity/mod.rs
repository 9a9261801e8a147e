//! Authorizes verified peers: allow lists for clients, names for servers (RFC 9525).

mod common_name;
mod dns_name;
mod error;
mod objection;
mod policy;
mod rule;

pub use common_name::{CommonNameError, common_name};
pub use dns_name::{is_dns_name, is_dns_rule, without_root};
pub use error::Denied;
pub use policy::{AuthorizedPeer, PeerPolicy, ServerName};
pub use rule::Rule;
