//! Reads a chain as a record holds it: DER certificates one after the other.

/// Returns the certificates of a chain, leaf first, and stops where the octets are not a whole certificate.
pub fn certificates(chain: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = chain;
    core::iter::from_fn(move || {
        let (one, after) = rest.split_at_checked(length(rest)?)?;
        rest = after;
        Some(one)
    })
}

/// The length of the first SEQUENCE in octets, with tag and length (X.690 section 8.1.3).
fn length(octets: &[u8]) -> Option<usize> {
    let (0x30, [first, after @ ..]) = octets.split_first().map(|(tag, rest)| (*tag, rest))? else { return None };
    let (contents, head) = match usize::from(*first) {
        short @ 0..=0x7f => (short, 2_usize),
        long @ 0x81..=0x83 => {
            let count = long & 0x7f;
            let value = after.get(..count)?.iter().fold(0_usize, |value, octet| (value << 8) | usize::from(*octet));
            (value, count.saturating_add(2))
        }
        _ => return None,
    };
    contents.checked_add(head)
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    #[test]
    fn certificates_are_told_apart() {
        let mut long = [0x5a; 4 + 300];
        long[..4].copy_from_slice(&[0x30, 0x82, 1, 44]);
        let short = [0x30, 2, 5, 0];
        let chain: Vec<u8> = long.iter().chain(&short).copied().collect();
        let found: Vec<_> = certificates(&chain).collect();
        assert_eq!(found, [&long[..], &short[..]]);
        for end in 0..chain.len() {
            assert!(certificates(&chain[..end]).count() < 2, "{end}");
        }
        for not_one in [&[0x31, 0][..], &[0x30, 0x80], &[0x30, 0x84, 0, 0, 0, 0], &[0x30, 0x82, 1]] {
            assert_eq!(certificates(not_one).count(), 0);
        }
    }
}
