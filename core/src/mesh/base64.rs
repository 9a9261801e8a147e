//! Decodes base64 (RFC 4648), strictly: one text for each sequence of octets.

/// Which characters stand for the octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `+` and `/`, padded with `=` (RFC 4648 section 4), as certificates are written.
    Standard,
    /// `-` and `_`, without padding (RFC 7515 section 2), as the parts of a JWS are written.
    Url,
}

impl Alphabet {
    fn value(self, character: u8) -> Option<u32> {
        let (base, first) = match (self, character) {
            (_, b'A'..=b'Z') => (0, b'A'),
            (_, b'a'..=b'z') => (26, b'a'),
            (_, b'0'..=b'9') => (52, b'0'),
            (Self::Standard, b'+') | (Self::Url, b'-') => (62, character),
            (Self::Standard, b'/') | (Self::Url, b'_') => (63, character),
            _ => return None,
        };
        Some(u32::from(character.saturating_sub(first)).saturating_add(base))
    }

    /// Returns the text without its padding, or `None` if the padding is not what RFC 4648 section 3.2 demands.
    fn without_padding(self, text: &[u8]) -> Option<&[u8]> {
        if self == Self::Url {
            return Some(text);
        }
        if !text.len().is_multiple_of(4) {
            return None;
        }
        let bare = text.strip_suffix(b"=").unwrap_or(text);
        Some(bare.strip_suffix(b"=").unwrap_or(bare))
    }
}

/// Returns the number of octets that a text of this length stands for.
pub(super) const fn decoded_length(characters: usize) -> usize {
    (characters / 4).saturating_mul(3).saturating_add((characters % 4).saturating_mul(3) / 4)
}

/// Decodes a text to `out` and returns the octets; `None` if the text is not base64 of this alphabet, has bits that
/// stand for nothing and are not zero (RFC 4648 section 3.5), or `out` is too short.
pub(super) fn decode<'o>(text: &[u8], alphabet: Alphabet, out: &'o mut [u8]) -> Option<&'o [u8]> {
    let text = alphabet.without_padding(text)?;
    let length = decoded_length(text.len());
    let mut to = out.get_mut(..length)?.iter_mut();
    for group in text.chunks(4) {
        let mut bits = 0_u32;
        for character in group {
            bits = bits << 6 | alphabet.value(*character)?;
        }
        // The octets of a group stand at the left.
        let (octets, missing) = match group.len() {
            4 => (3, 0),
            3 => (2, 6),
            2 => (1, 12),
            _ => return None,
        };
        let [_, decoded @ ..] = (bits << missing).to_be_bytes();
        for octet in decoded.iter().take(octets) {
            *to.next()? = *octet;
        }
        if decoded.iter().skip(octets).any(|octet| *octet != 0) {
            return None;
        }
    }
    out.get(..length)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn decoded<'o>(text: &str, alphabet: Alphabet, out: &'o mut [u8]) -> Option<&'o [u8]> {
        decode(text.as_bytes(), alphabet, out)
    }

    #[test]
    fn examples_of_the_standard() {
        // RFC 4648 section 10
        for (text, octets) in [
            ("", ""),
            ("Zg==", "f"),
            ("Zm8=", "fo"),
            ("Zm9v", "foo"),
            ("Zm9vYg==", "foob"),
            ("Zm9vYmE=", "fooba"),
            ("Zm9vYmFy", "foobar"),
        ] {
            let mut out = [0; 6];
            assert_eq!(decoded(text, Alphabet::Standard, &mut out), Some(octets.as_bytes()), "{text}");
            let bare = text.trim_end_matches('=');
            assert_eq!(decoded(bare, Alphabet::Url, &mut out), Some(octets.as_bytes()), "{text}");
            assert_eq!(decoded_length(bare.len()), octets.len());
        }
    }

    #[test]
    fn one_text_for_each_sequence_of_octets() {
        let mut out = [0; 8];
        for (text, alphabet, expected) in [
            ("+/+/", Alphabet::Standard, true),
            ("-_-_", Alphabet::Standard, false),
            ("-_-_", Alphabet::Url, true),
            ("+/+/", Alphabet::Url, false),
            ("Zg", Alphabet::Standard, false),
            ("Zg=", Alphabet::Standard, false),
            ("Zg==", Alphabet::Url, false),
            ("Zh==", Alphabet::Standard, false),
            ("Zh", Alphabet::Url, false),
            ("Zm9=", Alphabet::Standard, false),
            ("Zm9", Alphabet::Url, false),
            ("Z===", Alphabet::Standard, false),
            ("====", Alphabet::Standard, false),
            ("=", Alphabet::Standard, false),
            ("Z", Alphabet::Url, false),
            ("Zg==Zg==", Alphabet::Standard, false),
            ("Zm9v\n", Alphabet::Url, false),
            ("Zm 9v", Alphabet::Url, false),
        ] {
            assert_eq!(decoded(text, alphabet, &mut out).is_some(), expected, "{text} {alphabet:?}");
        }
        assert_eq!(decoded("Zm9v", Alphabet::Url, &mut [0; 2]), None, "no room");
    }
}
