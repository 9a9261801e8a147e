//! Parses distinguished names (RFC 5280 section 4.1.2.4) and compares them (RFC 5280 section 7.1).

use core::fmt::{self, Write};

use super::comparison::{Comparison, UndecodableString, is_settled};
use super::error::{ParseError, ParseErrorKind};
use super::reader::{DerReader, Tlv, tag};
use super::work::{Exhausted, Work};

/// The largest number of attributes in an RDN: comparing two RDNs compares each attribute with each.
pub const MAX_RDN_ATTRIBUTES: usize = 8;

/// id-at-commonName
const COMMON_NAME: [u8; 3] = [0x55, 0x04, 3];

/// Short names of attribute types (RFC 4514 section 3).
const SHORT_NAMES: [(&[u8], &str); 9] = [
    (&COMMON_NAME, "CN"),
    (&[0x55, 0x04, 5], "serialNumber"),
    (&[0x55, 0x04, 6], "C"),
    (&[0x55, 0x04, 7], "L"),
    (&[0x55, 0x04, 8], "ST"),
    (&[0x55, 0x04, 10], "O"),
    (&[0x55, 0x04, 11], "OU"),
    (&[0x09, 0x92, 0x26, 0x89, 0x93, 0xf2, 0x2c, 0x64, 0x01, 0x19], "DC"),
    (&[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x01], "emailAddress"),
];

/// A Name: the contents octets of the RDNSequence.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Name<'a>(&'a [u8]);

/// One AttributeTypeAndValue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attribute<'a> {
    /// Contents octets of the object identifier.
    pub oid: &'a [u8],
    /// Tag octet of the value: 0x0c UTF8String, 0x12 NumericString, 0x13 PrintableString, 0x14 TeletexString,
    /// 0x16 IA5String, 0x1a VisibleString, 0x1c UniversalString, 0x1e BMPString.
    pub tag: u8,
    /// Contents octets of the value.
    pub value: &'a [u8],
    /// Index of the RDN that the attribute belongs to.
    pub rdn: u16,
}

/// Iterates over the attributes of a name in order.
#[derive(Clone, Debug)]
pub struct Attributes<'a> {
    rdns: DerReader<'a>,
    rdn: DerReader<'a>,
    /// Index of the RDN after the one being read.
    next_rdn: u16,
}

impl<'a> Name<'a> {
    /// Reads a whole Name and checks its syntax.
    pub(crate) fn read(reader: &mut DerReader<'a>) -> Result<Self, ParseError> {
        let malformed = reader.fault(ParseErrorKind::Name);
        let mut rdns = reader.enter(tag::SEQUENCE).map_err(|_| malformed)?;
        let contents = rdns.rest();
        while !rdns.is_empty() {
            let mut rdn = rdns.enter(tag::SET).map_err(|_| malformed)?;
            let mut attributes = 0_usize;
            while !rdn.is_empty() {
                let mut attribute = rdn.enter(tag::SEQUENCE).map_err(|_| malformed)?;
                attribute.oid().map_err(|_| malformed)?;
                attribute.tlv().map_err(|_| malformed)?;
                attribute.end().map_err(|_| malformed)?;
                attributes = attributes.saturating_add(1);
            }
            if attributes == 0 || attributes > MAX_RDN_ATTRIBUTES {
                return Err(malformed);
            }
        }
        Ok(Self(contents))
    }

    /// Reads a Name alone, header included, as a CertificateRequest names CAs (RFC 8446 section 4.2.4).
    ///
    /// # Errors
    /// Fails if it is malformed, or if anything follows.
    pub fn from_der(der: &'a [u8]) -> Result<Self, ParseError> {
        let mut reader = DerReader::new(der);
        let name = Self::read(&mut reader)?;
        reader.end()?;
        Ok(name)
    }

    /// Reads a Name, header included, that was read before.
    pub(crate) fn again(der: &'a [u8]) -> Option<Self> {
        DerReader::new(der).again().map(|tlv| Self(tlv.value))
    }

