//! Tests this board's P-256 (`crypto VECTORS`): against Wycheproof's vectors, which `tests/src/bin/p256-vectors.rs`
//! writes to that file, and against p256 0.14: both must agree on keys and signatures, good and bad. Ends with QEMU's
//! exit status 0, or 1 and a line that states the fault.

#![no_std]
#![no_main]

use core::ffi::CStr;

use edgetrust_core::crypto::{ECDSA_P256_SHA256, P256Key, read_ecdsa_signature, write_ecdsa_signature};
use edgetrust_firmware::random::ChaCha20Rng;
use edgetrust_firmware::{board, stack};
use p256::ecdh::EphemeralSecret;
use p256::{EncodedPoint, PublicKey};
use portable_p256::ecdsa::signature::Verifier;
use portable_p256::ecdsa::{Signature, SigningKey, VerifyingKey, signature::Signer};
use portable_p256::elliptic_curve::sec1::ToSec1Point;
use rand_core::{CryptoRng, RngCore};
use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::Read;
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
    let here = ECDSA_P256_SHA256.verify_signature(key, message, signature).is_ok();
    let there = portable(key, message, signature).is_some();
    check!(here == there, "{=bool} here, {=bool} there: {=[u8]} {=[u8]} {=[u8]}", here, there, key, message, signature);
    here
}

/// Returns the verdict of p256 0.14. It takes compressed keys too, which nobody needs to (RFC 5480 section 2.2).
fn portable(key: &[u8], message: &[u8], signature: &[u8]) -> Option<()> {
    let (r, s) = read_ecdsa_signature(signature)?;
    let signature = Signature::from_scalars(r, s).ok()?;
    VerifyingKey::from_sec1_bytes(key).ok()?.verify(message, &signature).ok()
}

#[cortex_m_rt::entry]
fn main() -> ! {
    check!(board::take().is_ok(), "no board");
    let mut random = ChaCha20Rng::new(&[1; 32]);
    for round in 0..24_usize {
        let mut octets = [0; 32];
        random.fill_bytes(&mut octets);
        let mut message = [0; 100];
        random.fill_bytes(&mut message);
        let Some(message) = message.get(..round * 4) else { continue };
        let Some(key) = P256Key::from_random(&octets) else { continue };
        test(&key, message, &mut random);
        test_scrubbed(&key, message);
        let mut others = [0; 32];
        random.fill_bytes(&mut others);
        test_exchange(&octets, &others);
    }
    test_edges();
    let vectors = test_vectors();
    check!(vectors > 700, "{=u32} vectors", vectors);
    defmt::info!("passed, with {=u32} vectors", vectors);
    exit(0)
}

/// Hides a secret's words from a search for them. Its octets are the same in either order.
const MASK: u32 = 0x5aa5_a55a;

/// Returns a secret's words, masked. What it leaves on the stack is deep enough to be painted over.
#[inline(never)]
fn masked(secret: impl FnOnce() -> [u8; 32]) -> [u32; 8] {
    let below = core::hint::black_box([0_u8; 1024]);
    let secret = secret();
    core::hint::black_box(&below);
    let mut words = [0; 8];
    words.iter_mut().zip(secret.as_chunks::<4>().0).for_each(|(to, word)| *to = u32::from_be_bytes(*word) ^ MASK);
    words
}

/// Looks for one of these words, in either order of its octets, in the stack that is free.
#[inline(never)]
#[expect(unsafe_code, reason = "the stack has no other name")]
fn left(masked: &[u32; 8]) -> bool {
    unsafe extern "C" {
        static _stack_end: u32;
    }
    let pointer = cortex_m::register::msp::read() as usize;
    let mut at = &raw const _stack_end;
    while at.addr() < pointer {
        // SAFETY: from the end of the stack to its pointer, aligned and readable.
        let word = unsafe { at.read_volatile() } ^ MASK;
        if masked.iter().any(|wanted| word == *wanted || word == wanted.swap_bytes()) {
            return true;
        }
        at = at.wrapping_add(1);
    }
    false
}

/// Tests that no part of a key is left on the stack by what is done with it.
#[inline(never)]
fn test_scrubbed(key: &P256Key, message: &[u8]) {
    let words = masked(|| key.scalar());
    let (signature, _) = stack::taken_by(|| key.sign(message));
    check!(signature.is_some(), "no signature");
    check!(!left(&words), "a signature leaves the key on the stack");
    // The search finds what is there.
    let _ = masked(|| key.scalar());
    check!(left(&words), "a key on the stack is not found");
}

