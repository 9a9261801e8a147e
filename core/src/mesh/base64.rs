//! Decodes base64 (RFC 4648), strictly: one text for each sequence of octets.

use base64ct::{Base64, Base64UrlUnpadded, Encoding as _};

/// The characters that stand for octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alphabet {
    /// `+` and `/`, padded with `=` (RFC 4648 section 4), as certificates are written.
    Standard,
    /// `-` and `_`, without padding (RFC 7515 section 2), as the parts of a JWS are written.
    Url,
}

/// Returns the number of octets that a text of this length stands for.
pub(super) const fn decoded_length(characters: usize) -> usize {
    (characters / 4).saturating_mul(3).saturating_add((characters % 4).saturating_mul(3) / 4)
}

/// Decodes a text to `out` and returns the octets; `None` if the text is not base64 of this alphabet, has bits that
/// stand for nothing and are not zero (RFC 4648 section 3.5), or `out` is too short.
pub(super) fn decode<'o>(text: &[u8], alphabet: Alphabet, out: &'o mut [u8]) -> Option<&'o [u8]> {
    match alphabet {
        Alphabet::Standard => Base64::decode(text, out),
        Alphabet::Url => Base64UrlUnpadded::decode(text, out),
    }
    .ok()
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