    /// Returns the contents octets of the RDNSequence.
    pub fn as_bytes(&self) -> &'a [u8] {
        self.0
    }

    /// Returns whether the name has no RDN.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns all attributes in order.
    pub fn attributes(&self) -> Attributes<'a> {
        Attributes { rdns: DerReader::new(self.0), rdn: DerReader::new(&[]), next_rdn: 0 }
    }

    /// Returns the commonName attributes.
    pub fn common_names(&self) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
        self.attributes().filter(|attribute| attribute.oid == COMMON_NAME)
    }

    /// Returns whether two names match (RFC 5280 section 7.1) regardless of case, encoding and insignificant spaces,
    /// RDN by RDN.
    pub fn matches(&self, other: &Name<'_>) -> bool {
        let mut work = Work::UNLIMITED;
        self.matches_within(other, &mut work) == Ok(true)
    }

    /// Compares as [`Name::matches`] does, within `work`, for names from an untrusted source.
    ///
    /// # Errors
    /// [`Exhausted`] if the work runs out.
    pub fn matches_within(&self, other: &Name<'_>, work: &mut Work) -> Result<bool, Exhausted> {
        if self.0.len() == other.0.len() {
            work.spend_identity(self.0.len())?;
            if self.0 == other.0 {
                return Ok(true);
            }
        }
        let mut mine = DerReader::new(self.0);
        let mut theirs = DerReader::new(other.0);
        while let Some(a) = mine.enter_again(tag::SET) {
            match theirs.enter_again(tag::SET) {
                Some(b) if compare_rdns(&a, &b, work)? == Comparison::Same => {}
                _ => return Ok(false),
            }
        }
        Ok(theirs.is_empty())
    }

    /// Compares the first RDNs of this name with those of `base`: if all are the same, the name lies within the
    /// subtree `base` (RFC 5280 section 4.2.1.10).
    ///
    /// # Errors
    /// [`Exhausted`] if the work runs out.
    pub fn is_within(&self, base: &Name<'_>, work: &mut Work) -> Result<Comparison, Exhausted> {
        let mut mine = DerReader::new(self.0);
        let mut theirs = DerReader::new(base.0);
        let mut all = Comparison::Same;
        while let Some(b) = theirs.enter_again(tag::SET) {
            let Some(a) = mine.enter_again(tag::SET) else { return Ok(Comparison::Different) };
            all = all.and(compare_rdns(&a, &b, work)?);
            if all == Comparison::Different {
                break;
            }
        }
        Ok(all)
    }
}

/// The work of reading the headers of two RDNs, and of the names that begin with them.
const RDN: usize = 20;
/// The work of trying an attribute, without its octets.
const ATTRIBUTE: usize = 16;

/// Compares two RDNs: they are the same if each attribute of either is in the other.
fn compare_rdns(a: &DerReader<'_>, b: &DerReader<'_>, work: &mut Work) -> Result<Comparison, Exhausted> {
    work.spend(RDN)?;
    if a.rest().len() == b.rest().len() {
        work.spend_identity(a.rest().len())?;
        if a.rest() == b.rest() {
            return Ok(Comparison::Same);
        }
    }
    let mut both = each_in(a, b, work)?;
    if both != Comparison::Different {
        both = both.and(each_in(b, a, work)?);
    }
    let as_many = both == Comparison::Different || attributes_of(a).count() == attributes_of(b).count();
    Ok(if as_many { both } else { Comparison::Different })
}

/// Returns whether each attribute of `a` is in `b`.
fn each_in(a: &DerReader<'_>, b: &DerReader<'_>, work: &mut Work) -> Result<Comparison, Exhausted> {
    let mut all = Comparison::Same;
    for x in attributes_of(a) {
        work.spend(x.oid.len() / 4)?;
        let mut one = Comparison::Different;
        for y in attributes_of(b) {
            work.spend(ATTRIBUTE.saturating_add(y.oid.len() / 4))?;
            match x.compare(&y, work)? {
                Comparison::Same => {
                    one = Comparison::Same;
                    break;
                }
                Comparison::Undecided => one = Comparison::Undecided,
                Comparison::Different => {}
            }
        }
        all = all.and(one);
        if all == Comparison::Different {
            break;
        }
    }
    Ok(all)
}

fn attributes_of<'a>(rdn: &DerReader<'a>) -> impl Iterator<Item = Attribute<'a>> + use<'a> {
    Attributes { rdns: DerReader::new(&[]), rdn: rdn.clone(), next_rdn: 1 }
}

