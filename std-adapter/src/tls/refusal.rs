//! Says why a peer is refused, and finds that in an error of rustls.

use std::fmt;

use edgetrust_core::identity::Denied;
use edgetrust_core::path::PathError;
#[cfg(feature = "cli")]
use edgetrust_core::path::PathErrorKind;
use edgetrust_core::x509::ParseError;
use rustls::{CertificateError, Error, OtherError};

use super::server_name::WrongServerName;

/// The maximum number of certificates that a peer may show, its own included. Chains in use have two to four.
pub const MAX_CERTIFICATES: usize = 16;

/// The core's reason for refusing a peer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The peer showed no certificate.
    NoCertificate,
    /// The peer showed this many certificates, more than [`MAX_CERTIFICATES`].
    TooManyCertificates(usize),
    /// The peer's own certificate does not parse.
    Parse(ParseError),
    /// No valid path was found.
    Path(PathError),
    /// No path to a CA was found, and a certificate that could have been part of one does not parse.
    Unparsed(PathError, UnparsedCertificate),
    /// The path is valid, but the certificate is for other server names.
    ServerName(WrongServerName),
    /// The path is valid, but the peer is not authorized.
    Denied(Denied),
}

impl Refusal {
    /// Returns whether the only fault that was found is that a certificate is past its notAfter.
    #[cfg(feature = "cli")]
    pub(crate) fn is_expiry(&self) -> bool {
        let (Self::Path(error) | Self::Unparsed(error, _)) = self else { return false };
        matches!(error.kind, PathErrorKind::Expired { .. })
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoCertificate => f.write_str("the peer showed no certificate"),
            Self::TooManyCertificates(shown) => {
                write!(f, "the peer showed {shown} certificates, expected at most {MAX_CERTIFICATES}")
            }
            Self::Parse(error) => write!(f, "the peer's certificate {error}"),
            Self::Path(error) => error.fmt(f),
            Self::Unparsed(error, UnparsedCertificate { place, shown, fault }) => {
                write!(f, "{error}; certificate {place} of {shown} does not parse, and is passed over: {fault}")
            }
            Self::ServerName(names) => write!(f, "the peer is not let in: {names}"),
            Self::Denied(denied) => write!(f, "the peer is not let in: {denied}"),
        }
    }
}

impl std::error::Error for Refusal {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Parse(error) => Some(error),
            Self::Path(error) | Self::Unparsed(error, _) => Some(error),
            Self::Denied(denied) => Some(denied),
            Self::NoCertificate | Self::TooManyCertificates(_) | Self::ServerName(_) => None,
        }
    }
}

static NO_CERTIFICATE: Refusal = Refusal::NoCertificate;

/// Returns the core's refusal inside a rustls error, if there is one. rustls itself reports a missing certificate.
pub fn refusal(error: &Error) -> Option<&Refusal> {
    match error {
        Error::NoCertificatesPresented => Some(&NO_CERTIFICATE),
        Error::InvalidCertificate(CertificateError::Other(OtherError(cause))) => cause.downcast_ref(),
        _ => None,
    }
}

/// A certificate other than the peer's own that does not parse.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UnparsedCertificate {
    /// The place among the shown certificates: 1 is the peer's own.
    pub place: usize,
    /// The number of shown certificates.
    pub shown: usize,
    /// The fault in the certificate.
    pub fault: ParseError,
}
