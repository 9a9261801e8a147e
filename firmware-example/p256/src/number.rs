//! Numbers as p256-cm4 has them: eight words, the lowest first.

use elliptic_curve::Curve;

use crate::NistP256;

pub(crate) type Number = [u32; 8];

/// The order of the curve (SEC 2 section 2.4.2).
pub(crate) const ORDER: Number = NistP256::ORDER.to_words();

pub(crate) fn number(octets: &[u8; 32]) -> Number {
    let mut number = [0; 8];
    let (words, _) = octets.as_chunks::<4>();
    number.iter_mut().rev().zip(words).for_each(|(to, word)| *to = u32::from_be_bytes(*word));
    number
}

pub(crate) fn octets(number: &Number) -> [u8; 32] {
    let mut octets = [0; 32];
    let (words, _) = octets.as_chunks_mut::<4>();
    words.iter_mut().zip(number.iter().rev()).for_each(|(to, word)| *to = word.to_be_bytes());
    octets
}

/// Returns a digest modulo the order, which one subtraction makes of it; digests are no secrets. (RFC 6979 section
/// 2.3.4 needs it; p256-cm4 leaves it out.)
pub(crate) fn reduced(digest: &Number) -> Number {
    let (mut less, mut borrow) = ([0; 8], false);
    for ((to, word), subtrahend) in less.iter_mut().zip(digest).zip(&ORDER) {
        let (difference, first) = word.overflowing_sub(*subtrahend);
        let (difference, second) = difference.overflowing_sub(borrow.into());
        (*to, borrow) = (difference, first || second);
    }
    if borrow { *digest } else { less }
}
