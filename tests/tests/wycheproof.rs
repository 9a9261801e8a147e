//! Runs Wycheproof's vectors for every signature algorithm that core implements.

use edgetrust_core::crypto::{ECDSA_P256_SHA256, ECDSA_P384_SHA384, ED25519};
use pki_types::SignatureVerificationAlgorithm;
use wycheproof::{TestResult, ecdsa, eddsa};

fn check(
    algorithm: &dyn SignatureVerificationAlgorithm,
    key: &[u8],
    message: &[u8],
    signature: &[u8],
    wanted: TestResult,
    what: &str,
) {
    let verified = algorithm.verify_signature(key, message, signature).is_ok();
    match wanted {
        TestResult::Valid => assert!(verified, "{what}: a valid signature is refused"),
        TestResult::Invalid => assert!(!verified, "{what}: an invalid signature is taken"),
        TestResult::Acceptable => {}
    }
}

#[test]
fn ecdsa() {
    for (name, algorithm) in [
        (ecdsa::TestName::EcdsaSecp256r1Sha256, ECDSA_P256_SHA256),
        (ecdsa::TestName::EcdsaSecp384r1Sha384, ECDSA_P384_SHA384),
    ] {
        let mut count = 0;
        for group in ecdsa::TestSet::load(name).unwrap().test_groups {
            for test in group.tests {
                let what = format!("{name:?} {}: {}", test.tc_id, test.comment);
                check(algorithm, &group.key.key, &test.msg, &test.sig, test.result, &what);
                count += 1;
            }
        }
        assert!(count > 400, "{count} vectors");
    }
}

#[test]
fn ed25519() {
    let mut count = 0;
    for group in eddsa::TestSet::load(eddsa::TestName::Ed25519).unwrap().test_groups {
        for test in group.tests {
            let what = format!("Ed25519 {}: {}", test.tc_id, test.comment);
            check(ED25519, &group.key.pk, &test.msg, &test.sig, test.result, &what);
            count += 1;
        }
    }
    assert!(count > 100, "{count} vectors");
}
