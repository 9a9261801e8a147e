//! Errors of parsing a certificate, a request or a bag of certificates.

use core::fmt;

/// A parse error and its byte offset in the input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub struct ParseError {
    /// The kind of error.
    pub kind: ParseErrorKind,
    /// Byte offset in the certificate, the request or the bag.
    pub offset: u32,
}

impl ParseError {
    pub(crate) fn new(kind: ParseErrorKind, offset: usize) -> Self {
        Self { kind, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }
}

/// The kind of an error in a certificate, a request or a bag of certificates.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ParseErrorKind {
    /// The octets are not DER, or are of another type than the syntax has here.
    Der,
    /// Data follows where nothing may.
    TrailingData,
    /// The certificate's version is not 1, 2 or 3, or is below 3 although there are extensions.
    UnsupportedVersion,
    /// The serial number is not a minimal INTEGER.
    SerialNumber,
    /// The two signature algorithm fields differ.
    AlgorithmMismatch,
    /// A distinguished name is malformed.
    Name,
    /// A date has a form that RFC 5280 does not allow.
    Time,
    /// An extension comes twice.
    DuplicateExtension,
    /// There are more than [`super::MAX_EXTENSIONS`] extensions.
    TooManyExtensions,
    /// The basic constraints extension is malformed.
    BasicConstraints,
    /// The key usage extension is malformed.
    KeyUsage,
    /// The extended key usage extension is malformed.
    ExtendedKeyUsage,
    /// The subject alternative name extension is malformed.
    SubjectAltName,
    /// The name constraints extension is malformed.
    NameConstraints,
    /// The subject key identifier extension is malformed.
    SubjectKeyIdentifier,
    /// The authority key identifier extension is malformed.
    AuthorityKeyIdentifier,
    /// The authority or subject information access extension is malformed.
    InformationAccess,
    /// The certification request is not of version 1.
    RequestVersion,
    /// An attribute of a certification request is malformed, or comes twice.
    RequestAttribute,
    /// The input is not a bag of certificates and nothing else.
    CertsOnly,
}

impl fmt::Display for ParseErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Der => "not the DER expected here",
            Self::TrailingData => "data follows where nothing may",
            Self::UnsupportedVersion => {
                "expected version 1, 2 or 3, and 3 where there are extensions (RFC 5280 section 4.1.2.1)"
            }
            Self::SerialNumber => "malformed serial number (RFC 5280 section 4.1.2.2)",
            Self::AlgorithmMismatch => "the two signature algorithm fields differ (RFC 5280 section 4.1.1.2)",
            Self::Name => "malformed distinguished name (RFC 5280 section 4.1.2.4)",
            Self::Time => "expected UTCTime or GeneralizedTime, with seconds and Z (RFC 5280 section 4.1.2.5)",
            Self::DuplicateExtension => "the same extension twice (RFC 5280 section 4.2)",
            Self::TooManyExtensions => "more extensions than the limit of 64",
            Self::BasicConstraints => "malformed basic constraints (RFC 5280 section 4.2.1.9)",
            Self::KeyUsage => "malformed key usage (RFC 5280 section 4.2.1.3)",
            Self::ExtendedKeyUsage => "malformed extended key usage (RFC 5280 section 4.2.1.12)",
            Self::SubjectAltName => "malformed subject alternative name (RFC 5280 section 4.2.1.6)",
            Self::NameConstraints => "malformed name constraints (RFC 5280 section 4.2.1.10)",
            Self::SubjectKeyIdentifier => "malformed subject key identifier (RFC 5280 section 4.2.1.2)",
            Self::AuthorityKeyIdentifier => "malformed authority key identifier (RFC 5280 section 4.2.1.1)",
            Self::InformationAccess => "malformed authority or subject information access (RFC 5280 section 4.2.2)",
            Self::RequestVersion => {
                "expected version 1 of a certification request, written as 0 (RFC 2986 section 4.1)"
            }
            Self::RequestAttribute => "an attribute of the request is malformed or comes twice (RFC 2986 section 4.1)",
            Self::CertsOnly => "expected SignedData with certificates and nothing else (RFC 7030 section 4.1.3)",
        })
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.kind)
    }
}

impl core::error::Error for ParseError {}
