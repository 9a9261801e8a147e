//! Writes the few values in DER that certificates of a mesh need beside what the certificate library writes.

pub(super) use crate::token::value;

/// Returns the two halves of an ECDSA-Sig-Value for P-256 (RFC 3279 section 2.2.3), 32 octets each
/// (RFC 7518 section 3.4).
pub(super) fn es256(signature: &[u8]) -> Option<Vec<u8>> {
    let (tag, rest) = signature.split_first()?;
    let (length, rest) = rest.split_first()?;
    if *tag != 0x30 || usize::from(*length) != rest.len() {
        return None;
    }
    let (r, rest) = scalar(rest)?;
    let (s, rest) = scalar(rest)?;
    rest.is_empty().then(|| [r, s].concat())
}

/// Returns the first INTEGER as 32 octets, and the octets after it.
fn scalar(der: &[u8]) -> Option<([u8; 32], &[u8])> {
    let (tag, rest) = der.split_first()?;
    let (length, rest) = rest.split_first()?;
    let (mut number, rest) = rest.split_at_checked((*length).into())?;
    if let Some((0, after)) = number.split_first() {
        number = after;
    }
    let mut octets = [0; 32];
    let from = octets.len().checked_sub(number.len())?;
    octets.get_mut(from..)?.copy_from_slice(number);
    (*tag == 0x02).then_some((octets, rest))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_have_one_form() {
        assert_eq!(value(0x04, &[7]), [4, 1, 7]);
        assert_eq!(value(0x04, &[0; 128])[..3], [4, 0x81, 128]);
        assert_eq!(value(0x04, &[0; 300])[..4], [4, 0x82, 1, 44]);
    }

    #[test]
    fn signatures_have_64_octets() {
        let signature = [&[0x30, 0x27, 2, 33, 0][..], &[0xff; 32], &[2, 2, 1, 2]].concat();
        let halves = es256(&signature).unwrap();
        assert_eq!((halves.len(), halves[31], &halves[62..]), (64, 0xff, &[1, 2][..]));
        assert_eq!(halves[32..62], [0; 30]);
        for broken in
            [&[][..], &[0x30, 1], &[0x30, 3, 2, 1, 1], &[0x31, 6, 2, 1, 1, 2, 1, 1], &[0x30, 6, 2, 1, 1, 2, 9, 1]]
        {
            assert_eq!(es256(broken), None, "{broken:?}");
        }
    }
}
