//! Parses general names (RFC 5280 section 4.2.1.6) and name constraints (RFC 5280 section 4.2.1.10).

use super::Name;
use super::error::{ParseError, ParseErrorKind};
use super::reader::{DerReader, tag};

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
    /// iPAddress: 4 or 16 octets in a certificate, 8 or 32 (address and mask) in a constraint.
    Ip(&'a [u8]),
    /// x400Address, ediPartyName or registeredID: tag octet and contents.
    Unsupported(u8, &'a [u8]),
}

/// Iterates over GeneralNames that were checked when the certificate was parsed.
#[derive(Clone, Debug)]
pub struct GeneralNamesIter<'a>(DerReader<'a>);

/// GeneralNames with its header, checked when the certificate was parsed.
#[derive(Clone, Copy, Debug)]
pub struct GeneralNames<'a>(&'a [u8]);

/// The bases of GeneralSubtrees, checked when the certificate was parsed.
#[derive(Clone, Copy, Debug)]
pub struct GeneralSubtrees<'a>(&'a [u8]);

/// The name constraints extension.
#[derive(Clone, Copy, Debug)]
pub struct NameConstraints<'a> {
    /// permittedSubtrees; empty where absent.
    pub permitted: GeneralSubtrees<'a>,
    /// excludedSubtrees; empty where absent.
    pub excluded: GeneralSubtrees<'a>,
}

impl<'a> GeneralName<'a> {
    pub(super) fn read(reader: &mut DerReader<'a>) -> Result<Self, ParseError> {
        let here = reader.fault(ParseErrorKind::Der);
        let tlv = reader.tlv()?;
        if tlv.tag == 0xa4 {
            let mut inner = reader.inside(&tlv)?;
            Name::read(&mut inner)?;
            inner.end()?;
        }
        Self::again(Kind(tlv.tag), tlv.value).ok_or(here)
    }

    /// Makes a name of this kind from contents octets; those of a directoryName must have been read before.
    pub(crate) fn again(kind: Kind, contents: &'a [u8]) -> Option<Self> {
        let text = || core::str::from_utf8(contents).ok().filter(|text| text.is_ascii());
        Some(match kind.0 {
            0xa0 => Self::Other(contents),
            0x81 => Self::Rfc822(text()?),
            0x82 => Self::Dns(text()?),
            0xa4 => Self::Directory(Name::again(contents)?),
            0x86 => Self::Uri(text()?),
            0x87 => Self::Ip(contents),
            tag @ (0xa3 | 0xa5 | 0x88) => Self::Unsupported(tag, contents),
            _ => return None,
        })
    }
}

impl GeneralName<'_> {
    /// Returns the number of octets of the text or directory name, 0 for kinds with neither.
    pub fn octets(&self) -> usize {
        match self {
            Self::Rfc822(text) | Self::Dns(text) | Self::Uri(text) => text.len(),
            Self::Directory(name) => name.as_bytes().len(),
            Self::Other(_) | Self::Ip(_) | Self::Unsupported(..) => 0,
        }
    }

    /// Returns the kind of this name.
    pub fn kind(&self) -> Kind {
        Kind(match self {
            Self::Other(_) => 0xa0,
            Self::Rfc822(_) => 0x81,
            Self::Dns(_) => 0x82,
            Self::Directory(_) => 0xa4,
            Self::Uri(_) => 0x86,
            Self::Ip(_) => 0x87,
            Self::Unsupported(tag, _) => *tag,
        })
    }
}

impl<'a> GeneralNames<'a> {
    pub(crate) fn read(reader: &mut DerReader<'a>) -> Result<Self, ParseError> {
        let malformed = reader.fault(ParseErrorKind::SubjectAltName);
        let whole = reader.require(tag::SEQUENCE).map_err(|_| malformed)?;
        let mut names = reader.inside(&whole)?;
        while !names.is_empty() {
            match GeneralName::read(&mut names).map_err(|_| malformed)? {
                GeneralName::Ip(octets) if !matches!(octets.len(), 4 | 16) => return Err(malformed),
                _ => {}
            }
        }
        Ok(Self(whole.whole))
    }

    /// Returns the DER that the names were parsed from, header included.
    pub fn der(&self) -> &'a [u8] {
        self.0
    }

    /// Returns whether there is no name, which RFC 5280 section 4.2.1.6 forbids: no path accepts such a certificate.
    pub fn is_empty(&self) -> bool {
        self.into_iter().0.is_empty()
    }
}

impl<'a> IntoIterator for GeneralNames<'a> {
    type Item = GeneralName<'a>;
    type IntoIter = GeneralNamesIter<'a>;

    fn into_iter(self) -> GeneralNamesIter<'a> {
        GeneralNamesIter(DerReader::new(self.0).enter(tag::SEQUENCE).unwrap_or(DerReader::new(&[])))
    }
}

impl<'a> Iterator for GeneralNamesIter<'a> {
    type Item = GeneralName<'a>;

    fn next(&mut self) -> Option<GeneralName<'a>> {
        let tlv = self.0.again()?;
        GeneralName::again(Kind(tlv.tag), tlv.value)
    }
}

