//! Certification path building and validation (RFC 5280 section 6).
//!
//! Only [`Trust::verify`] makes a [`VerifiedPath`]. The search is iterative, over trust anchors and an unordered bag
//! of intermediates, within a [`Budget`] that the caller sets.

mod anchor;
mod budget;
mod builder;
mod checks;
mod common_names;
mod error;
mod mailbox;
mod name_constraints;
mod verified;

pub use anchor::{Anchor, Role};
pub use budget::{Budget, Limits};
pub use builder::{MAX_INTERMEDIATES, Place, Purpose, Trust};
pub use error::{PathError, PathErrorKind, Resource};
pub use verified::VerifiedPath;
