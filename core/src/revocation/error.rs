//! Errors of parsing a revocation list.

use core::fmt;

use crate::x509::{ObjectIdentifier, ParseError, ParseErrorKind};

/// An error of a revocation list and its byte offset in the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RevocationListError {
    /// The kind of error.
    pub kind: RevocationListErrorKind,
    /// Byte offset in the list.
    pub offset: u32,
}

/// The kind of an error in a revocation list: it is malformed, or of a kind that is not processed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum RevocationListErrorKind {
    /// A part that certificates have too is malformed.
    Parse(ParseErrorKind),
    /// The version is not 2, or extensions are there without it.
    Version,
    /// The issuer is an empty name.
    EmptyIssuer,
    /// There is no nextUpdate.
    NoNextUpdate,
    /// nextUpdate is before thisUpdate.
    UpdatesReversed,
    /// A critical extension is not processed.
    UnknownCriticalExtension(ObjectIdentifier),
    /// A critical extension of an entry is not processed.
    UnknownCriticalEntryExtension(ObjectIdentifier),
    /// An extension is critical and must not be.
    WronglyCritical(ObjectIdentifier),
    /// The cRLNumber is malformed.
    Number,
    /// The list has only what has changed since another one.
    Delta,
    /// The issuingDistributionPoint is malformed.
    DistributionPoint,
    /// The list has entries of other CAs.
    Indirect,
    /// The list has revocations for some reasons alone.
    SomeReasons,
    /// The list is of attribute certificates.
    AttributeCertificates,
    /// The issuingDistributionPoint has a name that is relative to the issuer's.
    RelativeName,
    /// An entry's serial number is not a minimal INTEGER.
    SerialNumber,
    /// An entry's reason is none of RFC 5280.
    Reason,
    /// An entry takes a certificate off the list, which only a delta list does.
    RemoveFromCrl,
    /// The list is larger than can be addressed.
    Size,
}

impl RevocationListError {
    pub(super) fn at(offset: usize) -> impl Fn(RevocationListErrorKind) -> Self {
        move |kind| Self { kind, offset: u32::try_from(offset).unwrap_or(u32::MAX) }
    }
}

impl From<ParseError> for RevocationListError {
    fn from(error: ParseError) -> Self {
        Self { kind: RevocationListErrorKind::Parse(error.kind), offset: error.offset }
    }
}

impl fmt::Display for RevocationListErrorKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Parse(kind) => return kind.fmt(f),
            Self::Version => "expected version 2, or version 1 without extensions (RFC 5280 section 5.1.2.1)",
            Self::EmptyIssuer => "it names no issuer (RFC 5280 section 5.1.2.3)",
            Self::NoNextUpdate => {
                "there is no nextUpdate: it could not be told when the list is out of date (RFC 5280 section 5.1.2.5)"
            }
            Self::UpdatesReversed => "nextUpdate is before thisUpdate (RFC 5280 section 5.1.2.5)",
            Self::UnknownCriticalExtension(oid) => {
                return write!(f, "a critical extension is not processed: {oid} (RFC 5280 section 5.2)");
            }
            Self::UnknownCriticalEntryExtension(oid) => {
                return write!(f, "a critical extension of an entry is not processed: {oid} (RFC 5280 section 5.3)");
            }
            Self::WronglyCritical(oid) => {
                return write!(f, "an extension is critical that must not be: {oid} (RFC 5280 section 5.2)");
            }
            Self::Number => "malformed CRL number (RFC 5280 section 5.2.3)",
            Self::Delta => "a delta CRL, expected a complete one (RFC 5280 section 5.2.4)",
            Self::DistributionPoint => "malformed issuing distribution point (RFC 5280 section 5.2.5)",
            Self::Indirect => {
                "an indirect CRL, expected one with the certificates of its issuer alone (RFC 5280 section 5.2.5)"
            }
            Self::SomeReasons => "a CRL for some reasons alone, expected one for all (RFC 5280 section 5.2.5)",
            Self::AttributeCertificates => "a CRL of attribute certificates (RFC 5280 section 5.2.5)",
            Self::RelativeName => {
                "a distribution point named relative to the issuer, expected a full name (RFC 5280 section 5.2.5)"
            }
            Self::SerialNumber => "malformed serial number of an entry (RFC 5280 section 5.1.2.6)",
            Self::Reason => "malformed or unknown reason of an entry (RFC 5280 section 5.3.1)",
            Self::RemoveFromCrl => "removeFromCRL, which only a delta CRL has (RFC 5280 section 5.3.1)",
            Self::Size => "the list is larger than 4 GiB",
        })
    }
}

impl fmt::Display for RevocationListError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "at byte {}: {}", self.offset, self.kind)
    }
}

impl core::error::Error for RevocationListError {}
