//! Portable arithmetic: p256 0.14.

use portable::ecdsa::signature::hazmat::{PrehashSigner, PrehashVerifier};
use portable::ecdsa::{Signature, SigningKey, VerifyingKey};
use portable::elliptic_curve::ecdh::diffie_hellman;
use portable::elliptic_curve::sec1::ToSec1Point;
use zeroize::Zeroizing;

use crate::PublicKey;
use crate::number::{Number, number, octets};

fn key(secret: &Number) -> Option<portable::SecretKey> {
    portable::SecretKey::from_slice(Zeroizing::new(octets(secret)).as_slice()).ok()
}

fn encoded(key: &PublicKey) -> [u8; 65] {
    let mut encoded = [4; 65];
    let coordinates = octets(&key.x).into_iter().chain(octets(&key.y));
    encoded.iter_mut().skip(1).zip(coordinates).for_each(|(to, octet)| *to = octet);
    encoded
}

/// Checks that a number is from 1 to the order less 1.
pub(crate) fn in_range(number: &Number) -> bool {
    key(number).is_some()
}

/// Decodes an uncompressed point (SEC 1 section 2.3.4), unless it is not on the curve.
pub(crate) fn decode(point: &[u8; 65]) -> Option<PublicKey> {
    portable::PublicKey::from_sec1_bytes(point).ok()?;
    let [4, coordinates @ ..] = point else { return None };
    let (x, y) = coordinates.split_first_chunk::<32>()?;
    Some(PublicKey { x: number(x), y: number(y.try_into().ok()?) })
}

/// Returns the public key of a private one, unless that is out of range.
#[inline(never)]
pub(crate) fn public_key(secret: &Number) -> Option<PublicKey> {
    decode(key(secret)?.public_key().to_sec1_point(false).as_bytes().try_into().ok()?)
}

/// Returns the shared secret (SEC 1 section 3.3.1).
#[inline(never)]
pub(crate) fn agree(secret: &Number, point: &PublicKey) -> Option<Zeroizing<[u8; 32]>> {
    let point = portable::PublicKey::from_sec1_bytes(&encoded(point)).ok()?;
    let shared = diffie_hellman(key(secret)?.to_nonzero_scalar(), point.as_affine());
    Some(Zeroizing::new((*shared.raw_secret_bytes()).into()))
}

/// Returns the numbers r and s of the signature with the nonce of RFC 6979 section 3.2.
#[inline(never)]
pub(crate) fn sign(secret: &Number, digest: &Number) -> Option<(Number, Number)> {
    let signature: Signature = SigningKey::from(key(secret)?).sign_prehash(&octets(digest)).ok()?;
    let (r, s) = signature.split_bytes();
    Some((number(&r.into()), number(&s.into())))
}

/// Checks a signature (SEC 1 section 4.1.4).
pub(crate) fn verify(key: &PublicKey, digest: &Number, (r, s): (&Number, &Number)) -> bool {
    let key = VerifyingKey::from_sec1_bytes(&encoded(key));
    let signature = Signature::from_scalars(octets(r), octets(s));
    matches!((key, signature), (Ok(key), Ok(signature)) if key.verify_prehash(&octets(digest), &signature).is_ok())
}
