//! A cursor over DER. The `der` crate decodes tags and lengths, but its own cursor is not used: it copies through a
//! length check that the optimizer cannot remove, which would leave panic machinery in a firmware image.

use der::{Decode, EncodingRules, Error, ErrorKind, Header, Length, Reader};

use super::error::{ParseError, ParseErrorKind};

/// A cursor over part of a certificate; positions count from the certificate's first byte.
#[derive(Clone, Debug)]
pub(crate) struct DerReader<'a> {
    /// From the certificate's first byte to the end of this part.
    input: &'a [u8],
    position: usize,
}

/// One tag-length-value.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tlv<'a> {
    /// The first identifier octet: class, constructed bit and number. Numbers over 30 do not occur in certificates.
    pub(crate) tag: u8,
    pub(crate) value: &'a [u8],
    /// Header and value.
    pub(crate) whole: &'a [u8],
    /// Offset of the value.
    pub(crate) at: usize,
}

pub(crate) mod tag {
    pub(crate) const BOOLEAN: u8 = 0x01;
    pub(crate) const INTEGER: u8 = 0x02;
    pub(crate) const BIT_STRING: u8 = 0x03;
    pub(crate) const OCTET_STRING: u8 = 0x04;
    pub(crate) const OBJECT_IDENTIFIER: u8 = 0x06;
    #[cfg(feature = "crl")]
    pub(crate) const ENUMERATED: u8 = 0x0a;
    pub(crate) const UTC_TIME: u8 = 0x17;
    pub(crate) const GENERALIZED_TIME: u8 = 0x18;
    pub(crate) const UNIVERSAL_STRING: u8 = 0x1c;
    pub(crate) const SEQUENCE: u8 = 0x30;
    pub(crate) const SET: u8 = 0x31;

    /// `[number] IMPLICIT` of a primitive type.
    pub(crate) const fn context(number: u8) -> u8 {
        0x80 | number
    }

    /// `[number]` of a constructed type, or `EXPLICIT`.
    pub(crate) const fn context_constructed(number: u8) -> u8 {
        0xa0 | number
    }
}

impl<'a> DerReader<'a> {
    pub(crate) fn new(input: &'a [u8]) -> Self {
        Self { input, position: 0 }
    }

    /// Creates a reader that goes on at a position.
    #[cfg(feature = "crl")]
    pub(crate) fn at(input: &'a [u8], position: usize) -> Self {
        Self { input, position }
    }

