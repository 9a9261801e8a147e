//! Judges offline who reaches whom in a mesh: by the core, as the gateways would.
//!
//! | judged | by | with what |
//! |---|---|---|
//! | the text, its sites, links and denials | [`edgetrust_core::mesh::Mesh`] | `mesh.json` as it is |
//! | the CA of a site: signature, dates, names, purposes, path length, denial | [`edgetrust_core::path::Trust::verify`] | the mesh's own roots, CA certificates and denied keys |
//! | a gateway as a client and as a server | [`edgetrust_core::identity`] | the rules and names that a gateway takes from the mesh |
//! | the signature of a gateway's certificate | nobody | see below |
//!
//! No key of a CA is needed and none is here, so a gateway's certificate cannot be issued for the check. One is written
//! instead, as a site's CA issues them, with a mark in place of its signature ([`leaf`]). The core sees it below the real
//! CA certificate and the real root: whatever is wrong with these is found, with the keys as they are. One thing is
//! assumed and no other: that whoever holds the CA's key could sign such a certificate.
//!
//! The check does not judge the certificates that gateways have now, the names that resolve, the ports that are open, and
//! the time at the other machines: only the sites know these.
//!
//! Octets become a verdict in one direction: text → [`index`] → [`leaf`] → [`paths`] → [`links`] → [`report`].

mod authorities;
mod configurations;
mod expiries;
mod index;
mod leaf;
mod links;
mod paths;
mod reasons;
mod report;

pub(crate) use authorities::Unverifiable;
pub(crate) use links::Link;
pub(crate) use report::{Report, check};
