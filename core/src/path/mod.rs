//! Certification path building and validation (RFC 5280 section 6).
mod budget;
mod builder;
mod error;
pub use budget::{Budget, Limits};
pub use builder::{Purpose, Trust, VerifiedPath};
pub use error::{PathError, PathErrorKind, Resource};