    /// Returns the octets from the first of all to the end of this part.
    #[cfg(feature = "crl")]
    pub(crate) fn input(&self) -> &'a [u8] {
        self.input
    }

    #[cfg(feature = "crl")]
    pub(crate) fn position(&self) -> usize {
        self.position
    }

    /// Returns an error at the current position.
    pub(crate) fn fault(&self, kind: ParseErrorKind) -> ParseError {
        ParseError::new(kind, self.position)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.position >= self.input.len()
    }

    pub(crate) fn peek(&self) -> Option<u8> {
        self.input.get(self.position).copied()
    }

    /// Returns the octets that are left.
    pub(crate) fn rest(&self) -> &'a [u8] {
        self.input.get(self.position..).unwrap_or(&[])
    }

    /// Reads one tag-length-value of any kind.
    pub(crate) fn tlv(&mut self) -> Result<Tlv<'a>, ParseError> {
        let start = self.position;
        let malformed = ParseError::new(ParseErrorKind::Der, start);
        let tag = self.peek().ok_or(malformed)?;
        let length = if tag == tag::UNIVERSAL_STRING {
            // `der` knows no such tag.
            self.position = start.saturating_add(1);
            Length::decode(self).map_err(|_| malformed)?
        } else {
            Header::decode(self).map_err(|_| malformed)?.length()
        };
        let at = self.position;
        let value = self.read_slice(length).map_err(|_| malformed)?;
        let whole = self.input.get(start..self.position).ok_or(malformed)?;
        Ok(Tlv { tag, value, whole, at })
    }

    /// Reads one tag-length-value that [`DerReader::tlv`] has read before, so its tag is valid.
    pub(crate) fn again(&mut self) -> Option<Tlv<'a>> {
        let start = self.position;
        if let [tag, length @ ..0x80, ..] = *self.rest() {
            let at = start.checked_add(2)?;
            let end = at.checked_add(usize::from(length))?;
            let tlv = Tlv { tag, value: self.input.get(at..end)?, whole: self.input.get(start..end)?, at };
            self.position = end;
            return Some(tlv);
        }
        self.tlv().ok()
    }

    /// Enters, as [`DerReader::enter`] does, a value that was read before.
    pub(crate) fn enter_again(&mut self, tag: u8) -> Option<Self> {
        let tlv = self.again().filter(|tlv| tlv.tag == tag)?;
        self.inside(&tlv).ok()
    }

    /// Reads one tag-length-value with this tag.
    pub(crate) fn require(&mut self, tag: u8) -> Result<Tlv<'a>, ParseError> {
        let here = self.fault(ParseErrorKind::Der);
        match self.tlv()? {
            tlv if tlv.tag == tag => Ok(tlv),
            _ => Err(here),
        }
    }

    /// Reads one tag-length-value with this tag if it is next.
    pub(crate) fn optional(&mut self, tag: u8) -> Result<Option<Tlv<'a>>, ParseError> {
        if self.peek() == Some(tag) { self.tlv().map(Some) } else { Ok(None) }
    }

    /// Returns a reader over the value of `tlv`, which this reader has read.
    pub(crate) fn inside(&self, tlv: &Tlv<'a>) -> Result<Self, ParseError> {
        let end = tlv.at.saturating_add(tlv.value.len());
        let input = self.input.get(..end).ok_or(self.fault(ParseErrorKind::Der))?;
        Ok(Self { input, position: tlv.at })
    }

    /// Reads a constructed value with this tag and returns a reader over the value.
    pub(crate) fn enter(&mut self, tag: u8) -> Result<Self, ParseError> {
        let tlv = self.require(tag)?;
        self.inside(&tlv)
    }

    /// Returns an error if anything is left.
    pub(crate) fn end(&self) -> Result<(), ParseError> {
        if self.is_empty() { Ok(()) } else { Err(self.fault(ParseErrorKind::TrailingData)) }
    }

    /// Reads the contents of an OBJECT IDENTIFIER: not empty, each arc minimal and complete (X.690 section 8.19).
    pub(crate) fn oid(&mut self) -> Result<&'a [u8], ParseError> {
        let here = self.fault(ParseErrorKind::Der);
        let oid = self.require(tag::OBJECT_IDENTIFIER)?.value;
        let mut first_of_arc = true;
        for &octet in oid {
            if first_of_arc && octet == 0x80 {
                return Err(here);
            }
            first_of_arc = octet & 0x80 == 0;
        }
        if oid.is_empty() || !first_of_arc { Err(here) } else { Ok(oid) }
    }

    /// Reads a BOOLEAN DEFAULT FALSE, which DER writes only if TRUE, as 0xff.
    pub(crate) fn true_or_absent(&mut self) -> Result<bool, ParseError> {
        let here = self.fault(ParseErrorKind::Der);
        match self.optional(tag::BOOLEAN)? {
            None => Ok(false),
            Some(Tlv { value: [0xff], .. }) => Ok(true),
            Some(_) => Err(here),
        }
    }

    /// Reads the bits of a BIT STRING whose length is a whole number of octets.
    pub(crate) fn bits(&mut self) -> Result<&'a [u8], ParseError> {
        let here = self.fault(ParseErrorKind::Der);
        match self.require(tag::BIT_STRING)?.value.split_first() {
            Some((0, bits)) => Ok(bits),
            _ => Err(here),
        }
    }
}

