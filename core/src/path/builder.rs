//! The search for a path.
use super::{Budget, PathError};
use crate::x509::Certificate;
use pki_types::{SignatureVerificationAlgorithm, UnixTime};
/// What the leaf is to be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Purpose {
    /// id-kp-serverAuth.
    ServerAuth,
    /// id-kp-clientAuth.
    ClientAuth,
}
/// Whom we believe, and what helps to get there.
#[derive(Clone, Copy, Debug)]
pub struct Trust<'t> {
    /// Trust anchors, as operators configure them.
    pub anchors: &'t [Certificate<'t>],
    /// Intermediates known beforehand, not trusted: they complete the chain of a peer that sends only its leaf.
    pub known_intermediates: &'t [Certificate<'t>],
    /// The signature algorithms that count.
    pub algorithms: &'t [&'t dyn SignatureVerificationAlgorithm],
}
impl<'t> Trust<'t> {
    /// Finds and checks a path from `leaf` to an anchor. `sent` is an unordered bag.
    pub fn verify<'p>(
        &self,
        _leaf: &Certificate<'p>,
        _sent: &[Certificate<'p>],
        _purpose: Purpose,
        _now: UnixTime,
        _budget: &mut Budget,
    ) -> Result<VerifiedPath<'p>, PathError> {
        todo!()
    }
}
/// Proof that a chain was verified; nothing else can make one.
#[derive(Clone, Copy, Debug)]
pub struct VerifiedPath<'p> {
    leaf: Certificate<'p>,
    purpose: Purpose,
    anchor: u16,
    valid_until: UnixTime,
    intermediates: u8,
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
    /// Index of the anchor in [`Trust::anchors`].
    pub fn anchor(&self) -> u16 {
        self.anchor
    }
    /// The earliest notAfter on the path.
    pub fn valid_until(&self) -> UnixTime {
        self.valid_until
    }
    /// How many certificates stand between leaf and anchor.
    pub fn intermediates(&self) -> u8 {
        self.intermediates
    }
}
