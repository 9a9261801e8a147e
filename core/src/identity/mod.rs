//! Authorizes verified peers: allow lists for clients, names for servers (RFC 9525), and the CAs both may come from.

mod common_name;
mod dns_name;
mod error;
mod issuers;
mod objection;
mod policy;
mod rule;

pub use common_name::{CommonNameError, common_name};
pub use dns_name::{is_dns_name, is_dns_rule, without_root};
pub use error::Denied;
pub use issuers::Issuers;
pub use policy::{AuthorizedPeer, PeerPolicy, ServerName, ServerPolicy};
pub use rule::{Rule, RuleName};
