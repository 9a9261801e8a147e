//! Selects the alert for a refusal (RFC 8446 section 6.2).

#[cfg(feature = "tokio")]
use std::io;
use std::sync::Arc;

use edgetrust_core::identity::Denied;
use edgetrust_core::path::{PathErrorKind, RevocationError};
use pki_types::CertificateDer;
use rustls::{CertificateError, Error, OtherError};

use super::handshake::Handshake;
use super::{Refusal, ShownCertificate};

/// Returns the error for which rustls sends the fitting alert. The refusal itself goes to the code that drives the
/// handshake; without such code, the error holds the refusal, and the alert is certificate_unknown.
pub(super) fn refuse(refusal: Refusal, leaf: &CertificateDer<'_>) -> Error {
    Handshake::tell(|handshake| handshake.shown = Some(Box::new(ShownCertificate::new(leaf))));
    let fitting = fitting(&refusal);
    let mut refusal = Some(refusal);
    if fitting.is_some() {
        Handshake::tell(|handshake| handshake.refused = refusal.take());
    }
    match (refusal, fitting) {
        (None, Some(fitting)) => Error::InvalidCertificate(fitting),
        (Some(refusal), _) => refusal.into(),
        (None, None) => Error::InvalidCertificate(CertificateError::ApplicationVerificationFailure),
    }
}

/// Returns whether rustls sends the peer a fatal alert for this error of a handshake.
#[cfg(feature = "tokio")]
pub(super) fn is_told(error: &io::Error) -> bool {
    let rustls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    rustls.is_some_and(|error| !matches!(error, Error::AlertReceived(_)))
}

/// Returns an error's text without the address of a page for programmers, which rustls adds where a stream ends without
/// close_notify.
#[cfg(feature = "cli")]
pub(crate) fn without_link(error: &str) -> &str {
    error.split_once(": https://").map_or(error, |(text, _)| text)
}

/// Returns whether the error is a fatal alert from the other end.
#[cfg(feature = "cli")]
pub(crate) fn is_alert(error: &io::Error) -> bool {
    let rustls = error.get_ref().and_then(|error| error.downcast_ref::<Error>());
    matches!(rustls, Some(Error::AlertReceived(_)))
}

/// Returns whether the error is of TLS, and not of the network.
#[cfg(feature = "cli")]
pub(super) fn is_tls(error: &io::Error) -> bool {
    error.get_ref().is_some_and(|error| error.is::<Error>())
}

impl From<Refusal> for Error {
    fn from(refusal: Refusal) -> Self {
        Error::InvalidCertificate(CertificateError::Other(OtherError(Arc::new(refusal))))
    }
}

/// Returns the rustls error with the fitting alert; `None` (certificate_unknown) if the certificate is not at fault.
fn fitting(refusal: &Refusal) -> Option<CertificateError> {
    Some(match refusal {
        // bad_certificate
        Refusal::ServerName(_) | Refusal::Denied(Denied::WrongServerName | Denied::MalformedServerName) => {
            CertificateError::NotValidForName
        }
        // access_denied
        Refusal::Denied(_) => CertificateError::ApplicationVerificationFailure,
        Refusal::Path(error) | Refusal::Unparsed(error, _) => match error.kind {
            // unknown_ca
            PathErrorKind::UnknownIssuer | PathErrorKind::SelfSigned | PathErrorKind::Loop => {
                CertificateError::UnknownIssuer
            }
            // certificate_revoked
            PathErrorKind::KeyDenied(_) | PathErrorKind::Revocation(RevocationError::Revoked(_)) => {
                CertificateError::Revoked
            }
            // certificate_expired
            PathErrorKind::Expired { .. } => CertificateError::Expired,
            PathErrorKind::NotYetValid { .. } => CertificateError::NotValidYet,
            // unsupported_certificate
            PathErrorKind::WrongPurpose
            | PathErrorKind::UnsupportedSignatureAlgorithm(_)
            | PathErrorKind::UnsupportedKey(_) => CertificateError::InvalidPurpose,
            // The certificate is not at fault if a list is.
            PathErrorKind::TimeUnknown | PathErrorKind::Budget(_) | PathErrorKind::Revocation(_) => return None,
            // bad_certificate
            _ => CertificateError::BadEncoding,
        },
        // bad_certificate
        _ => CertificateError::BadEncoding,
    })
}
