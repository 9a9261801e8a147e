//! Finds the known key that was probably meant by a misspelt one.

/// An upper bound for the length of a key.
const MAX_KEY: usize = 32;

/// Returns the nearest of `known`, if it is near: at most a third of its letters differ.
pub(crate) fn nearest(key: &str, known: impl Iterator<Item = &'static str>) -> Option<&'static str> {
    known
        .filter_map(|candidate| Some((distance(key.as_bytes(), candidate.as_bytes())?, candidate)))
        .filter(|(distance, candidate)| *distance <= (candidate.len() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, candidate)| candidate)
}

/// Counts insertions, deletions and substitutions (Levenshtein), without regard to case; `None` if a key is too long
/// to be near.
fn distance(a: &[u8], b: &[u8]) -> Option<usize> {
    if a.len() > MAX_KEY || b.len() > MAX_KEY {
        return None;
    }
    let mut row: heapless::Vec<usize, { MAX_KEY + 1 }> = heapless::Vec::new();
    for place in 0..=b.len() {
        let pushed = row.push(place).is_ok();
        debug_assert!(pushed, "a key is longer than MAX_KEY");
    }
    for (i, x) in a.iter().enumerate() {
        let mut diagonal = i;
        let mut left = i.saturating_add(1);
        let mut cells = row.iter_mut();
        *cells.next()? = left;
        for (cell, y) in cells.zip(b) {
            let substituted = diagonal.saturating_add(usize::from(!x.eq_ignore_ascii_case(y)));
            diagonal = *cell;
            left = substituted.min(diagonal.saturating_add(1)).min(left.saturating_add(1));
            *cell = left;
        }
    }
    row.last().copied()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances() {
        for (a, b, expected) in [
            ("", "abc", 3),
            ("abc", "abc", 0),
            ("kitten", "sitting", 3),
            ("Cert_file", "cert_file", 0),
            ("ab", "ba", 2),
        ] {
            assert_eq!(distance(a.as_bytes(), b.as_bytes()), Some(expected), "{a} {b}");
        }
    }

    #[test]
    fn near_or_nothing() {
        let known = ["cert_file", "key_file", "min_version"];
        assert_eq!(nearest("certfile", known.into_iter()), Some("cert_file"));
        assert_eq!(nearest("min_vresion", known.into_iter()), Some("min_version"));
        assert_eq!(nearest("colour", known.into_iter()), None);
    }
}
