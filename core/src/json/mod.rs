//! Reads JSON text (RFC 8259) without a heap: tokens, and what errors say about them.

mod error;
mod nearest;
mod scan;
mod text;

pub(crate) use error::write_path;
pub use error::{Found, MAX_PATH, Segment};
pub(crate) use nearest::nearest;
pub use scan::MAX_DEPTH;
pub(crate) use scan::{ScanError, Scanner, Token};
pub(crate) use text::InPlace;
#[cfg(any(test, feature = "device", feature = "mesh"))]
pub(crate) use text::Plain;
