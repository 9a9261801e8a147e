//! Reads and writes ECDSA-Sig-Value (RFC 3279 section 2.2.3) for numbers of 32 octets. Our own cursor reads it: the
//! reader of p256 would add 5 KB to an image.

use super::EcdsaSignature;
use crate::x509::reader::{DerReader, is_minimal_integer, tag};

/// Reads the two numbers of a signature, each big-endian; none if the signature is not DER, or a number is negative or
/// too long. The numbers may be zero, or too large for the curve: the verifier checks that.
pub fn read_ecdsa_signature(signature: &[u8]) -> Option<([u8; 32], [u8; 32])> {
    let mut input = DerReader::new(signature);
    let mut numbers = input.enter(tag::SEQUENCE).ok()?;
    input.end().ok()?;
    let both = (read_number(&mut numbers)?, read_number(&mut numbers)?);
    numbers.end().ok()?;
    Some(both)
}

/// Reads a positive INTEGER of at most 32 octets.
fn read_number(numbers: &mut DerReader<'_>) -> Option<[u8; 32]> {
    let octets = numbers.require(tag::INTEGER).ok()?.value;
    if !is_minimal_integer(octets) || octets.first().is_none_or(|first| *first >= 0x80) {
        return None;
    }
    let octets = octets.strip_prefix(&[0]).unwrap_or(octets);
    let mut out = [0; 32];
    let from = out.len().checked_sub(octets.len())?;
    out.get_mut(from..)?.copy_from_slice(octets);
    Some(out)
}

/// Encodes a signature of two numbers, each big-endian; none if one is zero.
pub fn write_ecdsa_signature(r: &[u8; 32], s: &[u8; 32]) -> Option<EcdsaSignature> {
    let mut numbers = heapless::Vec::<u8, 70>::new();
    write_number(&mut numbers, r)?;
    write_number(&mut numbers, s)?;
    let mut out = EcdsaSignature::from_slice(&[tag::SEQUENCE, u8::try_from(numbers.len()).ok()?]).ok()?;
    out.extend_from_slice(&numbers).ok()?;
    Some(out)
}

/// Writes an INTEGER without leading zeros, except one where the number would be negative.
fn write_number(out: &mut heapless::Vec<u8, 70>, octets: &[u8]) -> Option<()> {
    let from = octets.iter().position(|octet| *octet != 0)?;
    let octets = octets.get(from..)?;
    let negative = octets.first().is_some_and(|first| *first >= 0x80);
    let length = u8::try_from(octets.len()).ok()?.checked_add(u8::from(negative))?;
    out.extend_from_slice(&[tag::INTEGER, length]).ok()?;
    if negative {
        out.push(0).ok()?;
    }
    out.extend_from_slice(octets).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_each_length_survive() {
        for length in 1..=32 {
            for first in [0x01, 0x7f, 0x80, 0xff] {
                let mut number = [0; 32];
                number[32 - length] = first;
                let written = write_ecdsa_signature(&number, &[0xff; 32]).unwrap();
                assert_eq!(read_ecdsa_signature(&written), Some((number, [0xff; 32])));
                for end in 0..written.len() {
                    assert_eq!(read_ecdsa_signature(&written[..end]), None);
                }
            }
        }
        assert_eq!(write_ecdsa_signature(&[0; 32], &[1; 32]), None);
    }

    #[test]
    fn what_is_not_der_is_none() {
        assert!(read_ecdsa_signature(&[0x30, 6, 2, 1, 1, 2, 1, 1]).is_some());
        for wrong in [
            [0x30, 6, 2, 1, 0x80, 2, 1, 1].as_slice(),
            &[0x30, 7, 2, 2, 0, 1, 2, 1, 1],
            &[0x30, 6, 2, 1, 1, 2, 1, 1, 0],
            &[0x30, 3, 2, 1, 1],
            &[0x30, 9, 2, 1, 1, 2, 1, 1, 2, 1, 1],
            &[0x31, 6, 2, 1, 1, 2, 1, 1],
        ] {
            assert_eq!(read_ecdsa_signature(wrong), None, "{wrong:x?}");
        }
        let mut long = [0; 40];
        long[..5].copy_from_slice(&[0x30, 38, 2, 33, 1]);
        long[37..].copy_from_slice(&[2, 1, 1]);
        assert_eq!(read_ecdsa_signature(&long), None);
    }
}