/// Exchanges keys with the portable code.
#[inline(never)]
fn test_exchange(octets: &[u8; 32], others: &[u8; 32]) {
    let words = masked(|| *octets);
    let ours = EphemeralSecret::random(&mut Once(octets));
    let Ok(theirs) = portable_p256::SecretKey::from_slice(others) else { return check!(false, "no key") };
    let (public, _) = stack::taken_by(|| EncodedPoint::from(&ours.public_key()));
    check!(!left(&words), "a public key leaves the private one on the stack");
    let point = portable_p256::PublicKey::from_sec1_bytes(public.as_bytes());
    let Ok(point) = point else { return check!(false, "no point") };
    let there = portable_p256::ecdh::diffie_hellman(theirs.to_nonzero_scalar(), point.as_affine());
    let public = theirs.public_key().to_sec1_point(false);
    let Ok(point) = PublicKey::from_sec1_bytes(public.as_bytes()) else { return check!(false, "no point") };
    let (here, _) = stack::taken_by(|| ours.diffie_hellman(&point));
    check!(!left(&words), "an exchange leaves the private key on the stack");
    check!(here.raw_secret_bytes().as_slice() == there.raw_secret_bytes().as_slice(), "two different secrets");
}

fn give_up(what: &str) -> ! {
    defmt::error!("{=str}", what);
    exit(1)
}

/// Gives its octets out once.
struct Once<'a>(&'a [u8]);

impl RngCore for Once<'_> {
    fn next_u32(&mut self) -> u32 {
        rand_core::impls::next_u32_via_fill(self)
    }

    fn next_u64(&mut self) -> u64 {
        rand_core::impls::next_u64_via_fill(self)
    }

    fn fill_bytes(&mut self, dest: &mut [u8]) {
        check!(dest.len() == self.0.len(), "a private key is refused: {=[u8]}", self.0);
        dest.copy_from_slice(self.0);
        self.0 = &[];
    }

    fn try_fill_bytes(&mut self, dest: &mut [u8]) -> Result<(), rand_core::Error> {
        self.fill_bytes(dest);
        Ok(())
    }
}

impl CryptoRng for Once<'_> {}

/// Judges Wycheproof's vectors; returns their number.
#[inline(never)]
fn test_vectors() -> u32 {
    let mut file = open().unwrap_or_else(|| give_up("expected the argument VECTORS, a file"));
    let mut count = 0;
    let mut head = [0; 8];
    // The kind, the verdict, and the lengths of three fields (two octets, little endian).
    while fill(&mut file, &mut head) {
        let [kind, wanted, lengths @ ..] = head;
        let mut record = [0; 4608];
        let ([a, b, c], []) = lengths.as_chunks::<2>() else { give_up("no lengths") };
        let [a, b, c] = [a, b, c].map(|length| usize::from(u16::from_le_bytes(*length)));
        let whole = record.get_mut(..a + b + c);
        check!(whole.is_some_and(|record| fill(&mut file, record)), "the vectors end, or one is too long");
        let (key, rest) = record.split_at(a);
        let (second, rest) = rest.split_at(b);
        let third = &rest[..c];
        let good = match kind {
            b'V' => ECDSA_P256_SHA256.verify_signature(key, second, third).is_ok(),
            b'E' => PublicKey::from_sec1_bytes(key).is_ok_and(|point| {
                let shared = EphemeralSecret::random(&mut Once(second)).diffie_hellman(&point);
                shared.raw_secret_bytes().as_slice() == third
            }),
            _ => give_up("another kind"),
        };
        check!(good == (wanted == 1), "vector {=u32}, {=u8}: {=[u8]} {=[u8]} {=[u8]}", count, kind, key, second, third);
        count += 1;
    }
    count
}

/// Fills `out`; returns false at the end of the file.
fn fill(file: &mut File, out: &mut [u8]) -> bool {
    let mut rest = out;
    while !rest.is_empty() {
        match file.read(rest) {
            Ok(octets) if octets > 0 => rest = rest.get_mut(octets..).unwrap_or_default(),
            _ => return false,
        }
    }
    true
}

fn open() -> Option<File> {
    let arguments = env::args::<600>().ok()?;
    let mut path = heapless::Vec::<u8, 256>::new();
    path.extend_from_slice((&arguments).nth(1)?.ok()?.as_bytes()).ok()?;
    path.push(0).ok()?;
    File::open(CStr::from_bytes_with_nul(&path).ok()?).ok()
}

/// Returns the portable code's signature.
fn sign_portably(key: &P256Key, message: &[u8]) -> Option<edgetrust_core::crypto::EcdsaSignature> {
    let signature: Signature = SigningKey::from_slice(&key.scalar()).ok()?.try_sign(message).ok()?;
    let (r, s) = signature.split_bytes();
    write_ecdsa_signature(&r.into(), &s.into())
}

fn test(key: &P256Key, message: &[u8], random: &mut ChaCha20Rng) {
    let public = key.public_key();
    let signature = key.sign(message);
    check!(signature == sign_portably(key, message), "another signature than the portable code's");
    let Some(signature) = signature else { return check!(false, "no signature") };
    check!(both(&public, message, &signature), "a good signature is refused");
    check!(!both(&public, b"another", &signature), "a signature fits another message");
    // The portable code accepts a compressed key; this code does not, as RFC 5480 section 2.2 permits.
    let compressed = compressed(&public);
    check!(ECDSA_P256_SHA256.verify_signature(&compressed, message, &signature).is_err(), "a compressed key is taken");
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
