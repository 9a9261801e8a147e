//! The order of a mesh's editions.

use core::fmt;

use sha2::{Digest as _, Sha256};

use crate::x509::KeyHash;

/// The SHA-256 of a mesh's text, written as `sha256:` and 64 hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Digest([u8; 32]);

impl Digest {
    /// Hashes the text of a mesh; of a signed one its payload.
    pub fn of(text: &[u8]) -> Self {
        Self(Sha256::digest(text).into())
    }

    /// Takes the 32 octets of a digest.
    pub const fn new(octets: [u8; 32]) -> Self {
        Self(octets)
    }

    /// Returns the 32 octets.
    pub const fn octets(&self) -> &[u8; 32] {
        &self.0
    }

    /// Reads `sha256:` and 64 hexadecimal digits; `None` for any other text.
    pub fn parse(text: &str) -> Option<Self> {
        KeyHash::parse(text).map(|hash| Self(*hash.octets()))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&KeyHash::new(self.0), f)
    }
}

impl fmt::Debug for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// One state of a mesh among all that it ever had. The higher edition is in force: first by the generation of its
/// signer, then by its sequence, then by its digest.
///
/// So a root that makes a signer of the next generation retires all that the signers before it signed, whatever their
/// sequences; and where two administrators sign the same sequence, all gateways end with the same text.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Edition {
    /// The generation of the signer, from 1; 0 for a mesh that is not signed.
    pub generation: u32,
    /// `sequence` of the text.
    pub sequence: u64,
    /// The digest of the text.
    pub digest: Digest,
}

impl Edition {
    /// Returns whether the mesh is signed.
    pub fn is_signed(&self) -> bool {
        self.generation > 0
    }
}

impl fmt::Display for Edition {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.generation {
            0 => write!(f, "sequence {}, not signed", self.sequence),
            generation => write!(f, "sequence {} by a signer of generation {generation}", self.sequence),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::string::ToString;

    #[test]
    fn the_generation_counts_before_the_sequence_and_the_sequence_before_the_digest() {
        let edition = |generation, sequence, octet| Edition { generation, sequence, digest: Digest::new([octet; 32]) };
        let ascending = [
            edition(0, u64::MAX, 9),
            edition(1, 1, 9),
            edition(1, 2, 1),
            edition(1, 2, 2),
            edition(1, u64::MAX, 0),
            edition(2, 1, 0),
        ];
        assert!(ascending.is_sorted());
        assert!(!ascending[0].is_signed() && ascending[1].is_signed());
        assert_eq!(ascending[5].to_string(), "sequence 1 by a signer of generation 2");
    }

    #[test]
    fn digests_are_written_as_hashes_of_keys_are() {
        let digest = Digest::of(b"");
        let text = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(digest.to_string(), text);
        assert_eq!(Digest::parse(text), Some(digest));
    }
}
