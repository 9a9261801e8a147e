//! Shows serial numbers.

use core::cmp::Ordering;
use core::fmt::{self, Write};

/// Shows a serial number by the contents octets of its INTEGER, in hexadecimal as OpenSSL does: without the octet that makes
/// it positive, and with a minus before a negative one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Serial<'a>(pub &'a [u8]);

impl fmt::Display for Serial<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let is_negative = self.0.first().is_some_and(|first| first & 0x80 != 0);
        if is_negative {
            f.write_char('-')?;
        }
        // The negation of two's complement: what stands before the last octet that is not zero is inverted.
        let last = self.0.iter().rposition(|octet| *octet != 0).unwrap_or(0);
        let octets = self.0.iter().enumerate().map(|(place, octet)| match place.cmp(&last) {
            _ if !is_negative => *octet,
            Ordering::Less => !octet,
            Ordering::Equal => octet.wrapping_neg(),
            Ordering::Greater => 0,
        });
        let mut octets = octets.skip_while(|octet| *octet == 0).peekable();
        if octets.peek().is_none() {
            return f.write_str("00");
        }
        octets.try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_number_is_shown_and_not_its_encoding() {
        for (contents, shown) in [
            (&[][..], "00"),
            (&[0], "00"),
            (&[0x7f], "7f"),
            (&[0, 0x80], "80"),
            (&[0, 0xab, 0, 1], "ab0001"),
            (&[1, 0], "0100"),
            (&[0xff], "-01"),
            (&[0x80], "-80"),
            (&[0xff, 0x01], "-ff"),
            (&[0xff, 0x00], "-0100"),
            (&[0xfe, 0x10, 0], "-01f000"),
        ] {
            assert_eq!(Serial(contents).to_string(), shown, "{contents:02x?}");
        }
    }
}
