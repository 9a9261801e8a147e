//! Arithmetic in assembly: p256-cm4.

use elliptic_curve::consts::U32;
use sha2::Sha256;
use zeroize::Zeroizing;

use crate::number::{Number, ORDER, octets};
use crate::{FieldBytes, PublicKey};

/// Checks that a number is from 1 to the order less 1.
pub(crate) fn in_range(number: &Number) -> bool {
    p256_cm4::check_range_n(number)
}

/// Decodes an uncompressed point (SEC 1 section 2.3.4), unless it is not on the curve.
pub(crate) fn decode(point: &[u8; 65]) -> Option<PublicKey> {
    let mut decoded = PublicKey { x: [0; 8], y: [0; 8] };
    // It takes hybrid points too, and does not decompress all points.
    let uncompressed = point[0] == 4;
    let on_curve = p256_cm4::octet_string_to_point(&mut decoded.x, &mut decoded.y, point);
    (uncompressed && on_curve).then_some(decoded)
}

/// Returns the public key of a private one, unless that is out of range.
#[inline(never)]
pub(crate) fn public_key(secret: &Number) -> Option<PublicKey> {
    let mut point = PublicKey { x: [0; 8], y: [0; 8] };
    p256_cm4::keygen(&mut point.x, &mut point.y, secret).then_some(point)
}

/// Returns the shared secret (SEC 1 section 3.3.1).
#[inline(never)]
pub(crate) fn agree(secret: &Number, point: &PublicKey) -> Option<Zeroizing<[u8; 32]>> {
    let mut shared = Zeroizing::new([0; 32]);
    p256_cm4::ecdh_calc_shared_secret(&mut shared, secret, &point.x, &point.y).then_some(shared)
}

/// Returns the numbers r and s of the signature with the nonce of RFC 6979 section 3.2. A nonce for which there is no
/// signature comes up once in 2^256. `digest` is below the order.
#[inline(never)]
pub(crate) fn sign(secret: &Number, digest: &Number) -> Option<(Number, Number)> {
    let [key, digest, order] = [secret, digest, &ORDER].map(|number| FieldBytes::from(octets(number)));
    let nonce = crate::number::number(&rfc6979::generate_k::<Sha256, U32>(&key, &order, &digest, &[]).into());
    let (mut r, mut s) = ([0; 8], [0; 8]);
    p256_cm4::sign(&mut r, &mut s, &digest, secret, &nonce).then_some((r, s))
}

/// Checks a signature (SEC 1 section 4.1.4). `digest` is below the order.
pub(crate) fn verify(key: &PublicKey, digest: &Number, (r, s): (&Number, &Number)) -> bool {
    p256_cm4::verify(&key.x, &key.y, &octets(digest), r, s)
}
