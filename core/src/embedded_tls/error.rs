//! Errors of the handshake and of an open connection.

use embedded_io_async::ErrorKind;
use embedded_tls::TlsError;
use embedded_tls::alert::AlertDescription;

use super::{FoundName, RecordFault};
use crate::identity::Denied;
use crate::path::{PathError, PathErrorKind};
use crate::possession::PossessionError;
use crate::x509::ParseError;

/// The reason for refusing the server, or for a failed handshake.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server sent no certificate (RFC 8446 section 4.4.2).
    NoCertificate,
    /// The server sent a certificate and did not prove that it has its key (RFC 8446 section 4.4.3).
    NoCertificateVerify,
    /// The server sent a second Certificate, or a CertificateVerify without a Certificate.
    UnexpectedMessage,
    /// The server sent more certificates than [`super::MAX_SENT`] beside its own.
    TooManyCertificates,
    /// The server's certificate is malformed.
    Certificate(ParseError),
    /// No path leads from the server's certificate to an anchor.
    Path(PathError),
    /// The server's certificate is not for the name that was asked for (RFC 9525 section 6).
    WrongServerName {
        /// A name that the certificate is for.
        found: FoundName,
    },
    /// The server is denied for another reason.
    Denied(Denied),
    /// No enabled algorithm takes the server's key, or the scheme does not fit the key (RFC 8446 section 4.2.3).
    SignatureScheme,
    /// CertificateVerify was not made with the certificate's key over this handshake (RFC 8446 section 4.4.3).
    BadCertificateVerify,
    /// The client's own key could not be used.
    Signing,
    /// The server sent a record that is not allowed.
    Record(RecordFault),
    /// The server ended the handshake with an alert (RFC 8446 section 6).
    Alert(AlertDescription),
    /// The connection ended.
    Closed,
    /// The socket failed.
    Io(ErrorKind),
    /// An error of embedded-tls: data is undecryptable, malformed, or out of order.
    Tls(TlsError),
}

impl HandshakeError {
    /// Returns the alert for the server (RFC 8446 section 6.2).
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

impl core::fmt::Display for HandshakeError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Certificate(error) => write!(f, "the server's certificate {error}"),
            Self::Path(error) => error.fmt(f),
            Self::Denied(denied) => write!(f, "the server is not let in: {denied}"),
            other => core::fmt::Debug::fmt(other, f),
        }
    }
}

impl core::error::Error for HandshakeError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Certificate(error) => Some(error),
            Self::Path(error) => Some(error),
            Self::Denied(denied) => Some(denied),
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

impl From<PossessionError> for HandshakeError {
    fn from(error: PossessionError) -> Self {
        match error {
            PossessionError::SignatureScheme => Self::SignatureScheme,
            PossessionError::BadSignature => Self::BadCertificateVerify,
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

/// The reason why an open connection cannot be used.
#[derive(Clone, Copy, Debug)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum ConnectionError {
    /// The server sent a record that is not allowed.
    Record(RecordFault),
    /// The connection ended without close_notify (RFC 8446 section 6.1): the received data may be incomplete.
    Truncated,
    /// The socket failed.
    Io(ErrorKind),
    /// The server ended the connection with an error alert (RFC 8446 section 6.2); embedded-tls does not say which. A
    /// client finishes its part of the handshake before the server checks its certificate, so this is how a client
    /// learns that it was refused.
    Alert,
    /// An error of embedded-tls.
    Tls(TlsError),
}

impl core::fmt::Display for ConnectionError {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        core::fmt::Debug::fmt(self, f)
    }
}

impl core::error::Error for ConnectionError {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Tls(error) => Some(error),
            _ => None,
        }
    }
}

impl embedded_io_async::Error for ConnectionError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::Record(_) | Self::Tls(_) => ErrorKind::InvalidData,
            Self::Truncated | Self::Alert => ErrorKind::ConnectionAborted,
            Self::Io(kind) => *kind,
        }
    }
}
