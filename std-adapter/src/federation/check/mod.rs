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
//! Octets become a verdict in one direction: text → [`index`] → [`leaf`] → [`paths`] → [`links`] → [`report`];
//! [`single`] does without a folder.

use std::path::Path;
use std::time::Duration;

use pki_types::UnixTime;

mod authorities;
mod configurations;
mod expiries;
mod index;
mod leaf;
mod links;
mod paths;
mod reasons;
mod report;
mod single;

pub(crate) use authorities::Unverifiable;
pub(crate) use links::Link;
pub(crate) use report::Report;

/// Judges the mesh of a folder, or of one file. Nothing is changed.
///
/// # Errors
/// Fails if there is no mesh, or a file cannot be read.
pub(crate) fn check(path: &Path, min_left: Duration, now: UnixTime) -> Result<Report, String> {
    match path.metadata() {
        Ok(found) if !found.is_dir() => single::check(path, min_left, now),
        _ => report::of_folder(path, min_left, now),
    }
}
