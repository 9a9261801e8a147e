//! Says what the two ends of a finished handshake agreed on, in the words of metrics.

use rustls::{CommonState, NamedGroup};

use super::streams::{is_resumed, version_name};

/// The parameters that the two ends of a handshake agreed on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// The place of the version in [`Agreed::VERSIONS`].
    pub version: usize,
    /// The place of the key-exchange group in [`Agreed::GROUPS`].
    pub group: usize,
    /// True if a session was resumed.
    pub resumed: bool,
}

/// The groups that our providers have (RFC 8446 section 4.2.7), as IANA names them.
const KNOWN: [(NamedGroup, &str); 5] = [
    (NamedGroup::X25519MLKEM768, "X25519MLKEM768"),
    (NamedGroup::X25519, "x25519"),
    (NamedGroup::secp256r1, "secp256r1"),
    (NamedGroup::secp384r1, "secp384r1"),
    (NamedGroup::secp521r1, "secp521r1"),
];

impl Agreed {
    /// The names of versions; the last one is for what has no name here.
    pub(crate) const VERSIONS: [&str; 3] = ["TLSv1.2", "TLSv1.3", "other"];
    /// The names of groups: those of [`KNOWN`], another one, and none, as in a resumed TLS 1.2 session.
    pub(crate) const GROUPS: [&str; 7] = [KNOWN[0].1, KNOWN[1].1, KNOWN[2].1, KNOWN[3].1, KNOWN[4].1, "other", "none"];

    /// Returns what a connection has agreed on.
    pub(crate) fn of(connection: &CommonState) -> Self {
        let version = version_name(connection).unwrap_or("other");
        let group = connection.negotiated_key_exchange_group().map(rustls::crypto::SupportedKxGroup::name);
        let group = match group {
            None => "none",
            Some(name) => KNOWN.iter().find(|(known, _)| *known == name).map_or("other", |(_, name)| name),
        };
        let place = |all: &[&str], name: &str| all.iter().position(|known| *known == name).unwrap_or_default();
        Self {
            version: place(&Self::VERSIONS, version),
            group: place(&Self::GROUPS, group),
            resumed: is_resumed(connection),
        }
    }
}