impl<'a> Iterator for Attributes<'a> {
    type Item = Attribute<'a>;

    fn next(&mut self) -> Option<Attribute<'a>> {
        if self.rdn.is_empty() {
            self.rdn = self.rdns.enter_again(tag::SET)?;
            self.next_rdn = self.next_rdn.saturating_add(1);
        }
        let mut fields = self.rdn.enter_again(tag::SEQUENCE)?;
        let oid = fields.again()?.value;
        let Tlv { tag, value, .. } = fields.again()?;
        Some(Attribute { oid, tag, value, rdn: self.next_rdn.saturating_sub(1) })
    }
}

impl<'a> Attribute<'a> {
    /// Returns the decoded characters. An invalid encoding, or one of no string, yields one error as the last item.
    ///
    /// TeletexString is read as ASCII only: its code tables are not agreed upon.
    pub fn chars(&self) -> impl Iterator<Item = Result<char, UndecodableString>> + use<'a> {
        let (tag, value) = (self.tag, self.value);
        let text = if tag == 0x0c { core::str::from_utf8(value).map_err(|_| UndecodableString) } else { Ok("") };
        let (utf8, broken) = match text {
            Ok(text) => (text, false),
            Err(_) => ("", true),
        };
        let octets = if tag == 0x0c { &[] } else { value };
        let width = match tag {
            0x1e => 2,
            0x1c => 4,
            _ => 1,
        };
        let known = matches!(tag, 0x0c | 0x12 | 0x13 | 0x14 | 0x16 | 0x1a | 0x1c | 0x1e);
        let mut failed = false;
        let units = octets.chunks(width).map(move |unit| {
            let code = unit.iter().fold(0_u32, |code, octet| code.wrapping_shl(8) | u32::from(*octet));
            let whole = unit.len() == width && known;
            char::from_u32(code)
                .filter(|c| {
                    whole
                        && match tag {
                            0x13 => {
                                c.is_ascii_alphanumeric()
                                    || matches!(
                                        c,
                                        ' ' | '\'' | '(' | ')' | '+' | ',' | '-' | '.' | '/' | ':' | '=' | '?'
                                    )
                            }
                            0x12 => c.is_ascii_digit() || *c == ' ',
                            0x14 | 0x16 => c.is_ascii(),
                            0x1a => matches!(c, ' '..='~'),
                            _ => true,
                        }
                })
                .ok_or(UndecodableString)
        });
        utf8.chars()
            .map(Ok)
            .chain(broken.then_some(Err(UndecodableString)))
            .chain(units)
            .take_while(move |item| !core::mem::replace(&mut failed, item.is_err()))
    }

    /// Compares two attributes: the same type, and equal octets or strings that compare alike (RFC 5280 section 7.1).
    fn compare(&self, other: &Attribute<'_>, work: &mut Work) -> Result<Comparison, Exhausted> {
        if self.oid != other.oid {
            return Ok(Comparison::Different);
        }
        if self.tag == other.tag && self.value.len() == other.value.len() {
            work.spend_identity(self.value.len())?;
            if self.value == other.value {
                return Ok(Comparison::Same);
            }
        }
        // Most names that differ are plain ASCII on both sides: then the first differing octets decide.
        if self.is_of_octets() && other.is_of_octets() {
            let alike = alike(self.value, other.value);
            work.spend(alike)?;
            if is_unlike(self.value.get(alike), other.value.get(alike)) {
                return Ok(Comparison::Different);
            }
        }
        work.spend(self.value.len().saturating_add(other.value.len()).saturating_mul(FOLDED))?;
        let same = folded(self.chars()).eq(folded(other.chars()));
        Ok(if same && self.decodes() && other.decodes() {
            Comparison::Same
        } else if !same && self.chars().chain(other.chars()).all(is_settled) {
            Comparison::Different
        } else {
            Comparison::Undecided
        })
    }

    /// Returns whether the string type encodes ASCII characters as one octet each.
    fn is_of_octets(&self) -> bool {
        matches!(self.tag, 0x0c | 0x13 | 0x16)
    }

    fn decodes(&self) -> bool {
        self.chars().all(|c| c.is_ok())
    }
}

/// The work per octet of a string that is compared by characters.
const FOLDED: usize = 16;

