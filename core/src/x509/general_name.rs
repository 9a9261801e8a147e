//! General names (RFC 5280 section 4.2.1.6) and name constraints (section 4.2.1.10).
use super::Name;
/// One GeneralName.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum GeneralName<'a> {
    /// otherName: contents octets.
    Other(&'a [u8]),
    /// rfc822Name, IA5String.
    Rfc822(&'a str),
    /// dNSName, IA5String.
    Dns(&'a str),
    /// directoryName.
    Directory(Name<'a>),
    /// uniformResourceIdentifier, IA5String.
    Uri(&'a str),
    /// iPAddress: 4 or 16 octets in a certificate, 8 or 32 in a constraint.
    Ip(&'a [u8]),
    /// x400Address, ediPartyName or registeredID: tag octet and contents.
    Unsupported(u8, &'a [u8]),
}
/// Iterates over GeneralNames that were checked when the certificate was parsed.
#[derive(Clone, Copy, Debug)]
pub struct GeneralNames<'a>(pub(super) &'a [u8]);
/// Iterates over the bases of GeneralSubtrees.
#[derive(Clone, Copy, Debug)]
pub struct GeneralSubtrees<'a>(pub(super) &'a [u8]);
/// The name constraints extension.
#[derive(Clone, Copy, Debug)]
pub struct NameConstraints<'a> {
    /// permittedSubtrees (empty iterator where absent).
    pub permitted: GeneralSubtrees<'a>,
    /// excludedSubtrees.
    pub excluded: GeneralSubtrees<'a>,
}
impl<'a> Iterator for GeneralNames<'a> {
    type Item = GeneralName<'a>;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
impl<'a> Iterator for GeneralSubtrees<'a> {
    type Item = GeneralName<'a>;
    fn next(&mut self) -> Option<Self::Item> { todo!() }
}
