//! Certification path building and validation (RFC 5280 section 6).
//!
//! Only [`Trust::verify`] makes a [`VerifiedPath`]. The search is iterative, over trust anchors and an unordered bag
//! of intermediates, within a [`Budget`] that the caller sets.

mod anchor;
mod budget;
mod builder;
mod checks;
mod common_names;
mod denied_keys;
mod error;
mod mailbox;
mod name_constraints;
mod purpose;
#[cfg(feature = "crl")]
mod revocation;
mod signature;
#[cfg(feature = "crl")]
mod status;
#[cfg(feature = "crl")]
mod unrevoked;
mod verified;

pub use anchor::{Anchor, Role};
pub use budget::{Budget, Limits};
pub use builder::Trust;
pub use denied_keys::DeniedKey;
pub use error::{PathError, PathErrorKind, Resource};
#[cfg(feature = "mesh")]
pub use purpose::MESH_SIGNING;
pub use purpose::Purpose;
#[cfg(feature = "crl")]
pub use revocation::{RequiredLists, Revocation, RevocationError};
pub use verified::{MAX_INTERMEDIATES, Place, VerifiedPath};
