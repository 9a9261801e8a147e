//! Writes the values in DER that PKCS #11 leaves to the caller: keys and signatures.

/// Returns a value with this tag octet. Contents of more than 65,535 octets do not occur.
pub(crate) fn value(tag: u8, contents: &[u8]) -> Vec<u8> {
    let [high, low] = u16::try_from(contents.len()).unwrap_or(u16::MAX).to_be_bytes();
    let mut der = vec![tag];
    match (high, low) {
        (0, 0..=0x7f) => der.push(low),
        (0, _) => der.extend([0x81, low]),
        _ => der.extend([0x82, high, low]),
    }
    der.extend_from_slice(contents);
    der
}

/// Returns a nonnegative INTEGER from its octets, the highest first.
pub(super) fn integer(octets: &[u8]) -> Vec<u8> {
    let from = octets.iter().position(|octet| *octet != 0).unwrap_or(octets.len());
    let octets = octets.get(from..).unwrap_or_default();
    match octets.first() {
        Some(first) if first & 0x80 == 0 => value(0x02, octets),
        _ => value(0x02, &[&[0], octets].concat()),
    }
}

/// Returns an ECDSA-Sig-Value (RFC 3279 section 2.2.3) from r and s, which PKCS #11 puts one after the other.
pub(super) fn ecdsa_signature(halves: &[u8], length: usize) -> Option<Vec<u8>> {
    let (r, s) = halves.split_at_checked(length)?;
    (s.len() == length).then(|| value(0x30, &[integer(r), integer(s)].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn halves_become_integers_of_one_form() {
        assert_eq!(integer(&[0, 0]), [2, 1, 0]);
        assert_eq!(integer(&[0, 0x80]), [2, 2, 0, 0x80]);
        assert_eq!(integer(&[0, 0, 0x7f, 1]), [2, 2, 0x7f, 1]);
        assert_eq!(ecdsa_signature(&[0, 1, 0x80, 2], 2).unwrap(), [0x30, 8, 2, 1, 1, 2, 3, 0, 0x80, 2]);
        assert_eq!(ecdsa_signature(&[1, 2, 3], 2), None);
        assert_eq!(ecdsa_signature(&[1, 2, 3, 4, 5], 2), None);
    }
}
