//! The reasons that end a connection, each with its alert (RFC 8446 section 6.2).

use core::fmt;

use edgetrust_core::identity::Denied;
use edgetrust_core::path::{PathError, PathErrorKind};
use edgetrust_core::x509::ParseError;

use crate::alert::Alert;

/// The reason that a handshake or a connection ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Error {
    /// The peer broke the protocol, or shares no parameters.
    Peer(Fault),
    /// The peer's certificate is refused.
    Refused(Refusal),
    /// The peer ended the connection with this alert.
    Alert(Alert),
    /// A message is longer than the room for handshakes.
    RoomFull {
        /// The octets of the message.
        message: u32,
        /// The octets of the room.
        room: u32,
    },
    /// The output has no place for what is to be sent.
    OutputFull,
    /// The own key did not sign.
    Signing,
    /// The connection ended before.
    Ended,
}

/// A breach of the protocol by the peer, or the lack of common parameters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Fault {
    /// A message does not parse.
    Decode,
    /// A handshake message of this type is not due.
    UnexpectedMessage(u8),
    /// A record of this content type is not due, or one that is empty.
    UnexpectedRecord(u8),
    /// A record or a message continues where a key changes (RFC 8446 section 5.1).
    KeyChange,
    /// A record is longer than the limit.
    RecordOverflow,
    /// A record does not decrypt.
    BadRecord,
    /// Records without data follow each other without end.
    IdleRecords,
    /// A field has a value that is not allowed.
    Illegal(&'static str),
    /// An extension is missing.
    Missing(&'static str),
    /// An extension that was not offered, or that does not belong to the message.
    Extension(u16),
    /// The peer does not speak TLS 1.3.
    Version,
    /// The peer shares nothing of this kind.
    NoCommon(&'static str),
    /// The client asked for a name that no server here has.
    ServerName,
    /// The client offers no protocol of this server.
    Protocol,
    /// The Finished message is wrong.
    Finished,
    /// The binder of a pre-shared key is wrong.
    Binder,
    /// The CertificateVerify is wrong.
    CertificateVerify,
    /// The client showed no certificate.
    NoClientCertificate,
    /// The server showed no certificate.
    NoServerCertificate,
}

/// The reason that a peer's certificate is refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
#[non_exhaustive]
pub enum Refusal {
    /// The leaf is malformed.
    Certificate(ParseError),
    /// No path leads from the leaf to an anchor.
    Path(PathError),
    /// The policy does not admit the peer.
    Denied(Denied),
    /// No enabled algorithm takes the leaf's key.
    Key,
    /// There are more certificates than [`crate::MAX_SENT`] beside the leaf.
    TooMany,
}

impl Error {
    /// Returns the alert for the peer, or `None` if the connection has ended already.
    pub fn alert(&self) -> Option<Alert> {
        Some(match self {
            Self::Peer(fault) => fault.alert(),
            Self::Refused(refusal) => refusal.alert(),
            Self::Alert(_) | Self::Ended => return None,
            // RFC 8446 names no alert for a message that is too long; this one says whose fault it is.
            Self::RoomFull { .. } => Alert::IllegalParameter,
            Self::OutputFull | Self::Signing => Alert::InternalError,
        })
    }
}

impl Fault {
    fn alert(&self) -> Alert {
        match self {
            Self::Decode => Alert::DecodeError,
            Self::UnexpectedMessage(_) | Self::UnexpectedRecord(_) | Self::KeyChange | Self::IdleRecords => {
                Alert::UnexpectedMessage
            }
            Self::RecordOverflow => Alert::RecordOverflow,
            Self::BadRecord => Alert::BadRecordMac,
            Self::Illegal(_) => Alert::IllegalParameter,
            Self::Missing(_) => Alert::MissingExtension,
            Self::Extension(_) => Alert::UnsupportedExtension,
            Self::Version => Alert::ProtocolVersion,
            Self::NoCommon(_) => Alert::HandshakeFailure,
            Self::ServerName => Alert::UnrecognizedName,
            Self::Protocol => Alert::NoApplicationProtocol,
            Self::Finished | Self::Binder | Self::CertificateVerify => Alert::DecryptError,
            Self::NoClientCertificate => Alert::CertificateRequired,
            // RFC 8446 section 4.4.2.4
            Self::NoServerCertificate => Alert::DecodeError,
        }
    }
}

impl Refusal {
    fn alert(&self) -> Alert {
        match self {
            Self::Certificate(_) | Self::TooMany => Alert::BadCertificate,
            Self::Key => Alert::UnsupportedCertificate,
            Self::Denied(_) => Alert::AccessDenied,
            Self::Path(PathError { kind, .. }) => match kind {
                PathErrorKind::Expired { .. } | PathErrorKind::NotYetValid { .. } => Alert::CertificateExpired,
                PathErrorKind::IssuerIsPin => Alert::UnknownCa,
                kind if kind.is_unknown_issuer() => Alert::UnknownCa,
                PathErrorKind::UnsupportedSignatureAlgorithm(_)
                | PathErrorKind::SignatureAlgorithmMismatch(_)
                | PathErrorKind::UnsupportedKey(_) => Alert::UnsupportedCertificate,
                PathErrorKind::TimeUnknown => Alert::CertificateUnknown,
                _ => Alert::BadCertificate,
            },
        }
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(fault) => fault.fmt(f),
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Alert(alert) => write!(f, "the peer ended the connection: {alert}"),
            Self::RoomFull { message, room } => {
                write!(f, "found a handshake message of {message} octets, expected at most {room}")
            }
            Self::OutputFull => f.write_str("the output has no place for what is to be sent"),
            Self::Signing => f.write_str("the own key did not sign"),
            Self::Ended => f.write_str("the connection has ended"),
        }
    }
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Decode => f.write_str("a message does not parse"),
            Self::UnexpectedMessage(kind) => write!(f, "a handshake message of type {kind} is not due"),
            Self::UnexpectedRecord(kind) => write!(f, "a record of content type {kind} is not due"),
            Self::KeyChange => f.write_str("octets follow where a key changes"),
            Self::RecordOverflow => f.write_str("a record is longer than the limit"),
            Self::BadRecord => f.write_str("a record does not decrypt"),
            Self::IdleRecords => f.write_str("too many records without data"),
            Self::Illegal(field) => write!(f, "{field}: found a value that is not allowed"),
            Self::Missing(extension) => write!(f, "{extension}: found no such extension"),
            Self::Extension(kind) => write!(f, "extension {kind} was not offered or does not belong here"),
            Self::Version => f.write_str("the peer does not speak TLS 1.3"),
            Self::NoCommon(kind) => write!(f, "no common {kind}"),
            Self::ServerName => f.write_str("no server here has the name that was asked for"),
            Self::Protocol => f.write_str("no common application protocol"),
            Self::Finished => f.write_str("the Finished message is wrong"),
            Self::Binder => f.write_str("the binder of a pre-shared key is wrong"),
            Self::CertificateVerify => f.write_str("the CertificateVerify is wrong"),
            Self::NoClientCertificate => f.write_str("the client showed no certificate"),
            Self::NoServerCertificate => f.write_str("the server showed no certificate"),
        }
    }
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Certificate(error) => write!(f, "the peer's certificate {error}"),
            Self::Path(error) => error.fmt(f),
            Self::Denied(denied) => write!(f, "the peer is not let in: {denied}"),
            Self::Key => f.write_str("the key of the peer's certificate is of no accepted algorithm"),
            Self::TooMany => write!(f, "found more than {} certificates beside the peer's own", crate::MAX_SENT),
        }
    }
}

impl core::error::Error for Error {
    fn source(&self) -> Option<&(dyn core::error::Error + 'static)> {
        match self {
            Self::Refused(Refusal::Certificate(error)) => Some(error),
            Self::Refused(Refusal::Path(error)) => Some(error),
            Self::Refused(Refusal::Denied(denied)) => Some(denied),
            _ => None,
        }
    }
}
