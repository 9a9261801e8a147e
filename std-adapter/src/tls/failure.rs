//! Sorts failed handshakes into a few kinds, for metrics: no peer can make up another one.

use edgetrust_core::path::PathErrorKind;

use super::alert::{is_alert, is_tls};
use super::{AcceptError, Refusal};

/// The kind of reason for a handshake that let no peer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum HandshakeFailure {
    /// The peer showed no certificate.
    NoCertificate,
    /// A certificate does not parse, or there are too many.
    Malformed,
    /// No path to an anchor was found.
    UnknownIssuer,
    /// A certificate has expired.
    Expired,
    /// A certificate is not valid yet, by this clock.
    NotYetValid,
    /// A key of the path is denied.
    DeniedKey,
    /// A signature does not verify.
    BadSignature,
    /// A name is outside the constraints of a CA.
    NameConstraint,
    /// Another rule of RFC 5280 is broken.
    Path,
    /// The certificate is for other server names.
    ServerName,
    /// The allow list does not have the peer.
    NotAllowed,
    /// The peer sent a fatal alert.
    Alert,
    /// The peer broke the protocol, or nothing could be agreed on.
    Protocol,
    /// The connection failed or ended.
    Network,
    /// It took too long.
    Deadline,
    /// A limit was reached, and a newer connection took the seat.
    Limit,
}

impl HandshakeFailure {
    /// All kinds, in the order of their counters.
    pub(crate) const ALL: [Self; 16] = [
        Self::NoCertificate,
        Self::Malformed,
        Self::UnknownIssuer,
        Self::Expired,
        Self::NotYetValid,
        Self::DeniedKey,
        Self::BadSignature,
        Self::NameConstraint,
        Self::Path,
        Self::ServerName,
        Self::NotAllowed,
        Self::Alert,
        Self::Protocol,
        Self::Network,
        Self::Deadline,
        Self::Limit,
    ];

    /// Returns the result and the reason in metrics: a verdict refused the peer, or there was none.
    pub(crate) fn names(self) -> (&'static str, &'static str) {
        match self {
            Self::NoCertificate => ("refused", "no_certificate"),
            Self::Malformed => ("refused", "malformed"),
            Self::UnknownIssuer => ("refused", "unknown_issuer"),
            Self::Expired => ("refused", "expired"),
            Self::NotYetValid => ("refused", "not_yet_valid"),
            Self::DeniedKey => ("refused", "denied_key"),
            Self::BadSignature => ("refused", "bad_signature"),
            Self::NameConstraint => ("refused", "name_constraint"),
            Self::Path => ("refused", "path"),
            Self::ServerName => ("refused", "server_name"),
            Self::NotAllowed => ("refused", "not_allowed"),
            Self::Alert => ("failed", "alert"),
            Self::Protocol => ("failed", "protocol"),
            Self::Network => ("failed", "network"),
            Self::Deadline => ("failed", "deadline"),
            Self::Limit => ("failed", "limit"),
        }
    }

    /// Returns the kind of an error; `None` for a client that left without a word, which is not counted.
    pub(crate) fn of(error: &AcceptError) -> Option<Self> {
        match error {
            AcceptError::Refused(refusal, _) => Some(refusal.into()),
            AcceptError::LeftSilently => None,
            AcceptError::Io(error) if is_alert(error) => Some(Self::Alert),
            AcceptError::Io(error) if is_tls(error) => Some(Self::Protocol),
            AcceptError::Io(_) => Some(Self::Network),
            AcceptError::Settings(_) => Some(Self::Protocol),
        }
    }
}

impl From<&Refusal> for HandshakeFailure {
    fn from(refusal: &Refusal) -> Self {
        match refusal {
            Refusal::NoCertificate => Self::NoCertificate,
            Refusal::TooManyCertificates(_) | Refusal::Parse(_) => Self::Malformed,
            Refusal::ServerName(_) => Self::ServerName,
            Refusal::Denied(_) => Self::NotAllowed,
            Refusal::Path(error) | Refusal::Unparsed(error, _) => match error.kind {
                PathErrorKind::UnknownIssuer
                | PathErrorKind::SelfSigned
                | PathErrorKind::AuthorityKeyIdentifier
                | PathErrorKind::Loop => Self::UnknownIssuer,
                PathErrorKind::Expired { .. } => Self::Expired,
                PathErrorKind::NotYetValid { .. } => Self::NotYetValid,
                PathErrorKind::KeyDenied(_) => Self::DeniedKey,
                PathErrorKind::BadSignature => Self::BadSignature,
                PathErrorKind::NameConstraint | PathErrorKind::MalformedName | PathErrorKind::IncomparableName => {
                    Self::NameConstraint
                }
                _ => Self::Path,
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_kind_has_a_name_of_its_own() {
        let mut names = HandshakeFailure::ALL.map(|kind| kind.names().1).to_vec();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), HandshakeFailure::ALL.len());
    }

    #[test]
    fn errors_of_tls_are_told_from_those_of_the_network() {
        let tls = |error| HandshakeFailure::of(&AcceptError::Io(std::io::Error::other(error)));
        let alert = rustls::Error::AlertReceived(rustls::AlertDescription::AccessDenied);
        assert_eq!(tls(alert), Some(HandshakeFailure::Alert));
        assert_eq!(tls(rustls::Error::DecryptError), Some(HandshakeFailure::Protocol));
        let ended = std::io::Error::from(std::io::ErrorKind::UnexpectedEof);
        assert_eq!(HandshakeFailure::of(&AcceptError::Io(ended)), Some(HandshakeFailure::Network));
        assert_eq!(HandshakeFailure::of(&AcceptError::LeftSilently), None);
    }
}
