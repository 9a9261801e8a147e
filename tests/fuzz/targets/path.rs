//! Judges a bag of certificates, each with two octets of length before it: the first is the leaf, every third one an
//! anchor. A signature is valid if its last bit is zero, so that paths are found.

#![no_main]

use std::time::Duration;

use edgetrust_core::identity::{PeerPolicy, RuleName};
use edgetrust_core::path::{Anchor, Budget, Limits, Place, Purpose, Trust};
use edgetrust_core::pki_types::{
    AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, UnixTime, alg_id,
};
use edgetrust_core::x509::Certificate;
use libfuzzer_sys::fuzz_target;

#[derive(Debug)]
struct LastBit;

impl SignatureVerificationAlgorithm for LastBit {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }

    fn verify_signature(&self, _: &[u8], _: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        signature.last().filter(|octet| **octet & 1 == 0).map(|_| ()).ok_or(InvalidSignature)
    }
}

fn split(mut octets: &[u8]) -> Vec<&[u8]> {
    let mut parts = Vec::new();
    while let [high, low, rest @ ..] = octets {
        let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
        let (part, after) = rest.split_at(length);
        parts.push(part);
        octets = after;
    }
    parts
}

fuzz_target!(|octets: &[u8]| {
    let parsed: Vec<_> = split(octets).into_iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let Some((leaf, bag)) = parsed.split_first() else { return };
    let anchors: Vec<_> = bag.iter().copied().step_by(3).map(Anchor::ca).collect();
    let trust = Trust { anchors: &anchors, known_intermediates: bag, denied_keys: &[], algorithms: &[&LastBit] };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    for purpose in [Purpose::ServerAuth, Purpose::ClientAuth] {
        let limits = Limits::DEVICE;
        let mut budget = Budget::new(limits);
        match trust.verify(leaf, bag, purpose, now, &mut budget) {
            Ok(path) => {
                assert!(matches!(path.issuers().last(), Some(Place::Anchor(_))));
                assert!(path.valid_until() >= now);
                let _ = PeerPolicy::OneOf(&[RuleName::CommonName("location-b").into()]).authorize(path);
            }
            Err(error) => assert!(!error.to_string().is_empty()),
        }
        assert!(budget.left().work <= limits.work);
    }
});
