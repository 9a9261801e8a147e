//! The reasons that a session ends with the certificates that it has.

use std::fmt;

/// The most octets of certificates that sessions are continued under. Each session judges them, and may do so anew.
pub(super) const MAX_CHAIN: usize = 16 * 1024;
/// The most keys that a session has run under; beyond, it is not continued.
pub(super) const MAX_KEYS: usize = 1024;

/// The reason that a session does not go on under newer certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum NotContinued {
    /// The session has ended meanwhile, or does not answer.
    Over,
    /// The other end does not know it, or refuses to continue it.
    LeftOut,
    /// Another request has taken the place of this one.
    Displaced,
    /// It was continued a moment ago.
    Soon,
    /// It is older than it may become.
    Age,
    /// The certificates have this many octets.
    Long(usize),
    /// The other end has not proved that the session is its own.
    Proof,
    /// The session's tunnel does not admit the peer.
    Peer(String),
    /// Another peer has shown the certificates.
    AnotherPeer,
    /// The session has run under too many keys to remember.
    Keys,
}

impl NotContinued {
    /// Returns whether nobody has to hear of it: sessions end, and requests cross.
    pub(super) fn is_ordinary(&self) -> bool {
        matches!(self, Self::Over | Self::Displaced | Self::Soon)
    }
}

impl fmt::Display for NotContinued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over => f.write_str("it has ended, or does not answer"),
            Self::LeftOut => f.write_str("the gateway that answers does not know it, or refuses it: see its log"),
            Self::Displaced => f.write_str("another request to continue it came meanwhile"),
            Self::Soon => f.write_str("it was continued a moment ago"),
            Self::Age => f.write_str("it is as old as limits.session_max_age lets it become"),
            Self::Long(octets) => write!(f, "the certificates have {octets} octets, expected at most {MAX_CHAIN}"),
            Self::Proof => f.write_str("the other end's proof is false"),
            Self::Peer(reason) => f.write_str(reason),
            Self::AnotherPeer => {
                f.write_str("the certificate is of another peer: its rule, or its names, are not those of the session")
            }
            Self::Keys => write!(f, "it has run under {MAX_KEYS} keys, expected fewer"),
        }
    }
}
