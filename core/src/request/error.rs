//! Defines the errors of reading and writing requests.

use core::fmt;

use super::MAX_ALTERNATIVE_NAMES;
use crate::x509::ParseError;

/// An error of reading or writing a request. Names and extensions are counted from 1, in the order of the request or,
/// where the request lacks one, of the certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum RequestError {
    /// No algorithm of the list fits the signature and the key.
    UnsupportedAlgorithm,
    /// The signature was not made with the key in the request.
    BadSignature,
    /// The subject is not the certificate's.
    Subject,
    /// The certificate has a subjectAltName, and the request has none.
    NoAlternativeNames,
    /// The request has a subjectAltName, and the certificate has none.
    UnwantedAlternativeNames,
    /// There are more names than are compared.
    TooManyAlternativeNames,
    /// Comparing the names takes more work than a request may cost.
    Work,
    /// The certificate's name of this number is not in the request.
    NameMissing(u16),
    /// The request's name of this number is not in the certificate.
    NameAdded(u16),
    /// The request's extension of this number is not allowed in a renewal.
    Extension(u16),
    /// The purpose of this number in the request's extendedKeyUsage is neither one of TLS nor one of the
    /// certificate's.
    Purpose(u16),
    /// The request is for a certificate that may issue others.
    CertificateAuthority,
    /// A field or a certificate to be written is malformed.
    Malformed(ParseError),
    /// The public key is not an uncompressed point of P-256.
    PublicKey,
    /// The key did not sign.
    NotSigned,
    /// The buffer is too small.
    Space,
}

impl fmt::Display for RequestError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::UnsupportedAlgorithm => "its signature algorithm does not fit its key, or is not enabled",
            Self::BadSignature => "its signature was not made by the key in it (RFC 2986 section 4.2)",
            Self::Subject => "its subject is not the certificate's (RFC 7030 section 4.2.2)",
            Self::NoAlternativeNames => {
                "it has no subjectAltName, and the certificate has one (RFC 7030 section 4.2.2)"
            }
            Self::UnwantedAlternativeNames => {
                "it has a subjectAltName, and the certificate has none (RFC 7030 section 4.2.2)"
            }
            Self::TooManyAlternativeNames => {
                return write!(f, "there are more than {MAX_ALTERNATIVE_NAMES} names in a subjectAltName");
            }
            Self::Work => "its names and the certificate's take more work to compare than a request may cost",
            Self::NameMissing(number) => {
                return write!(
                    f,
                    "name {number} of the certificate's subjectAltName is not in its own (RFC 7030 section 4.2.2)"
                );
            }
            Self::NameAdded(number) => {
                return write!(
                    f,
                    "name {number} of its subjectAltName is not in the certificate's (RFC 7030 section 4.2.2)"
                );
            }
            Self::Extension(number) => {
                return write!(
                    f,
                    "extension {number} that it asks for is neither one of a leaf's (subjectAltName, keyUsage, extendedKeyUsage, basicConstraints, key identifiers) nor in the certificate with the same value"
                );
            }
            Self::Purpose(number) => {
                return write!(
                    f,
                    "purpose {number} of its extendedKeyUsage is not in the certificate's, expected clientAuth or serverAuth"
                );
            }
            Self::CertificateAuthority => "it asks for a certificate that may issue others",
            Self::Malformed(error) => return error.fmt(f),
            Self::PublicKey => "the public key is not an uncompressed point of P-256 (RFC 5480 section 2.2)",
            Self::NotSigned => "the key did not sign",
            Self::Space => "the buffer is too small",
        })
    }
}

impl From<ParseError> for RequestError {
    fn from(error: ParseError) -> Self {
        Self::Malformed(error)
    }
}

impl core::error::Error for RequestError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Malformed(error) => Some(error),
            _ => None,
        }
    }
}