/// Returns the number of leading octets that are the same ASCII characters without regard to case.
fn alike(a: &[u8], b: &[u8]) -> usize {
    a.iter().zip(b).take_while(|(a, b)| a.is_ascii() && a.eq_ignore_ascii_case(b)).count()
}

/// Returns whether strings that are alike up to these octets differ for certain: neither octet is a space, which may
/// be one of several, or outside ASCII, where a character may have another form.
fn is_unlike(a: Option<&u8>, b: Option<&u8>) -> bool {
    let plain = |octet: Option<&u8>| octet.is_none_or(|octet| octet.is_ascii() && *octet != b' ');
    plain(a) && plain(b) && (a.is_some() || b.is_some())
}

/// Converts to lower case, joins runs of spaces and drops spaces at the ends (RFC 4518 sections 2.2 and 2.6.1; no
/// normalization to NFKC).
fn folded(chars: impl Iterator<Item = Result<char, UndecodableString>>) -> impl Iterator<Item = char> {
    let mut chars = chars.filter_map(Result::ok).flat_map(char::to_lowercase).peekable();
    let mut started = false;
    core::iter::from_fn(move || {
        let mut spaces = false;
        // `Peekable::next_if_eq` is not used: the compiler cannot remove its assertion.
        while chars.peek() == Some(&' ') {
            chars.next();
            spaces = true;
        }
        let next = *chars.peek()?;
        if spaces && started {
            return Some(' ');
        }
        started = true;
        chars.next();
        Some(next)
    })
}

/// Writes the name as text, most specific last as in the certificate: `O=Mesh,CN=location-b`.
impl fmt::Display for Name<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut previous = None;
        for attribute in self.attributes() {
            if let Some(rdn) = previous {
                f.write_char(if rdn == attribute.rdn { '+' } else { ',' })?;
            }
            previous = Some(attribute.rdn);
            write!(f, "{attribute}")?;
        }
        Ok(())
    }
}

impl fmt::Display for Attribute<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match SHORT_NAMES.iter().find(|(oid, _)| *oid == self.oid) {
            Some((_, name)) => f.write_str(name)?,
            None => hex(f, self.oid)?,
        }
        f.write_char('=')?;
        if !self.decodes() {
            return hex(f, self.value);
        }
        for c in self.chars().flatten() {
            match c {
                // Characters that a terminal or a log would act on are escaped (RFC 4514 section 2.4)
                ',' | '+' | '"' | '\\' | '<' | '>' | ';' => write!(f, "\\{c}")?,
                c if c.is_control()
                    || matches!(c, '\u{200e}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}') =>
                {
                    write!(f, "\\u{{{:x}}}", u32::from(c))?;
                }
                c => f.write_char(c)?,
            }
        }
        Ok(())
    }
}

