//! Matches a pinned certificate, with two octets of length before it, against a name.

#![no_main]

use edgetrust_core::identity::{PeerPolicy, RuleName, ServerName, common_name, is_dns_name};
use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
use edgetrust_core::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};
use edgetrust_core::x509::Certificate;
use libfuzzer_sys::fuzz_target;

/// A stub algorithm: a pinned certificate's key must be of an enabled kind, and no signature is verified.
#[derive(Debug)]
struct P256;

impl SignatureVerificationAlgorithm for P256 {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }

    fn verify_signature(&self, _: &[u8], _: &[u8], _: &[u8]) -> Result<(), InvalidSignature> {
        Err(InvalidSignature)
    }
}

fuzz_target!(|octets: &[u8]| {
    let [high, low, rest @ ..] = octets else { return };
    let length = usize::from(u16::from_be_bytes([*high, *low])).min(rest.len());
    let (der, text) = rest.split_at(length);
    let (Ok(leaf), Ok(text)) = (Certificate::from_der(der), str::from_utf8(text)) else { return };
    let anchors = [Anchor::pin(leaf)];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[&P256] };
    let now = leaf.validity().not_after;
    let verify = |purpose| trust.verify(&leaf, &[], purpose, now, &mut Budget::new(Limits::DEVICE));
    if let Ok(path) = verify(Purpose::ServerAuth) {
        if ServerName::Dns(text).authorize(path).is_ok() {
            assert!(is_dns_name(text), "{text:?} is no DNS name");
        }
    }
    if let Ok(path) = verify(Purpose::ClientAuth) {
        if PeerPolicy::OneOf(&[RuleName::CommonName(text).into()]).authorize(path).is_ok() {
            let name = common_name(&leaf.subject()).expect("one common name");
            assert!(name.chars().eq(text.chars().map(Ok)) && !text.contains('\0'), "{text:?}");
        }
    }
});
