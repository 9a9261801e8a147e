//! Certificates as RFC 5280 section 4 writes them: parse only, decide nothing.

mod certificate;
mod error;
mod extensions;
mod general_name;
mod name;

pub use certificate::{Certificate, SubjectPublicKeyInfo, Validity};
pub use error::{ParseError, ParseErrorKind};
pub use extensions::{AuthorityKeyIdentifier, BasicConstraints, ExtendedKeyUsage, Extensions, KeyUsage};
pub use general_name::{GeneralName, GeneralNames, GeneralSubtrees, NameConstraints};
pub use name::{Attribute, Attributes, Name};
