//! Parses extensions (RFC 5280 section 4.2): one table of the extensions understood, one parser for each.

use super::error::{ParseError, ParseErrorKind};
use super::reader::{DerReader, Tlv, is_minimal_integer, tag};
use super::{GeneralName, GeneralNames, NameConstraints};

/// The largest number of extensions in a certificate; each is compared with all before it.
pub const MAX_EXTENSIONS: usize = 64;

/// The extensions this crate understands, each parsed and checked with the certificate.
#[derive(Clone, Copy, Debug, Default)]
pub struct Extensions<'a> {
    /// Basic constraints (RFC 5280 section 4.2.1.9).
    pub basic_constraints: Option<BasicConstraints>,
    /// Key usage (RFC 5280 section 4.2.1.3).
    pub key_usage: Option<KeyUsage>,
    /// Extended key usage (RFC 5280 section 4.2.1.12).
    pub extended_key_usage: Option<ExtendedKeyUsage<'a>>,
    /// Subject alternative name (RFC 5280 section 4.2.1.6).
    pub subject_alt_name: Option<GeneralNames<'a>>,
    /// Name constraints (RFC 5280 section 4.2.1.10).
    pub name_constraints: Option<NameConstraints<'a>>,
    /// Subject key identifier (RFC 5280 section 4.2.1.2).
    pub subject_key_identifier: Option<&'a [u8]>,
    /// Authority key identifier (RFC 5280 section 4.2.1.1).
    pub authority_key_identifier: Option<AuthorityKeyIdentifier<'a>>,
    /// Contents octets of the object identifier of the first critical extension that this crate does not process.
    pub unknown_critical: Option<&'a [u8]>,
    /// The subject alternative name extension is critical.
    pub subject_alt_name_critical: bool,
    /// The name constraints extension is critical.
    pub name_constraints_critical: bool,
    /// The basic constraints extension is critical.
    pub basic_constraints_critical: bool,
    /// Contents octets of the object identifier of the first extension that is critical and must not be: subject or
    /// authority key identifier, authority or subject information access (RFC 5280 sections 4.2.1.1, 4.2.1.2, 4.2.2.1,
    /// 4.2.2.2).
    pub wrongly_critical: Option<&'a [u8]>,
}

/// cA and pathLenConstraint (RFC 5280 section 4.2.1.9).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BasicConstraints {
    /// The subject may issue certificates.
    pub ca: bool,
    /// The number of non-self-issued intermediates that may follow; values above 255 are stored as 255.
    pub path_len: Option<u8>,
}

/// The key usage bits (RFC 5280 section 4.2.1.3); bit 0 (digitalSignature) is the lowest here.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyUsage(pub u16);

impl KeyUsage {
    /// digitalSignature (0).
    pub const DIGITAL_SIGNATURE: KeyUsage = KeyUsage(1);
    /// keyEncipherment (2).
    pub const KEY_ENCIPHERMENT: KeyUsage = KeyUsage(1 << 2);
    /// keyAgreement (4).
    pub const KEY_AGREEMENT: KeyUsage = KeyUsage(1 << 4);
    /// keyCertSign (5).
    pub const KEY_CERT_SIGN: KeyUsage = KeyUsage(1 << 5);
    /// cRLSign (6).
    pub const CRL_SIGN: KeyUsage = KeyUsage(1 << 6);

    /// Returns whether all bits of `other` are set.
    pub fn contains(self, other: KeyUsage) -> bool {
        self.0 & other.0 == other.0
    }

    /// Returns whether any bit of `other` is set.
    pub fn intersects(self, other: KeyUsage) -> bool {
        self.0 & other.0 != 0
    }
}

/// KeyPurposeIds (RFC 5280 section 4.2.1.12).
#[derive(Clone, Copy, Debug)]
pub struct ExtendedKeyUsage<'a>(&'a [u8]);

impl<'a> ExtendedKeyUsage<'a> {
    /// Returns the encoded purposes.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Returns the contents octets of each purpose's object identifier.
    pub fn purposes(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut reader = DerReader::new(self.0);
        core::iter::from_fn(move || Some(reader.again()?.value))
    }
}

/// The authority key identifier (RFC 5280 section 4.2.1.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct AuthorityKeyIdentifier<'a> {
    /// keyIdentifier.
    pub key_identifier: Option<&'a [u8]>,
    /// authorityCertIssuer is present.
    pub has_cert_issuer: bool,
    /// authorityCertSerialNumber is present.
    pub has_cert_serial: bool,
}

/// id-ce: 2.5.29
macro_rules! id_ce {
    ($arc:literal) => {
        [0x55, 0x1d, $arc]
    };
}