fn hex(f: &mut fmt::Formatter<'_>, octets: &[u8]) -> fmt::Result {
    f.write_char('#')?;
    octets.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;
    use std::vec::Vec;

    fn der(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let contents = parts.concat();
        [&[tag, contents.len() as u8][..], &contents].concat()
    }

    fn attribute(oid: u8, string: u8, value: &[u8]) -> Vec<u8> {
        der(0x30, &[&[0x06, 0x03, 0x55, 0x04, oid], &der(string, &[value])])
    }

    fn name(rdns: &[&[Vec<u8>]]) -> Vec<u8> {
        let sets: Vec<Vec<u8>> =
            rdns.iter().map(|set| der(0x31, &set.iter().map(Vec::as_slice).collect::<Vec<_>>())).collect();
        der(0x30, &sets.iter().map(Vec::as_slice).collect::<Vec<_>>())
    }

    fn parse(der: &[u8]) -> Name<'_> {
        Name::read(&mut DerReader::new(der)).unwrap()
    }

    #[test]
    fn names_match_without_regard_to_case_encoding_and_spaces() {
        let base = name(&[&[attribute(10, 0x13, b"Mesh Works")], &[attribute(3, 0x0c, b"b")]]);
        for (other, same) in [
            (name(&[&[attribute(10, 0x0c, b" mesh   WORKS ")], &[attribute(3, 0x13, b"B")]]), true),
            (name(&[&[attribute(10, 0x1e, b"\0m\0e\0s\0h\0 \0w\0o\0r\0k\0s")], &[attribute(3, 0x13, b"B")]]), true),
            (name(&[&[attribute(10, 0x0c, b"meshworks")], &[attribute(3, 0x13, b"B")]]), false),
            (name(&[&[attribute(10, 0x0c, b"mesh works")]]), false),
            (name(&[&[attribute(3, 0x0c, b"b")], &[attribute(10, 0x13, b"Mesh Works")]]), false),
            (name(&[&[attribute(10, 0x0c, b"mesh works\xff")], &[attribute(3, 0x13, b"B")]]), false),
        ] {
            assert_eq!(parse(&base).matches(&parse(&other)), same, "{}", parse(&other));
            assert_eq!(parse(&other).matches(&parse(&base)), same, "{}", parse(&other));
        }
    }

    #[test]
    fn a_comparison_ends_with_the_work() {
        let long = std::vec![b'x'; 100];
        let (one, two) = ([&long[..], b"  a"].concat(), [&long[..], b" a"].concat());
        let (one, two) = (name(&[&[attribute(3, 0x0c, &one)]]), name(&[&[attribute(3, 0x13, &two)]]));
        assert_eq!(parse(&one).matches_within(&parse(&two), &mut Work::new(10_000)), Ok(true));
        assert_eq!(parse(&one).matches_within(&parse(&two), &mut Work::new(1_000)), Err(Exhausted));
    }

    #[test]
    fn rdns_are_sets() {
        let (a, b) = (attribute(10, 0x13, b"x"), attribute(3, 0x13, b"y"));
        let one = name(&[&[a.clone(), b.clone()]]);
        let two = name(&[&[b.clone(), attribute(10, 0x0c, b"X")]]);
        assert!(parse(&one).matches(&parse(&two)));
        assert!(!parse(&one).matches(&parse(&name(&[&[b.clone(), b]]))));
    }

    #[test]
    fn subtrees_are_prefixes() {
        let (o, cn) = (attribute(10, 0x13, b"Mesh"), attribute(3, 0x13, b"b"));
        let (full, base, empty) = (name(&[std::slice::from_ref(&o), &[cn]]), name(&[&[o]]), name(&[]));
        let is_within = |name: &[u8], base: &[u8]| parse(name).is_within(&parse(base), &mut Work::new(1_000));
        assert_eq!(is_within(&full, &base), Ok(Comparison::Same));
        assert_eq!(is_within(&full, &empty), Ok(Comparison::Same));
        assert_eq!(is_within(&base, &full), Ok(Comparison::Different));
    }

    #[test]
    fn strings_decode_or_fail() {
        let decode = |tag, value: &[u8]| {
            Attribute { oid: &[], tag, value, rdn: 0 }.chars().collect::<Result<std::string::String, _>>().ok()
        };
        assert_eq!(decode(0x0c, "ü".as_bytes()).as_deref(), Some("ü"));
        assert_eq!(decode(0x0c, &[0xff]), None);
        assert_eq!(decode(0x13, b"a@b"), None);
        assert_eq!(decode(0x14, &[0xe9]), None);
        assert_eq!(decode(0x1e, &[0xd8, 0x00]), None);
        assert_eq!(decode(0x1e, &[0x00, 0x61, 0x00]), None);
        assert_eq!(decode(0x1c, &[0, 1, 0xf6, 0x00]).as_deref(), Some("😀"));
        assert_eq!(decode(0x04, b"a"), None);
    }

    #[test]
    fn display_escapes_what_acts_on_a_terminal() {
        let name = name(&[&[attribute(10, 0x0c, b"a,b")], &[attribute(3, 0x0c, b"x\x1b[2J")]]);
        assert_eq!(parse(&name).to_string(), "O=a\\,b,CN=x\\u{1b}[2J");
    }

    #[test]
    fn an_rdn_has_a_bounded_number_of_attributes() {
        let of = |count| name(&[&std::vec![attribute(3, 0x0c, b""); count]]);
        assert!(Name::read(&mut DerReader::new(&of(MAX_RDN_ATTRIBUTES))).is_ok());
        assert!(Name::read(&mut DerReader::new(&of(MAX_RDN_ATTRIBUTES + 1))).is_err());
        assert!(Name::read(&mut DerReader::new(&name(&[&[]]))).is_err());
    }
}
