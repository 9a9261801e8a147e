//! The certificate (RFC 5280 section 4.1).
use super::{Extensions, Name, ParseError};
use pki_types::UnixTime;

/// A borrowed view: every field is a slice of the DER it was parsed from.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    der: &'a [u8],
    tbs: &'a [u8],
    serial: &'a [u8],
    issuer: Name<'a>,
    subject: Name<'a>,
    validity: Validity,
    spki: SubjectPublicKeyInfo<'a>,
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
    extensions: Extensions<'a>,
}
/// From when to when (RFC 5280 section 4.1.2.5), both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
}
/// The subject's key (RFC 5280 section 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo<'a> {
    /// Contents of the AlgorithmIdentifier SEQUENCE, as `pki_types::AlgorithmIdentifier` compares them.
    pub algorithm: &'a [u8],
    /// The bits of the key, without the unused-bits octet.
    pub public_key: &'a [u8],
    /// The whole SubjectPublicKeyInfo, header included.
    pub der: &'a [u8],
}
impl<'a> Certificate<'a> {
    /// Parses one certificate; nothing may follow it.
    pub fn from_der(_der: &'a [u8]) -> Result<Self, ParseError> { todo!() }
    /// The DER it was parsed from.
    pub fn der(&self) -> &'a [u8] { self.der }
    /// The TBSCertificate, header included: what the signature covers.
    pub fn tbs(&self) -> &'a [u8] { self.tbs }
    /// Contents octets of serialNumber.
    pub fn serial(&self) -> &'a [u8] { self.serial }
    /// Who signed.
    pub fn issuer(&self) -> Name<'a> { self.issuer }
    /// Whom it is about.
    pub fn subject(&self) -> Name<'a> { self.subject }
    /// From when to when.
    pub fn validity(&self) -> Validity { self.validity }
    /// The subject's key.
    pub fn subject_public_key_info(&self) -> SubjectPublicKeyInfo<'a> { self.spki }
    /// Contents of the signatureAlgorithm SEQUENCE.
    pub fn signature_algorithm(&self) -> &'a [u8] { self.signature_algorithm }
    /// The bits of the signature.
    pub fn signature(&self) -> &'a [u8] { self.signature }
    /// The extensions.
    pub fn extensions(&self) -> &Extensions<'a> { &self.extensions }
    /// Issuer and subject are the same name (RFC 5280 section 6.1).
    pub fn is_self_issued(&self) -> bool { todo!() }
}