/// Returns whether an INTEGER is minimal: its first nine bits are not all alike (X.690 section 8.3.2).
pub(crate) fn is_minimal_integer(value: &[u8]) -> bool {
    match value {
        [] => false,
        [_] => true,
        [first, second, ..] => !(*first == 0 && second & 0x80 == 0 || *first == 0xff && second & 0x80 != 0),
    }
}

impl<'a> Reader<'a> for DerReader<'a> {
    const CAN_READ_SLICE: bool = true;

    fn encoding_rules(&self) -> EncodingRules {
        EncodingRules::Der
    }

    fn input_len(&self) -> Length {
        Length::try_from(self.input.len()).unwrap_or(Length::MAX)
    }

    fn position(&self) -> Length {
        Length::try_from(self.position).unwrap_or(Length::MAX)
    }

    fn read_nested<T, F, E>(&mut self, len: Length, f: F) -> Result<T, E>
    where
        E: From<Error>,
        F: FnOnce(&mut Self) -> Result<T, E>,
    {
        let nested = self.read_slice(len)?;
        let end = self.position;
        let input = self.input.get(..end).unwrap_or(self.input);
        let mut reader = Self { input, position: end.saturating_sub(nested.len()) };
        f(&mut reader)
    }

    fn read_slice(&mut self, len: Length) -> Result<&'a [u8], Error> {
        let incomplete = ErrorKind::Incomplete { expected_len: len, actual_len: Length::ZERO };
        let len = usize::try_from(len)?;
        let end = self.position.checked_add(len).ok_or(ErrorKind::Overflow)?;
        let slice = self.input.get(self.position..end).ok_or(incomplete)?;
        self.position = end;
        Ok(slice)
    }

    fn read_byte(&mut self) -> Result<u8, Error> {
        let byte = self.input.get(self.position).ok_or(ErrorKind::Failed)?;
        self.position = self.position.saturating_add(1);
        Ok(*byte)
    }

    fn peek_byte(&self) -> Option<u8> {
        self.peek()
    }

    fn read_into<'o>(&mut self, buf: &'o mut [u8]) -> Result<&'o [u8], Error> {
        let input = self.read_slice(Length::try_from(buf.len())?)?;
        for (to, from) in buf.iter_mut().zip(input) {
            *to = *from;
        }
        Ok(buf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_minimal_and_definite() {
        for (bytes, good) in [
            (&[0x04, 0x01, 0xaa][..], true),
            (&[0x04, 0x81, 0x01, 0xaa], false),
            (&[0x04, 0x80, 0xaa, 0x00, 0x00], false),
            (&[0x04, 0x02, 0xaa], false),
            (&[0x04], false),
            (&[], false),
            (&[0x04, 0x84, 0xff, 0xff, 0xff, 0xff], false),
            (&[0x10, 0x00], false),
            (&[0x1c, 0x04, 0x00, 0x00, 0x00, 0x55], true),
            (&[0x1c, 0x81, 0x01, 0x55], false),
        ] {
            assert_eq!(DerReader::new(bytes).tlv().is_ok(), good, "{bytes:02x?}");
        }
    }

    #[test]
    fn object_identifiers_are_minimal() {
        for (bytes, good) in [
            (&[0x06, 0x03, 0x55, 0x1d, 0x13][..], true),
            (&[0x06, 0x00], false),
            (&[0x06, 0x02, 0x80, 0x01], false),
            (&[0x06, 0x02, 0x55, 0x9d], false),
        ] {
            assert_eq!(DerReader::new(bytes).oid().is_ok(), good, "{bytes:02x?}");
        }
    }

    #[test]
    fn positions_count_from_the_first_byte() {
        let mut outer = DerReader::new(&[0x30, 0x04, 0x02, 0x01, 0x05, 0xff]);
        let mut inner = outer.enter(tag::SEQUENCE).unwrap();
        assert_eq!(inner.require(tag::INTEGER).unwrap().value, [5]);
        assert_eq!(inner.end().unwrap_err().offset, 5);
    }
}
