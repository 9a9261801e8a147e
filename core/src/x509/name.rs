//! Distinguished names (RFC 5280 section 4.1.2.4).
/// A Name: the contents octets of the RDNSequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(pub(super) &'a [u8]);
/// One AttributeTypeAndValue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Contents octets of the object identifier.
    pub oid: &'a [u8],
    /// Tag octet of the value (0x0c UTF8String, 0x13 PrintableString, 0x14 TeletexString, 0x16 IA5String, 0x1e BMPString, 0x1c UniversalString).
    pub tag: u8,
    /// Contents octets of the value.
    pub value: &'a [u8],
    /// Index of the RDN it belongs to.
    pub rdn: u16,
}
/// Iterates over the attributes of a name in order.
#[derive(Clone, Debug)]
pub struct Attributes<'a> { _rest: &'a [u8] }
impl<'a> Name<'a> {
    /// Contents octets of the RDNSequence.
    pub fn as_bytes(&self) -> &'a [u8] { self.0 }
    /// No RDN at all.
    pub fn is_empty(&self) -> bool { self.0.is_empty() }
    /// All attributes in order.
    pub fn attributes(&self) -> Attributes<'a> { todo!() }
    /// The commonName attributes.
    pub fn common_names(&self) -> impl Iterator<Item = Attribute<'a>> { core::iter::empty() }
    /// Whether two names match (RFC 5280 section 7.1).
    pub fn matches(&self, _other: &Name<'_>) -> bool { todo!() }
    /// Whether `self` lies within the subtree `base`: the RDNs of `base` are a prefix (RFC 5280 section 4.2.1.10).
    pub fn is_within(&self, _base: &Name<'_>) -> bool { todo!() }
}
impl<'a> Attribute<'a> {
    /// The decoded characters; an `Err(())` item (and the end) where the encoding is not valid.
    pub fn chars(&self) -> impl Iterator<Item = Result<char, ()>> + 'a { core::iter::empty() }
}
impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;
    fn next(&mut self) -> Option<Attribute<'a>> { todo!() }
}
/// Human form in the order of RFC 4514 (`CN=location-b,O=Mesh`), control characters escaped.
impl core::fmt::Display for Name<'_> {
    fn fmt(&self, _f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result { todo!() }
}
