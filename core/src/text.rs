//! Splits text at ASCII characters. The searchers of `str` would bring panic machinery into a firmware image.

/// Returns the text before and after the first `at`, an ASCII character.
pub(crate) fn split_once(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().position(|octet| octet == at)?;
    Some((text.get(..place)?, text.get(place.checked_add(1)?..)?))
}

/// Returns the text before and after the last `at`, an ASCII character.
pub(crate) fn rsplit_once(text: &str, at: u8) -> Option<(&str, &str)> {
    let place = text.bytes().rposition(|octet| octet == at)?;
    Some((text.get(..place)?, text.get(place.checked_add(1)?..)?))
}

/// Returns the parts between the `at`s, at least one part.
pub(crate) fn split(text: &str, at: u8) -> impl Iterator<Item = &str> {
    let mut rest = Some(text);
    core::iter::from_fn(move || {
        let text = rest?;
        match split_once(text, at) {
            Some((part, after)) => {
                rest = Some(after);
                Some(part)
            }
            None => rest.take(),
        }
    })
}

/// Returns whether an ASCII character occurs.
pub(crate) fn contains(text: &str, character: u8) -> bool {
    text.bytes().any(|octet| octet == character)
}

/// Returns the text up to the first character for which `is_end` holds.
pub(crate) fn before(text: &str, is_end: impl Fn(u8) -> bool) -> &str {
    text.bytes().position(is_end).and_then(|end| text.get(..end)).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn as_str_does_it() {
        for text in ["", ".", "a", "a.b", ".a..b.", "ä.ö", "...", "a@b.c"] {
            assert_eq!(split_once(text, b'.'), text.split_once('.'), "{text}");
            assert_eq!(rsplit_once(text, b'.'), text.rsplit_once('.'), "{text}");
            assert_eq!(split(text, b'.').collect::<Vec<_>>(), text.split('.').collect::<Vec<_>>(), "{text}");
            assert_eq!(contains(text, b'@'), text.contains('@'), "{text}");
            assert_eq!(before(text, |octet| octet == b'.'), text.split('.').next().unwrap(), "{text}");
        }
    }
}
