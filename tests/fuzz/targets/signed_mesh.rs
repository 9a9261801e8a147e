//! Verifies any octets as a signed mesh, with signatures that are all valid: one root is held, whose certificate comes
//! first, after its length. What is accepted is by a signer, and is judged as an offer.

#![no_main]

use std::time::Duration;

use edgetrust_core::mesh::{Digest, Edition, InForce, SignedMesh, scratch_length, takes};
use edgetrust_core::path::{Anchor, Trust};
use edgetrust_core::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use edgetrust_core::x509::Certificate;
use libfuzzer_sys::fuzz_target;

/// Takes every signature for one by the key.
#[derive(Debug)]
struct EverySignature;

impl SignatureVerificationAlgorithm for EverySignature {
    fn verify_signature(&self, _key: &[u8], _message: &[u8], _signature: &[u8]) -> Result<(), InvalidSignature> {
        Ok(())
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }
}

fuzz_target!(|octets: &[u8]| {
    let Some((length, rest)) = octets.split_first_chunk() else { return };
    let Some((root, text)) = rest.split_at_checked(u16::from_be_bytes(*length).into()) else { return };
    let Ok(root) = Certificate::from_der(root) else { return };
    let anchors = [Anchor::new(root)];
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[&EverySignature] };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let mut scratch = vec![0; scratch_length(text.len())];
    let signed = match SignedMesh::verify(text, &mut scratch, &trust, now) {
        Ok(signed) => signed,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    assert!(signed.generation() > 0);
    assert!(signed.signer().extensions().extended_key_usage.is_some());
    let Ok(offer) = signed.offer() else { return };
    let in_force = Edition { generation: 1, sequence: 5, digest: Digest::new([0; 32]) };
    let in_force = InForce { name: "Example Mesh", edition: in_force };
    match takes(Some(&in_force), &offer, &trust, now) {
        Ok(_) => assert!((offer.edition().generation, offer.edition().sequence) >= (1, 5)),
        Err(error) => assert!(!error.to_string().is_empty()),
    }
});
