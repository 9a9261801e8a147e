//! Makes the passwords of vouchers, and the hash that a gateway keeps of one.

use std::borrow::Cow;
use std::fmt;

use serde::de::Error as _;
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use zeroize::Zeroizing;

use crate::tls::provider;

/// The letters of a password: digits and capitals without those that look like others (Crockford's base 32).
const LETTERS: &[u8; 32] = b"0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The number of letters, of five bits each: 140 bits, where 128 are enough for ever.
const LENGTH: usize = 28;
/// The number of letters between two hyphens.
const GROUP: usize = 4;

/// A password that is shown once.
pub struct Secret(Zeroizing<String>);

/// The SHA-256 of a password or of a key, as vouchers keep it.
///
/// For a password it is enough, and a slow hash such as Argon2 would add nothing: it makes each guess at a password that a person
/// chose dearer, and nobody guesses one of 2^140. It would let strangers cost the gateway that much at each attempt.
#[derive(Clone, Copy, Debug)]
pub struct KeptHash([u8; 32]);

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret")
    }
}

impl Secret {
    /// Makes a password of the system's random numbers.
    ///
    /// # Errors
    /// Fails if the system has none.
    pub fn generate() -> Result<Self, &'static str> {
        let mut octets = Zeroizing::new([0; LENGTH]);
        let filled = provider().secure_random.fill(&mut *octets);
        filled.map_err(|_| "the system gives no random numbers")?;
        let mut text = Zeroizing::new(String::with_capacity(LENGTH.saturating_mul(2)));
        for (place, octet) in octets.iter().enumerate() {
            if place > 0 && place.is_multiple_of(GROUP) {
                text.push('-');
            }
            // The number of letters divides 256, so each is as likely as the others.
            text.extend(LETTERS.get(usize::from(octet % 32)).copied().map(char::from));
        }
        Ok(Self(text))
    }

    /// Returns the password as it is shown and typed.
    pub fn text(&self) -> &str {
        &self.0
    }
}

impl KeptHash {
    /// Hashes a password as somebody typed it: without regard to case, hyphens and spaces, and to letters that were
    /// taken for others.
    pub fn of_password(typed: &[u8]) -> Self {
        let mut hash = Sha256::new();
        for octet in typed.iter().filter(|octet| !matches!(octet, b'-' | b' ')) {
            hash.update([match octet.to_ascii_uppercase() {
                b'O' => b'0',
                b'I' | b'L' => b'1',
                other => other,
            }]);
        }
        Self(hash.finalize().into())
    }

    /// Hashes a key, a SubjectPublicKeyInfo in DER.
    pub fn of_key(spki: &[u8]) -> Self {
        Self(Sha256::digest(spki).into())
    }

    /// Reads a hash from the form in which it is kept.
    pub fn parse(text: &str) -> Option<Self> {
        let mut octets = [0; 32];
        let (pairs, rest) = text.as_bytes().as_chunks::<2>();
        if pairs.len() != octets.len() || !rest.is_empty() {
            return None;
        }
        for (octet, pair) in octets.iter_mut().zip(pairs) {
            let [high, low] = pair.map(|digit| char::from(digit).to_digit(16));
            *octet = u8::try_from(high?.checked_mul(16)?.checked_add(low?)?).ok()?;
        }
        Some(Self(octets))
    }

    /// Returns whether both hashes are equal, in a time that does not depend on them.
    pub fn is(&self, other: &Self) -> bool {
        let differences = self.0.iter().zip(&other.0).fold(0, |sum, (one, other)| sum | (one ^ other));
        std::hint::black_box(differences) == 0
    }
}

impl Serialize for KeptHash {
    fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        to.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for KeptHash {
    fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(from)?;
        Self::parse(&text).ok_or_else(|| D::Error::custom("no hash"))
    }
}

impl fmt::Display for KeptHash {
    /// Writes the form in which the hash is kept.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|octet| write!(f, "{octet:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_password_has_the_bits_that_it_says_and_no_two_are_equal() {
        let made: Vec<Secret> = (0..100).map(|_| Secret::generate().unwrap()).collect();
        let mut letters = std::collections::BTreeSet::new();
        for secret in &made {
            let groups: Vec<&str> = secret.text().split('-').collect();
            assert_eq!((groups.len(), groups.concat().len()), (LENGTH / GROUP, LENGTH), "{}", secret.text());
            letters.extend(groups.concat().into_bytes());
        }
        assert_eq!(letters, LETTERS.iter().copied().collect(), "each letter occurs, and no other");
        let different: std::collections::BTreeSet<&str> = made.iter().map(Secret::text).collect();
        assert_eq!(different.len(), made.len());
        assert!(u32::try_from(LENGTH).unwrap() * 5 >= 128);
        assert_eq!(format!("{:?}", made[0]), "Secret");
    }

    #[test]
    fn a_password_is_taken_as_people_type_it() {
        let hash = KeptHash::of_password(b"0123-4567-89AB-CDEF-GHJK-MNPQ-RS1V");
        for typed in
            ["0123456789abcdefghjkmnpqrs1v", "O123-4567-89AB-CDEF GHJK MNPQ RSiV", "o123-4567-89ab-cdefghjkmnpqrsLV"]
        {
            assert!(hash.is(&KeptHash::of_password(typed.as_bytes())), "{typed}");
        }
        for other in ["", "0123-4567-89AB-CDEF-GHJK-MNPQ-RS1W", "0123-4567-89AB-CDEF-GHJK-MNPQ-RS1", "\u{e4}"] {
            assert!(!hash.is(&KeptHash::of_password(other.as_bytes())), "{other}");
        }
        let kept = hash.to_string();
        assert!(KeptHash::parse(&kept).unwrap().is(&hash));
        for broken in ["", &kept[1..], &format!("{kept}0"), &kept.replacen(&kept[..2], "xx", 1)] {
            assert!(KeptHash::parse(broken).is_none(), "{broken}");
        }
    }
}