/// id-pe-authorityInfoAccess (RFC 5280 section 4.2.2.1)
const AUTHORITY_INFO_ACCESS: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x01];

/// id-pe-subjectInfoAccess (RFC 5280 section 4.2.2.2)
const SUBJECT_INFO_ACCESS: [u8; 8] = [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x01, 0x0b];

impl<'a> Extensions<'a> {
    /// Reads the SEQUENCE inside the `[3]` of a TBSCertificate or the SET of an extensionRequest, to its end.
    pub(crate) fn read(explicit: &mut DerReader<'a>) -> Result<Self, ParseError> {
        let mut list = explicit.enter(tag::SEQUENCE)?;
        explicit.end()?;
        let mut extensions = Self::default();
        let mut seen: heapless::Vec<&'a [u8], MAX_EXTENSIONS> = heapless::Vec::new();
        while !list.is_empty() {
            let mut one = list.enter(tag::SEQUENCE)?;
            let duplicate = one.fault(ParseErrorKind::DuplicateExtension);
            let oid = one.oid()?;
            // RFC 5280 section 4.2: not more than one instance of an extension
            if seen.contains(&oid) {
                return Err(duplicate);
            }
            seen.push(oid).map_err(|_| ParseError { kind: ParseErrorKind::TooManyExtensions, ..duplicate })?;
            let critical = one.true_or_absent()?;
            let value = one.require(tag::OCTET_STRING)?;
            one.end()?;
            extensions.take(oid, critical, &one, &value)?;
        }
        Ok(extensions)
    }

    fn take(
        &mut self,
        oid: &'a [u8],
        critical: bool,
        parent: &DerReader<'a>,
        value: &Tlv<'a>,
    ) -> Result<(), ParseError> {
        let mut reader = parent.inside(value)?;
        let reader = &mut reader;
        match oid {
            id_ce!(14) => {
                self.subject_key_identifier = Some(in_full(reader, subject_key_identifier)?);
                self.note_wrongly_critical(oid, critical);
            }
            id_ce!(15) => self.key_usage = Some(in_full(reader, key_usage)?),
            id_ce!(17) => {
                self.subject_alt_name = Some(in_full(reader, GeneralNames::read)?);
                self.subject_alt_name_critical = critical;
            }
            id_ce!(19) => {
                self.basic_constraints = Some(in_full(reader, basic_constraints)?);
                self.basic_constraints_critical = critical;
            }
            id_ce!(30) => {
                self.name_constraints = Some(in_full(reader, NameConstraints::read)?);
                self.name_constraints_critical = critical;
            }
            // RFC 5280 section 6.1.5 (g): without an initial policy set or a demand for an explicit policy, the
            // certificate policies extension cannot make a path invalid
            id_ce!(32) => {}
            id_ce!(35) => {
                self.authority_key_identifier = Some(in_full(reader, authority_key_identifier)?);
                self.note_wrongly_critical(oid, critical);
            }
            id_ce!(37) => self.extended_key_usage = Some(in_full(reader, extended_key_usage)?),
            oid if oid == AUTHORITY_INFO_ACCESS || oid == SUBJECT_INFO_ACCESS => {
                in_full(reader, information_access)?;
                self.note_wrongly_critical(oid, critical);
            }
            // RFC 5280 section 4.2.1.11: policy constraints are always critical, even where they are not marked so
            id_ce!(36) if self.unknown_critical.is_none() => self.unknown_critical = Some(oid),
            _ if critical && self.unknown_critical.is_none() => self.unknown_critical = Some(oid),
            _ => {}
        }
        // RFC 5280 section 4.2: the value of every extension in that section is the DER of one value
        if let [0x55, 0x1d, _] = oid {
            let mut whole = parent.inside(value)?;
            whole.tlv()?;
            whole.end()?;
        }
        Ok(())
    }

    fn note_wrongly_critical(&mut self, oid: &'a [u8], critical: bool) {
        if critical && self.wrongly_critical.is_none() {
            self.wrongly_critical = Some(oid);
        }
    }
}

/// Runs a parser and rejects data after the parsed value.
fn in_full<'a, T>(
    reader: &mut DerReader<'a>,
    parse: impl FnOnce(&mut DerReader<'a>) -> Result<T, ParseError>,
) -> Result<T, ParseError> {
    let parsed = parse(reader)?;
    reader.end()?;
    Ok(parsed)
}

fn subject_key_identifier<'a>(reader: &mut DerReader<'a>) -> Result<&'a [u8], ParseError> {
    let malformed = reader.fault(ParseErrorKind::SubjectKeyIdentifier);
    match reader.require(tag::OCTET_STRING).map_err(|_| malformed)?.value {
        [] => Err(malformed),
        identifier => Ok(identifier),
    }
}

