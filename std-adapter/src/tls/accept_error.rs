//! Says why a connection was not established.

use std::fmt;
use std::io;

use super::bounded::LeftSilently;
use super::handshake::Handshake;
use super::{Refusal, ShownCertificate, TlsError, refusal};

/// The reason a connection was not established.
#[derive(Debug)]
pub enum AcceptError {
    /// The peer was judged and refused. Holds the certificate that the peer showed, if any.
    Refused(Refusal, Option<Box<ShownCertificate>>),
    /// The client left without sending an octet, as health checks do.
    LeftSilently,
    /// TLS or the network failed.
    Io(io::Error),
    /// The settings can no longer be used.
    Settings(TlsError),
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal, _) => refusal.fmt(f),
            Self::LeftSilently => LeftSilently.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AcceptError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Self::Refused(refusal, _) => Some(refusal),
            Self::LeftSilently => None,
            Self::Io(error) => Some(error),
            Self::Settings(error) => Some(error),
        }
    }
}

impl AcceptError {
    /// Returns the certificate that a refused peer showed.
    pub fn shown(&self) -> Option<&ShownCertificate> {
        match self {
            Self::Refused(_, shown) => shown.as_deref(),
            _ => None,
        }
    }

    /// Returns whether the refused peer's certificate has a path to a trust anchor; the key may be unproved.
    #[cfg(feature = "cli")]
    pub(crate) fn is_of_verified(&self) -> bool {
        matches!(self, Self::Refused(Refusal::Denied(_) | Refusal::ServerName(_), _))
    }

    /// Returns the error of a failed handshake, with the findings of its verifiers.
    pub(super) fn failed(error: io::Error, found: &mut Handshake) -> Self {
        let shown = found.shown.take();
        match found.refused.take() {
            Some(refusal) => Self::Refused(refusal, shown),
            None => match Self::from(error) {
                Self::Refused(refusal, _) => Self::Refused(refusal, shown),
                other => other,
            },
        }
    }

    /// Returns the error for a peer that is refused after its handshake.
    pub(super) fn refused(refusal: Refusal, connection: &rustls::CommonState) -> Self {
        let leaf = connection.peer_certificates().and_then(<[_]>::first);
        Self::Refused(refusal, leaf.map(|leaf| Box::new(ShownCertificate::new(leaf))))
    }
}

impl From<io::Error> for AcceptError {
    /// Extracts the core's refusal, if there is one; otherwise keeps the error of TLS or the system.
    fn from(error: io::Error) -> Self {
        if error.get_ref().is_some_and(|error| error.is::<LeftSilently>()) {
            return Self::LeftSilently;
        }
        let rustls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match rustls.and_then(refusal) {
            Some(refusal) => Self::Refused(refusal.clone(), None),
            None => Self::Io(error),
        }
    }
}

impl From<AcceptError> for io::Error {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Refused(refusal, _) => Self::new(io::ErrorKind::PermissionDenied, refusal),
            AcceptError::LeftSilently => Self::new(io::ErrorKind::UnexpectedEof, LeftSilently),
            AcceptError::Io(error) => error,
            AcceptError::Settings(error) => Self::other(error),
        }
    }
}
