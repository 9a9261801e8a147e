//! Object identifiers for errors, which outlive the certificate.

use core::fmt;

use super::reader::DerReader;

/// The largest number of octets stored: every object identifier of an algorithm, curve or extension in use is shorter.
const MAX_OCTETS: usize = 15;

/// The contents octets of an object identifier (X.690 section 8.19), cut after 15 octets; "…" marks the cut.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct ObjectIdentifier {
    octets: [u8; MAX_OCTETS],
    /// The number of octets before the cut.
    length: u8,
}

impl ObjectIdentifier {
    /// Creates an object identifier from contents octets.
    pub fn new(contents: &[u8]) -> Self {
        let mut octets = [0; MAX_OCTETS];
        for (to, from) in octets.iter_mut().zip(contents) {
            *to = *from;
        }
        Self { octets, length: u8::try_from(contents.len()).unwrap_or(u8::MAX) }
    }

    /// Returns the algorithm of an AlgorithmIdentifier, given its contents octets.
    pub fn algorithm(contents: &[u8]) -> Self {
        Self::new(DerReader::new(contents).oid().unwrap_or(&[]))
    }

    /// Returns the kind of a key, given the contents octets of its AlgorithmIdentifier: the curve if one is named
    /// (RFC 5480 section 2.1.1), else the algorithm.
    pub fn of_key(contents: &[u8]) -> Self {
        let mut fields = DerReader::new(contents);
        let algorithm = fields.oid().unwrap_or(&[]);
        Self::new(fields.oid().unwrap_or(algorithm))
    }

    /// Returns the stored contents octets.
    pub fn as_bytes(&self) -> &[u8] {
        self.octets.get(..usize::from(self.length)).unwrap_or(&self.octets)
    }
}

/// Writes the dotted form, such as `2.5.29.19`.
impl fmt::Display for ObjectIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut arc = 0_u32;
        let mut first = true;
        for octet in self.as_bytes() {
            arc = arc.saturating_mul(128).saturating_add(u32::from(octet & 0x7f));
            if octet & 0x80 != 0 {
                continue;
            }
            if first {
                // X.690 section 8.19.4: the first two arcs are one number.
                let root = (arc / 40).min(2);
                write!(f, "{root}.{}", arc.saturating_sub(root.saturating_mul(40)))?;
            } else {
                write!(f, ".{arc}")?;
            }
            first = false;
            arc = 0;
        }
        if usize::from(self.length) > MAX_OCTETS { f.write_str("…") } else { Ok(()) }
    }
}

impl fmt::Debug for ObjectIdentifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for ObjectIdentifier {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "{=[u8]:02x}", self.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn dotted() {
        for (contents, expected) in [
            (&[0x55, 0x1d, 0x13][..], "2.5.29.19"),
            (&[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02], "1.2.840.10045.4.3.2"),
            (&[0x88, 0x37, 0x01], "2.999.1"),
            (&[1; 15], "0.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1"),
            (&[1; 16], "0.1.1.1.1.1.1.1.1.1.1.1.1.1.1.1…"),
            (&[], ""),
        ] {
            assert_eq!(ObjectIdentifier::new(contents).to_string(), expected);
        }
    }

    #[test]
    fn a_curve_stands_for_its_algorithm() {
        let ec = [0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x05, 0x2b, 0x81, 0x04, 0x00, 0x0a];
        assert_eq!(ObjectIdentifier::of_key(&ec).to_string(), "1.3.132.0.10");
        assert_eq!(ObjectIdentifier::algorithm(&ec).to_string(), "1.2.840.10045.2.1");
        let rsa = [0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01, 0x05, 0x00];
        assert_eq!(ObjectIdentifier::of_key(&rsa).to_string(), "1.2.840.113549.1.1.1");
        assert_eq!(ObjectIdentifier::of_key(&[]).to_string(), "");
    }
}