fn basic_constraints(reader: &mut DerReader<'_>) -> Result<BasicConstraints, ParseError> {
    let malformed = reader.fault(ParseErrorKind::BasicConstraints);
    let mut fields = reader.enter(tag::SEQUENCE).map_err(|_| malformed)?;
    let ca = fields.true_or_absent().map_err(|_| malformed)?;
    let path_len = match fields.optional(tag::INTEGER).map_err(|_| malformed)? {
        None => None,
        // Accepted without cA too: RFC 5280 section 4.2.1.9 forbids CAs to write this, but no path uses the value
        Some(Tlv { value, .. }) => Some(non_negative_capped(value).ok_or(malformed)?),
    };
    fields.end().map_err(|_| malformed)?;
    Ok(BasicConstraints { ca, path_len })
}

/// Reads a path length, as 255 if the value is larger.
fn non_negative_capped(value: &[u8]) -> Option<u8> {
    if !is_minimal_integer(value) || value.first().is_some_and(|octet| octet & 0x80 != 0) {
        return None;
    }
    match value {
        [n] | [0, n] => Some(*n),
        _ => Some(u8::MAX),
    }
}

fn key_usage(reader: &mut DerReader<'_>) -> Result<KeyUsage, ParseError> {
    let malformed = reader.fault(ParseErrorKind::KeyUsage);
    let bits = reader.require(tag::BIT_STRING).map_err(|_| malformed)?.value;
    let (unused, first, second, last) = match *bits {
        [unused, first] => (unused, first, 0, first),
        // Key usage has nine named bits.
        [unused, first, second, .., last] => (unused, first, second, last),
        [unused, first, second] => (unused, first, second, second),
        _ => return Err(malformed),
    };
    // X.690 section 11.2.1: unused bits are zero. Trailing zero bits of the list, which X.690 section 11.2.2 forbids,
    // are accepted: roots in use have them, without meaning. RFC 5280 section 4.2.1.3 demands at least one bit.
    if unused > 7 || u32::from(unused) > last.trailing_zeros() || first | second == 0 {
        return Err(malformed);
    }
    Ok(KeyUsage(u16::from(first.reverse_bits()) | u16::from(second.reverse_bits()) << 8))
}

fn extended_key_usage<'a>(reader: &mut DerReader<'a>) -> Result<ExtendedKeyUsage<'a>, ParseError> {
    let malformed = reader.fault(ParseErrorKind::ExtendedKeyUsage);
    let mut purposes = reader.enter(tag::SEQUENCE).map_err(|_| malformed)?;
    let contents = purposes.rest();
    // RFC 5280 section 4.2.1.12: at least one purpose
    if contents.is_empty() {
        return Err(malformed);
    }
    while !purposes.is_empty() {
        purposes.oid().map_err(|_| malformed)?;
    }
    Ok(ExtendedKeyUsage(contents))
}

pub(crate) fn authority_key_identifier<'a>(
    reader: &mut DerReader<'a>,
) -> Result<AuthorityKeyIdentifier<'a>, ParseError> {
    let malformed = reader.fault(ParseErrorKind::AuthorityKeyIdentifier);
    let mut fields = reader.enter(tag::SEQUENCE).map_err(|_| malformed)?;
    let key_identifier = fields.optional(tag::context(0)).map_err(|_| malformed)?.map(|tlv| tlv.value);
    let issuer = fields.optional(tag::context_constructed(1)).map_err(|_| malformed)?;
    let serial = fields.optional(tag::context(2)).map_err(|_| malformed)?;
    fields.end().map_err(|_| malformed)?;
    // RFC 5280 section 4.2.1.1: issuer and serial number come together
    if issuer.is_some() != serial.is_some() || key_identifier.is_some_and(<[u8]>::is_empty) {
        return Err(malformed);
    }
    Ok(AuthorityKeyIdentifier { key_identifier, has_cert_issuer: issuer.is_some(), has_cert_serial: serial.is_some() })
}

