//! Reads and writes certification requests: PKCS #10 (RFC 2986), as EST carries them (RFC 7030), and the bag of
//! certificates that answers them.
//!
//! A device writes a [`NewRequest`] for a key of its own, which never leaves the device. A registration authority
//! reads a [`CertificationRequest`] and checks two things: with [`CertificationRequest::verify`], that the requester
//! has the key, and with [`CertificationRequest::may_replace`], that the request is for nothing but the requester's
//! own name again; with [`CertificationRequest::is_for`], that a first request is for one name alone.

mod certs_only;
mod error;
mod one_name;
mod read;
mod replace;
mod write;

pub use certs_only::{CertsOnly, certs_only, write_certs_only};
pub use error::RequestError;
pub use one_name::{MAX_COMMON_NAME, OneName};
pub use read::CertificationRequest;
pub use replace::same_alternative_names;
pub use write::{NewRequest, P256_POINT, P256_SIGNATURE};

/// The largest number of names of one subjectAltName that are compared, each with each.
pub const MAX_ALTERNATIVE_NAMES: usize = 64;