impl<'a> NameConstraints<'a> {
    pub(super) fn read(reader: &mut DerReader<'a>) -> Result<Self, ParseError> {
        let malformed = reader.fault(ParseErrorKind::NameConstraints);
        let mut fields = reader.enter(tag::SEQUENCE).map_err(|_| malformed)?;
        let permitted = GeneralSubtrees::read(&mut fields, 0).map_err(|_| malformed)?;
        let excluded = GeneralSubtrees::read(&mut fields, 1).map_err(|_| malformed)?;
        fields.end().map_err(|_| malformed)?;
        // RFC 5280 section 4.2.1.10: not an empty sequence
        if permitted.is_none() && excluded.is_none() {
            return Err(malformed);
        }
        let or_none = |subtrees: Option<_>| subtrees.unwrap_or(GeneralSubtrees::NONE);
        Ok(Self { permitted: or_none(permitted), excluded: or_none(excluded) })
    }
}

impl<'a> GeneralSubtrees<'a> {
    fn read(reader: &mut DerReader<'a>, number: u8) -> Result<Option<Self>, ParseError> {
        let Some(list) = reader.optional(tag::context_constructed(number))? else { return Ok(None) };
        let malformed = reader.fault(ParseErrorKind::NameConstraints);
        let mut subtrees = reader.inside(&list)?;
        if subtrees.is_empty() {
            return Err(malformed);
        }
        while !subtrees.is_empty() {
            let mut subtree = subtrees.enter(tag::SEQUENCE)?;
            if let GeneralName::Ip(octets) = GeneralName::read(&mut subtree)?
                && !is_address_and_mask(octets)
            {
                return Err(malformed);
            }
            // RFC 5280 section 4.2.1.10: minimum is 0, which DER leaves out, and maximum is absent
            subtree.end()?;
        }
        Ok(Some(Self(list.value)))
    }

    /// The empty list of subtrees.
    pub const NONE: Self = Self(&[]);

    /// Returns whether there is no subtree.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Returns the contents octets of the bases of this kind.
    pub(crate) fn of_kind(&self, kind: Kind) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        let mut subtrees = DerReader::new(self.0);
        core::iter::from_fn(move || {
            loop {
                let base = subtrees.again()?.value;
                if base.first() == Some(&kind.0) {
                    return Some(DerReader::new(base).again()?.value);
                }
            }
        })
    }
}

/// The kind of a GeneralName: its tag octet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(u8);

impl Kind {
    /// Returns the number of this alternative in the CHOICE: below nine.
    pub fn number(self) -> u8 {
        self.0 & 0x1f
    }
}

impl<'a> IntoIterator for GeneralSubtrees<'a> {
    type Item = GeneralName<'a>;
    type IntoIter = GeneralSubtreesIter<'a>;

    fn into_iter(self) -> GeneralSubtreesIter<'a> {
        GeneralSubtreesIter(DerReader::new(self.0))
    }
}

/// Iterates over the bases of GeneralSubtrees.
#[derive(Clone, Debug)]
pub struct GeneralSubtreesIter<'a>(DerReader<'a>);

impl<'a> Iterator for GeneralSubtreesIter<'a> {
    type Item = GeneralName<'a>;

    fn next(&mut self) -> Option<GeneralName<'a>> {
        let base = DerReader::new(self.0.again()?.value).again()?;
        GeneralName::again(Kind(base.tag), base.value)
    }
}

/// Returns whether `octets` are an address and a mask of the same length (RFC 5280 section 4.2.1.10), the mask in the
/// style of RFC 4632 (ones, then zeros).
fn is_address_and_mask(octets: &[u8]) -> bool {
    let half = match octets.len() {
        8 => 4,
        32 => 16,
        _ => return false,
    };
    let mut ended = false;
    octets.iter().skip(half).all(|octet| {
        let fits = if ended { *octet == 0 } else { octet.leading_ones().saturating_add(octet.trailing_zeros()) >= 8 };
        ended |= *octet != 0xff;
        fits
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn masks_are_contiguous() {
        for (mask, good) in [
            ([255, 255, 255, 0], true),
            ([255, 255, 254, 0], true),
            ([0, 0, 0, 0], true),
            ([255, 255, 255, 255], true),
            ([255, 0, 255, 0], false),
            ([255, 255, 5, 0], false),
        ] {
            let mut octets = [0; 8];
            octets[4..].copy_from_slice(&mask);
            assert_eq!(is_address_and_mask(&octets), good, "{mask:?}");
        }
        assert!(!is_address_and_mask(&[1, 2, 3, 4]));
    }

    #[test]
    fn constraints_need_a_subtree_without_minimum() {
        let parse = |der: &[u8]| NameConstraints::read(&mut DerReader::new(der)).is_ok();
        assert!(parse(&[0x30, 0x07, 0xa0, 0x05, 0x30, 0x03, 0x82, 0x01, b'a']));
        assert!(!parse(&[0x30, 0x00]));
        assert!(!parse(&[0x30, 0x02, 0xa0, 0x00]));
        assert!(!parse(&[0x30, 0x0a, 0xa0, 0x08, 0x30, 0x06, 0x82, 0x01, b'a', 0x80, 0x01, 0x00]));
    }
}