/// Checks the syntax of an AuthorityInfoAccessSyntax or SubjectInfoAccessSyntax (RFC 5280 section 4.2.2), which
/// decides nothing. An empty one is accepted, as other parsers do.
fn information_access(reader: &mut DerReader<'_>) -> Result<(), ParseError> {
    let malformed = reader.fault(ParseErrorKind::InformationAccess);
    let mut descriptions = reader.enter(tag::SEQUENCE).map_err(|_| malformed)?;
    while !descriptions.is_empty() {
        let mut description = descriptions.enter(tag::SEQUENCE).map_err(|_| malformed)?;
        description.oid().map_err(|_| malformed)?;
        GeneralName::read(&mut description).map_err(|_| malformed)?;
        description.end().map_err(|_| malformed)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;

    fn parse<T>(der: &[u8], parse: fn(&mut DerReader<'_>) -> Result<T, ParseError>) -> Option<T> {
        let mut reader = DerReader::new(der);
        let parsed = parse(&mut reader).ok()?;
        reader.end().ok()?;
        Some(parsed)
    }

    #[test]
    fn basic_constraints_table() {
        let good = |ca, path_len| Some(BasicConstraints { ca, path_len });
        for (der, expected) in [
            (&[0x30, 0x00][..], good(false, None)),
            (&[0x30, 0x03, 0x01, 0x01, 0xff], good(true, None)),
            (&[0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0x02], good(true, Some(2))),
            (&[0x30, 0x07, 0x01, 0x01, 0xff, 0x02, 0x02, 0x00, 0x80], good(true, Some(128))),
            (&[0x30, 0x07, 0x01, 0x01, 0xff, 0x02, 0x02, 0x01, 0x00], good(true, Some(255))),
            (&[0x30, 0x06, 0x01, 0x01, 0xff, 0x02, 0x01, 0xff], None),
            (&[0x30, 0x03, 0x01, 0x01, 0x00], None),
            (&[0x30, 0x03, 0x01, 0x01, 0x01], None),
            (&[0x30, 0x03, 0x02, 0x01, 0x00], good(false, Some(0))),
            (&[0x30, 0x03, 0x02, 0x01, 0xff], None),
            (&[0x30, 0x01, 0x01], None),
        ] {
            assert_eq!(parse(der, basic_constraints), expected, "{der:02x?}");
        }
    }

    #[test]
    fn information_access_table() {
        let uri = [0x86, 0x02, b'a', b':'];
        let one = [&[0x30, 0x08, 0x06, 0x02, 0x2b, 0x06][..], &uri].concat();
        for (der, good) in [
            ([&[0x30, 0x0a][..], &one].concat(), true),
            ([&[0x30, 0x14][..], &one, &one].concat(), true),
            (std::vec![0x30, 0x00], true),
            (std::vec![0x04, 0x00], false),
            (std::vec![0x30, 0x02, 0x30, 0x00], false),
            (std::vec![0x30, 0x06, 0x30, 0x04, 0x06, 0x02, 0x2b, 0x06], false),
            ([&[0x30, 0x06, 0x30, 0x04][..], &uri].concat(), false),
            ([&[0x30, 0x08][..], &one[2..]].concat(), false),
            ([&[0x30, 0x0a, 0x30, 0x08, 0x06, 0x02, 0x2b, 0x06, 0x86, 0x02, 0xc3, 0xbc][..]].concat(), false),
            ([&[0x30, 0x0a, 0x30, 0x08, 0x06, 0x02, 0x2b, 0x06, 0x8f, 0x02, b'a', b':'][..]].concat(), false),
            ([&[0x30, 0x0c, 0x30, 0x0a, 0x06, 0x02, 0x2b, 0x06][..], &uri, &[0x05, 0x00]].concat(), false),
        ] {
            assert_eq!(parse(&der, information_access).is_some(), good, "{der:02x?}");
        }
    }

    #[test]
    fn key_usage_table() {
        for (der, expected) in [
            (&[0x03, 0x02, 0x07, 0x80][..], Some(KeyUsage::DIGITAL_SIGNATURE)),
            (&[0x03, 0x02, 0x02, 0x04], Some(KeyUsage::KEY_CERT_SIGN)),
            (&[0x03, 0x03, 0x07, 0x00, 0x80], Some(KeyUsage(1 << 8))),
            (&[0x03, 0x02, 0x01, 0x06], Some(KeyUsage(3 << 5))),
            (&[0x03, 0x02, 0x00, 0x04], Some(KeyUsage::KEY_CERT_SIGN)),
            (&[0x03, 0x03, 0x07, 0x84, 0x00], Some(KeyUsage(1 | 1 << 5))),
            (&[0x03, 0x05, 0x00, 0x80, 0x00, 0x00, 0x00], Some(KeyUsage::DIGITAL_SIGNATURE)),
            (&[0x03, 0x02, 0x03, 0x84], None),
            (&[0x03, 0x02, 0x08, 0x80], None),
            (&[0x03, 0x03, 0x00, 0x00, 0x00], None),
            (&[0x03, 0x02, 0x07, 0x00], None),
            (&[0x03, 0x01, 0x00], None),
        ] {
            assert_eq!(parse(der, key_usage), expected, "{der:02x?}");
        }
    }
}
