//! The hash that names a public key, whatever certificates it is in.

use core::fmt;

use sha2::{Digest, Sha256};

use super::{Exhausted, SubjectPublicKeyInfo, Work};

/// The SHA-256 of a SubjectPublicKeyInfo (RFC 5280 section 4.1.2.7) as DER, header included. A CA's renewed and
/// cross-signed certificates share it; another key of the same name has another one.
///
/// As text `sha256:` and 64 hexadecimal digits:
///
/// ```
/// # use edgetrust_core::x509::KeyHash;
/// let text = "sha256:2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae";
/// assert_eq!(KeyHash::parse(text).unwrap().to_string(), text);
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct KeyHash([u8; 32]);

const PREFIX: &str = "sha256:";

/// The work of a hash, and of each octet in sixteenths: SHA-256 in software takes about 50 instructions for an octet.
const HASH: usize = 96;
const OCTET: usize = 24;

impl KeyHash {
    /// Hashes a certificate's key.
    pub fn of(key: &SubjectPublicKeyInfo<'_>) -> Self {
        Self(Sha256::digest(key.der).into())
    }

    /// Hashes the key of a certificate that a stranger may have chosen.
    pub(crate) fn within(key: &SubjectPublicKeyInfo<'_>, work: &mut Work) -> Result<Self, Exhausted> {
        work.spend(HASH.saturating_add(key.der.len().saturating_mul(OCTET) / 16))?;
        Ok(Self::of(key))
    }

    /// Takes the 32 octets of a hash.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Returns the 32 octets.
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `sha256:` and 64 hexadecimal digits, large or small; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        let mut digits = text.strip_prefix(PREFIX)?.bytes().map(|digit| char::from(digit).to_digit(16));
        let mut octets = [0; 32];
        for octet in &mut octets {
            let (high, low) = (digits.next()??, digits.next()??);
            *octet = u8::try_from(high << 4 | low).ok()?;
        }
        digits.next().is_none().then_some(Self(octets))
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(PREFIX)?;
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

#[cfg(feature = "defmt")]
impl defmt::Format for KeyHash {
    fn format(&self, f: defmt::Formatter<'_>) {
        defmt::write!(f, "sha256:{=[u8]:02x}", self.0);
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::format;
    use std::string::ToString;

    #[test]
    fn text_has_exactly_64_digits() {
        let digits = "0123456789abcdef".repeat(4);
        let hash = KeyHash::parse(&format!("sha256:{digits}")).unwrap();
        assert_eq!(hash.octets().first_chunk(), Some(&[0x01, 0x23, 0x45]));
        assert_eq!(KeyHash::parse(&format!("sha256:{}", digits.to_uppercase())), Some(hash));
        assert_eq!(KeyHash::parse(&hash.to_string()), Some(hash));
        let short = digits.get(1..).unwrap();
        for text in [digits.clone(), format!("sha256:{short}"), format!("sha256:{digits}0"), format!("sha256:g{short}")]
        {
            assert_eq!(KeyHash::parse(&text), None, "{text}");
        }
        assert_eq!(KeyHash::parse(&format!("sha1:{digits}")), None);
        assert_eq!(KeyHash::parse(&format!("sha256:é{}", digits.get(2..).unwrap())), None);
    }
}
