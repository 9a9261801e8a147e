//! Why a server was not believed, and why a connection cannot be used.

use embedded_io_async::ErrorKind;
use embedded_tls::TlsError;
use embedded_tls::alert::AlertDescription;

use super::RecordFault;
use crate::identity::Denied;
use crate::path::{PathError, PathErrorKind};
use crate::x509::ParseError;

/// Why the server was not believed, or the handshake came to nothing.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server sent no certificate (RFC 8446 section 4.4.2).
    NoCertificate,
    /// The server sent a certificate and did not prove that it has its key (RFC 8446 section 4.4.3).
    NoCertificateVerify,
    /// A second Certificate, or a CertificateVerify without one before it.
    UnexpectedMessage,
    /// More certificates than [`super::MAX_SENT`] beside the server's own.
    TooManyCertificates,
    /// The server's certificate is malformed.
    Certificate(ParseError),
    /// No path leads from it to an anchor.
    Path(PathError),
    /// It is not for the name that was asked for.
    Denied(Denied),
    /// Its key is of a kind that no enabled algorithm takes, or the signature's scheme does not fit the key (RFC 8446 section 4.2.3).
    SignatureScheme,
    /// CertificateVerify was not made with the certificate's key over this handshake (RFC 8446 section 4.4.3).
    BadCertificateVerify,
    /// Our own key could not be used.
    Signing,
    /// A record that may not come.
    Record(RecordFault),
    /// The server ended it (RFC 8446 section 6).
    Alert(AlertDescription),
    /// The connection ended.
    Closed,
    /// The socket failed.
    Io(ErrorKind),
    /// embedded-tls's own: undecryptable, malformed, or out of order.
    Tls(TlsError),
}

impl HandshakeError {
    /// What the server is told (RFC 8446 section 6.2).
    pub(super) fn alert(&self) -> AlertDescription {
        match self {
            Self::Path(PathError { kind, .. }) => match kind {
                PathErrorKind::Expired { .. } | PathErrorKind::NotYetValid { .. } => {
                    AlertDescription::CertificateExpired
                }
                PathErrorKind::IssuerIsPin => AlertDescription::UnknownCa,
                kind if kind.is_unknown_issuer() => AlertDescription::UnknownCa,
                PathErrorKind::UnsupportedSignatureAlgorithm(_)
                | PathErrorKind::SignatureAlgorithmMismatch(_)
                | PathErrorKind::UnsupportedKey(_) => AlertDescription::UnsupportedCertificate,
                PathErrorKind::TimeUnknown => AlertDescription::CertificateUnknown,
                _ => AlertDescription::BadCertificate,
            },
            Self::UnexpectedMessage => AlertDescription::UnexpectedMessage,
            Self::SignatureScheme => AlertDescription::IllegalParameter,
            Self::BadCertificateVerify => AlertDescription::DecryptError,
            Self::NoCertificate => AlertDescription::DecodeError,
            _ => AlertDescription::BadCertificate,
        }
    }
}

impl From<TlsError> for HandshakeError {
    fn from(error: TlsError) -> Self {
        match error {
            TlsError::HandshakeAborted(_, description) => Self::Alert(description),
            TlsError::IoError => Self::Closed,
            TlsError::Io(kind) => Self::Io(kind),
            other => Self::Tls(other),
        }
    }
}

/// Why an open connection cannot be used.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConnectionError {
    /// A record that may not come.
    Record(RecordFault),
    /// It ended without close_notify (RFC 8446 section 6.1): what came may not be all.
    Truncated,
    /// The socket failed.
    Io(ErrorKind),
    /// The server ended it with an alert that is an error (RFC 8446 section 6.2); embedded-tls does not say which. A client has done its part of the
    /// handshake before the server looks at its certificate, so this is how a client hears that it was refused.
    Alert,
    /// embedded-tls's own.
    Tls(TlsError),
}

impl core::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

impl core::error::Error for ConnectionError {}

impl embedded_io_async::Error for ConnectionError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Record(_) | Self::Tls(_) => ErrorKind::InvalidData,
            Self::Truncated | Self::Alert => ErrorKind::ConnectionAborted,
            Self::Io(kind) => *kind,
        }
    }
}
