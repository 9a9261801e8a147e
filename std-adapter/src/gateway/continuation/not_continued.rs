//! The reasons that a session ends with the certificates that it has.

use std::fmt;

/// The most keys that a session has run under; beyond, it is not continued.
pub(super) const MAX_KEYS: usize = 1024;

/// The reason that a session does not go on under newer certificates.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::gateway) enum NotContinued {
    /// The session has ended meanwhile.
    Over,
    /// The other end has not proved that the session is its own.
    Proof,
    /// The session's tunnel does not admit the peer.
    Peer(String),
    /// Another peer has shown the certificates.
    AnotherPeer,
    /// The session has run under too many keys to remember.
    Keys,
}

impl fmt::Display for NotContinued {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Over => f.write_str("it has ended"),
            Self::Proof => f.write_str("the other end's proof is false"),
            Self::Peer(reason) => f.write_str(reason),
            Self::AnotherPeer => {
                f.write_str("the certificate is of another peer: its rule, or its names, are not those of the session")
            }
            Self::Keys => write!(f, "it has run under {MAX_KEYS} keys, expected fewer"),
        }
    }
}
