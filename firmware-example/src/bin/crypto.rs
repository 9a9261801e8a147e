//! Tests this processor's P-256 against the portable one: both must agree on keys and signatures, good and bad. Ends
//! with QEMU's exit status 0, or 1 and a line that states the fault.

#![no_std]
#![no_main]

use edgetrust_core::crypto::{ECDSA_P256_SHA256, P256Key, read_ecdsa_signature, write_ecdsa_signature};
use edgetrust_firmware::{board, crypto};
use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};
use semihosting::process::exit;

/// The curve's prime and its order (SEC 2 section 2.4.2).
const PRIME: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0xff, 0xff, 0xff, 0xff, 0xff,
];
const ORDER: [u8; 32] = [
    0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xbc, 0xe6, 0xfa, 0xad, 0xa7,
    0x17, 0x9e, 0x84, 0xf3, 0xb9, 0xca, 0xc2, 0xfc, 0x63, 0x25, 0x51,
];

macro_rules! check {
    ($holds:expr, $what:literal $(, $value:expr)*) => {
        if !$holds {
            defmt::error!($what $(, $value)*);
            exit(1);
        }
    };
}

/// Returns the verdict on which both implementations agree.
fn both(key: &[u8], message: &[u8], signature: &[u8]) -> bool {
    let here = crypto::ECDSA.verify_signature(key, message, signature).is_ok();
    let there = ECDSA_P256_SHA256.verify_signature(key, message, signature).is_ok();
    check!(here == there, "{=bool} here, {=bool} there: {=[u8]} {=[u8]} {=[u8]}", here, there, key, message, signature);
    here
}

#[cortex_m_rt::entry]
fn main() -> ! {
    check!(board::take().is_ok(), "no board");
    let mut random = ChaCha20Rng::seed_from_u64(1);
    for round in 0..24_usize {
        let mut octets = [0; 32];
        random.fill_bytes(&mut octets);
        let mut message = [0; 100];
        random.fill_bytes(&mut message);
        let Some(message) = message.get(..round * 4) else { continue };
        let Some(key) = P256Key::from_random(&octets) else { continue };
        test(&key, message, &mut random);
    }
    test_edges();
    defmt::info!("passed");
    exit(0)
}

fn test(key: &P256Key, message: &[u8], random: &mut ChaCha20Rng) {
    let public = key.public_key();
    let signature = crypto::sign(key, message);
    check!(signature == key.sign(message), "another signature than the portable code's");
    let Some(signature) = signature else { return check!(false, "no signature") };
    check!(both(&public, message, &signature), "a good signature is refused");
    check!(!both(&public, b"another", &signature), "a signature fits another message");
    // The portable code accepts a compressed key; this code does not, as RFC 5480 section 2.2 permits.
    let compressed = compressed(&public);
    check!(crypto::ECDSA.verify_signature(&compressed, message, &signature).is_err(), "a compressed key is taken");
    for _ in 0..4 {
        let place = random.next_u32() as usize;
        let bit = 1 << (random.next_u32() % 8);
        let mut wrong = signature.clone();
        let length = wrong.len();
        wrong[place % length] ^= bit;
        check!(!both(&public, message, &wrong), "octet {=usize} of a signature makes no difference", place % length);
        let mut wrong = public;
        wrong[place % 65] ^= bit;
        check!(!both(&wrong, message, &signature), "octet {=usize} of a key makes no difference", place % 65);
    }
    let Some((r, s)) = read_ecdsa_signature(&signature) else { return check!(false, "not DER") };
    // The other signature of the same numbers is valid by the standard.
    let other = subtract(&ORDER, &s);
    check!(write_ecdsa_signature(&r, &other).is_some_and(|other| both(&public, message, &other)), "n - s is refused");
    for bad in [ORDER, add_one(&ORDER), PRIME, [0xff; 32]] {
        for (r, s) in [(&bad, &s), (&r, &bad), (&bad, &bad)] {
            let Some(wrong) = write_ecdsa_signature(r, s) else { continue };
            check!(!both(&public, message, &wrong), "a number out of range is taken");
        }
    }
    for zero in [&[0x30, 6, 2, 1, 0, 2, 1, 1], &[0x30, 6, 2, 1, 1, 2, 1, 0], &[0x30, 6, 2, 1, 0, 2, 1, 0]] {
        check!(!both(&public, message, zero), "zero is taken");
    }
    check!(!both(&public, message, &[]), "no signature is taken");
}

/// Tests keys that are not points of the curve.
fn test_edges() {
    let Some(key) = P256Key::from_random(&[7; 32]) else { return check!(false, "no key") };
    let Some(signature) = key.sign(b"message") else { return check!(false, "no signature") };
    let public = key.public_key();
    let mut keys = [public; 6];
    let [beside, large_x, large_y, nothing, hybrid, infinity] = &mut keys;
    // Not on the curve, coordinates of the prime or more, (0, 0), the hybrid form, a tag for the point at infinity.
    beside[64] = beside[64].wrapping_add(1);
    large_x[1..33].copy_from_slice(&PRIME);
    large_y[33..].copy_from_slice(&[0xff; 32]);
    nothing[1..].fill(0);
    hybrid[0] = 6 | (public[64] & 1);
    infinity[0] = 0;
    for key in &keys {
        check!(!both(key, b"message", &signature), "a key that is no point is taken: {=[u8]}", *key);
    }
    for length in [0, 1, 2, 32, 33, 34, 64] {
        check!(!both(&public[..length], b"message", &signature), "a key of {=usize} octets is taken", length);
    }
    // Some of these points are on the curve, some are not.
    for x in 0..16 {
        let mut short = [0; 33];
        (short[0], short[32]) = (2, x);
        check!(!both(&short, b"message", &signature), "another key is taken");
    }
}

fn compressed(public: &[u8; 65]) -> [u8; 33] {
    let mut out = [0; 33];
    out.copy_from_slice(&public[..33]);
    out[0] = 2 | (public[64] & 1);
    out
}

fn subtract(from: &[u8; 32], number: &[u8; 32]) -> [u8; 32] {
    let (mut out, mut borrow) = ([0; 32], false);
    for place in (0..32).rev() {
        let (low, first) = from[place].overflowing_sub(number[place]);
        let (low, second) = low.overflowing_sub(borrow.into());
        (out[place], borrow) = (low, first || second);
    }
    out
}

fn add_one(number: &[u8; 32]) -> [u8; 32] {
    let mut out = *number;
    out[31] = out[31].wrapping_add(1);
    out
}
