//! The permission to carry a connection's octets.

use std::sync::Arc;

use super::Peer;

/// The permission to carry a connection's octets: an authorized peer, or a side that authenticates nobody.
#[derive(Clone, Debug)]
pub enum Admission {
    /// The peer is authorized.
    Peer(Arc<Peer>),
    /// This side authenticates nobody.
    Anyone(Anyone),
}

/// The marker of a side that authenticates nobody. Settings without authentication make it, and nobody else can:
///
/// ```compile_fail,E0423
/// let skipped = edgetrust::tls::Anyone(());
/// ```
#[derive(Clone, Copy, Debug)]
pub struct Anyone(());

impl Anyone {
    /// Admits a peer of which the settings ask nothing: a client without a certificate where none is required, a peer
    /// that is not verified, a client of a plaintext tunnel.
    pub(crate) fn admitted() -> Admission {
        Admission::Anyone(Self(()))
    }
}

impl Admission {
    /// Returns the authorized peer, or `None` if no certificate was requested or shown.
    pub fn peer(&self) -> Option<&Arc<Peer>> {
        match self {
            Self::Peer(peer) => Some(peer),
            Self::Anyone(_) => None,
        }
    }
}
