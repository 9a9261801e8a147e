//! Certification requests: PKCS #10 (RFC 2986), as EST carries them (RFC 7030), and the bag of certificates that answers them.
//!
//! A device writes one with [`NewRequest`], for a key of its own that never leaves it. Whoever has the certificate issued reads it as a
//! [`CertificationRequest`], and asks of it two things: [`CertificationRequest::verify`], whether the requester has the key, and
//! [`CertificationRequest::may_replace`], whether it asks for nothing but its own name again.

mod certs_only;
mod error;
mod read;
mod replace;
mod write;

pub use certs_only::{CertsOnly, certs_only, write_certs_only};
pub use error::RequestError;
pub use read::CertificationRequest;
pub use replace::{MAX_ALTERNATIVE_NAMES, same_alternative_names};
pub use write::{NewRequest, P256_POINT, P256_SIGNATURE};
