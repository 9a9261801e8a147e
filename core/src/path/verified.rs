//! The proof that a chain was verified.

use pki_types::UnixTime;

use super::builder::MAX_INTERMEDIATES;
use super::{Anchor, Place, Purpose, Role};
use crate::x509::{Certificate, Work};

/// Proof that a chain was verified. [`Trust::verify`](super::Trust::verify) makes one, and nothing else does.
#[derive(Clone, Debug)]
pub struct VerifiedPath<'p> {
    pub(super) leaf: Certificate<'p>,
    pub(super) purpose: Purpose,
    pub(super) issuers: heapless::Vec<Place, { MAX_INTERMEDIATES + 1 }>,
    pub(super) valid_until: UnixTime,
    /// What is left for comparing its names with those that are let in.
    pub(super) work: Work,
    pub(super) anchors: &'p [Anchor<'p>],
    pub(super) pinned: bool,
    pub(super) common_name_permitted: bool,
}

impl<'p> VerifiedPath<'p> {
    /// The leaf.
    pub fn leaf(&self) -> &Certificate<'p> {
        &self.leaf
    }

    /// What was verified.
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// The leaf's issuer first, the anchor last; a pinned leaf has only the anchor, itself.
    pub fn issuers(&self) -> &[Place] {
        &self.issuers
    }

    /// The earliest notAfter on the path.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }

    /// The work that the search has left.
    pub(crate) fn work(&self) -> Work {
        self.work
    }

    /// The leaf is a pin.
    pub fn is_pinned(&self) -> bool {
        self.pinned
    }

    /// The pins that it was verified beside.
    pub fn pins(&self) -> impl Iterator<Item = &'p Certificate<'p>> + use<'p> {
        pins(self.anchors)
    }

    /// Whether the dNSName constraints of its CAs permit a common name that has a dot; decided for [`Purpose::ClientAuth`] only, since no
    /// server is known by its common name (RFC 9525 section 2).
    pub fn is_common_name_permitted(&self) -> bool {
        self.common_name_permitted
    }
}

pub(super) fn pins<'a>(anchors: &'a [Anchor<'a>]) -> impl Iterator<Item = &'a Certificate<'a>> {
    anchors.iter().filter(|anchor| anchor.role() == Role::Pin).map(Anchor::certificate)
}
