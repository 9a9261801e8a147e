//! Measures cryptography, the lower bound of every cost.

use aes_gcm::aead::AeadInPlace;
use aes_gcm::{Aes128Gcm, KeyInit};
use edgetrust_core::crypto::{ECDSA_P256_SHA256, P256Key};
use edgetrust_core::x509::Certificate;
use edgetrust_firmware::random::ChaCha20Rng;
use p256::PublicKey;
use p256::ecdh::EphemeralSecret;
use sha2::{Digest, Sha256};
use static_cell::ConstStaticCell;

use crate::report::{Report, give_up};

static BULK: ConstStaticCell<[u8; 16 * 1024]> = ConstStaticCell::new([0x5a; _]);

#[inline(never)]
pub fn measure(report: &mut Report) {
    let bulk = BULK.take();
    report.measure("SHA-256, 16 KiB", || Sha256::digest(&bulk[..]));
    let aes = Aes128Gcm::new(&[7; 16].into());
    report.measure("AES-128-GCM, 16 KiB", || aes.encrypt_in_place_detached(&[1; 12].into(), &[], bulk).is_ok());

    let parse = |der| Certificate::from_der(der).unwrap_or_else(|_| give_up("a certificate does not parse"));
    let leaf = parse(include_bytes!("leaf.der"));
    let above = parse(include_bytes!("intermediate.der"));
    let (key, message, signature) = (above.subject_public_key_info().public_key, leaf.tbs(), leaf.signature());
    if ECDSA_P256_SHA256.verify_signature(key, message, signature).is_err() {
        give_up("a good signature is refused");
    }
    report.measure("P-256: verify", || ECDSA_P256_SHA256.verify_signature(key, message, signature).is_ok());
    let Some(own) = P256Key::from_random(&[7; 32]) else { give_up("no key") };
    report.measure("P-256: sign", || own.sign(message));
    let mut random = ChaCha20Rng::new(&[1; 32]);
    report.measure("P-256: key of an exchange", || EphemeralSecret::random(&mut random).public_key());
    let secret = EphemeralSecret::random(&mut random);
    let peer = PublicKey::from_sec1_bytes(key).unwrap_or_else(|_| give_up("a key is no point"));
    report.measure("P-256: shared secret", || secret.diffie_hellman(&peer).raw_secret_bytes()[0]);
    report.measure("P-256: key of a request", || P256Key::from_random(&[9; 32]).map(|key| key.public_key()));
}
