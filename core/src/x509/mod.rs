//! Parses certificates (RFC 5280 section 4) and decides nothing about them.
//!
//! Everything borrows from the DER. [`Certificate::from_der`] reads a certificate to its last byte, so iterators over
//! names and purposes cannot meet malformed data later.

mod certificate;
mod comparison;
mod error;
mod extensions;
mod general_name;
mod key_hash;
mod name;
mod object_identifier;
pub(crate) mod reader;
mod serial;
pub(crate) mod time;
mod work;

pub(crate) use certificate::algorithm;
pub use certificate::{Certificate, SubjectPublicKeyInfo, Validity};
pub use comparison::{Comparison, UndecodableString};
pub use error::{ParseError, ParseErrorKind};
#[cfg(feature = "crl")]
pub(crate) use extensions::authority_key_identifier;
pub use extensions::{
    AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, Extensions, KeyUsage, MAX_EXTENSIONS,
};
pub use general_name::{
    GeneralName, GeneralNames, GeneralNamesIter, GeneralSubtrees, GeneralSubtreesIter, Kind, NameConstraints,
};
pub use key_hash::KeyHash;
pub use name::{Attribute, Attributes, MAX_RDN_ATTRIBUTES, Name};
pub use object_identifier::ObjectIdentifier;
pub use serial::Serial;
pub use work::{Exhausted, Work};
