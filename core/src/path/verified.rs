//! The proof that a chain was verified.

use pki_types::UnixTime;

use super::{Anchor, Purpose, Role};
use crate::x509::{Certificate, SubjectPublicKeyInfo, Work};

/// The largest number of intermediates in a path, including self-issued ones; [`super::Limits`] sets the bound in use.
pub const MAX_INTERMEDIATES: usize = 16;

/// The place where a certificate of a path was found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Place {
    /// Index in [`Trust::anchors`](super::Trust::anchors).
    Anchor(u16),
    /// Index in the certificates that the peer sent.
    Sent(u16),
    /// Index in [`Trust::known_intermediates`](super::Trust::known_intermediates).
    Known(u16),
}

/// Proof that a chain was verified. Only [`Trust::verify`](super::Trust::verify) makes one.
#[derive(Clone, Debug)]
pub struct VerifiedPath<'p> {
    pub(super) leaf: Certificate<'p>,
    pub(super) purpose: Purpose,
    pub(super) issuers: heapless::Vec<Place, { MAX_INTERMEDIATES + 1 }>,
    /// The key of the leaf's issuer; none for a pin.
    pub(super) issuer_key: Option<SubjectPublicKeyInfo<'p>>,
    pub(super) valid_until: UnixTime,
    #[cfg(feature = "crl")]
    pub(super) lists_until: Option<UnixTime>,
    /// The work left for comparing the leaf's names with an allow list.
    pub(super) work: Work,
    pub(super) anchors: &'p [Anchor<'p>],
    pub(super) pinned: bool,
    pub(super) common_name_permitted: bool,
}

impl<'p> VerifiedPath<'p> {
    /// Returns the leaf.
    pub fn leaf(&self) -> &Certificate<'p> {
        &self.leaf
    }

    /// Returns the purpose for which the path was verified.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// Returns the issuers, the leaf's first and the anchor last; for a pinned leaf, only the leaf's own anchor.
    pub fn issuers(&self) -> &[Place] {
        &self.issuers
    }

    /// Returns the key that verifies the leaf's signature, or `None` for a pinned leaf, whose signature proves nothing.
    pub fn issuer_key(&self) -> Option<&SubjectPublicKeyInfo<'p>> {
        self.issuer_key.as_ref()
    }

    /// Returns the earliest notAfter on the path.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// Returns the earliest end of the revocation lists that the path was checked by, or `None` without lists.
    #[cfg(feature = "crl")]
    pub fn lists_until(&self) -> Option<UnixTime> {
        self.lists_until
    }

    /// Returns the work that the search has left.
    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// Returns whether the leaf is a pin.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// Returns the pins among the configured anchors.
    pub fn pins(&self) -> impl Iterator<Item = &'p Certificate<'p>> + use<'p> {
        pins(self.anchors)
    }

    /// Returns whether the CAs' dNSName constraints permit every common name that has a dot. This is decided for
    /// [`Purpose::ClientAuth`] only, since no server is known by its common name (RFC 9525 section 2).
    pub fn is_common_name_permitted(&self) -> bool {
        self.common_name_permitted
    }
}

pub(super) fn pins<'a>(anchors: &'a [Anchor<'a>]) -> impl Iterator<Item = &'a Certificate<'a>> {
    anchors.iter().filter(|anchor| anchor.role() == Role::Pin).map(Anchor::certificate)
}
