//! Extensions (RFC 5280 section 4.2).
use super::{GeneralNames, NameConstraints};
/// The extensions this crate understands, each parsed and checked with the certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a> {
    /// Basic constraints (section 4.2.1.9).
    pub basic_constraints: Option<BasicConstraints>,
    /// Key usage (section 4.2.1.3).
    pub key_usage: Option<KeyUsage>,
    /// Extended key usage (section 4.2.1.12).
    pub extended_key_usage: Option<ExtendedKeyUsage<'a>>,
    /// Subject alternative name (section 4.2.1.6).
    pub subject_alt_name: Option<GeneralNames<'a>>,
    /// Name constraints (section 4.2.1.10).
    pub name_constraints: Option<NameConstraints<'a>>,
    /// Subject key identifier (section 4.2.1.2).
    pub subject_key_identifier: Option<&'a [u8]>,
    /// Authority key identifier (section 4.2.1.1).
    pub authority_key_identifier: Option<AuthorityKeyIdentifier<'a>>,
    /// OID contents of the first critical extension that this crate does not process (policies and policy constraints are such).
    pub unknown_critical: Option<&'a [u8]>,
    /// Whether the subject alternative name extension is critical.
    pub subject_alt_name_critical: bool,
    /// Whether the name constraints extension is critical.
    pub name_constraints_critical: bool,
    /// Whether the basic constraints extension is critical.
    pub basic_constraints_critical: bool,
}
/// cA and pathLenConstraint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// May issue certificates.
    pub ca: bool,
    /// How many non-self-issued intermediates may follow; values above 255 are held as 255.
    pub path_len: Option<u8>,
}
/// The key usage bits; bit 0 (digitalSignature) is the lowest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(pub u16);
impl KeyUsage {
    /// digitalSignature (0).
    pub const DIGITAL_SIGNATURE: KeyUsage = KeyUsage(1);
    /// keyCertSign (5).
    pub const KEY_CERT_SIGN: KeyUsage = KeyUsage(1 << 5);
    /// Whether all bits of `other` are set.
    pub fn contains(self, other: KeyUsage) -> bool { self.0 & other.0 == other.0 }
}
/// KeyPurposeIds.
#[derive(Clone, Copy, Debug)]
pub struct ExtendedKeyUsage<'a>(pub(super) &'a [u8]);
impl<'a> ExtendedKeyUsage<'a> {
    /// Contents octets of each purpose's object identifier.
    pub fn purposes(&self) -> impl Iterator<Item = &'a [u8]> { core::iter::empty() }
}
/// The authority key identifier.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityKeyIdentifier<'a> {
    /// keyIdentifier.
    pub key_identifier: Option<&'a [u8]>,
    /// authorityCertIssuer is there.
    pub has_cert_issuer: bool,
    /// authorityCertSerialNumber is there.
    pub has_cert_serial: bool,
}
