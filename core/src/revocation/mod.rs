//! Certificate revocation lists (RFC 5280 section 5).
//!
//! A list that a CA signs itself, complete and not indirect, is parsed once ([`RevocationList::from_der`]), may get an
//! index for quick answers, and is asked while a path is verified
//! ([`Trust::verify_unrevoked`](crate::path::Trust::verify_unrevoked)). Every other kind of list is refused when it is
//! parsed, with the reason.

mod entry;
mod error;
mod list;
mod scope;

pub use entry::{Reason, RevokedCertificate, SerialNumber};
pub use error::{RevocationListError, RevocationListErrorKind};
pub use list::{RevocationList, SignerProof};
pub(crate) use scope::Covered;
