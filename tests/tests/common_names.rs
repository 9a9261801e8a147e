//! Tests common names in every string type: a rule matches the decoded text and nothing else.

use std::time::Duration;

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::identity::{PeerPolicy, RuleName};
use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
use edgetrust_core::x509::Certificate;
use pki_types::UnixTime;
use proptest::prelude::*;
use rcgen::string::{BmpString, Ia5String, PrintableString, TeletexString, UniversalString};
use rcgen::{CertificateParams, DistinguishedName, DnType, DnValue, KeyPair};

/// Returns whether a rule for `allowed` admits a pinned client with this common name.
fn let_in(name: DnValue, allowed: &str) -> bool {
    thread_local!(static KEY: KeyPair = KeyPair::generate().unwrap());
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    let der = KEY.with(|key| params.self_signed(key).unwrap()).der().clone();
    let leaf = Certificate::from_der(&der).unwrap();
    let anchors = [Anchor::pin(leaf)];
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[ECDSA_P256_SHA256] };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    let path = trust.verify(&leaf, &[], Purpose::ClientAuth, now, &mut Budget::new(Limits::DEVICE)).unwrap();
    PeerPolicy::OneOf(&[RuleName::CommonName(allowed).into()]).authorize(path).is_ok()
}

/// Returns the text in each string type that can hold it.
fn forms(text: &str) -> Vec<DnValue> {
    let mut forms = vec![DnValue::Utf8String(text.to_owned())];
    forms.extend(PrintableString::try_from(text).map(DnValue::PrintableString));
    forms.extend(Ia5String::try_from(text).map(DnValue::Ia5String));
    forms.extend(TeletexString::try_from(text).map(DnValue::TeletexString));
    forms.extend(BmpString::try_from(text).map(DnValue::BmpString));
    forms.extend(UniversalString::try_from(text).map(DnValue::UniversalString));
    forms
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn the_same_text_in_every_type(text in "[a-zA-Z0-9 äЖ字.'-]{1,12}", other in "[a-zA-Z0-9 .-]{1,12}") {
        for form in forms(&text) {
            prop_assert!(let_in(form.clone(), &text), "{form:?}");
            prop_assert_eq!(let_in(form.clone(), &other), text == other, "{:?} as {:?}", form, other);
            // The match is exact: neither case nor spaces are folded.
            let upper = text.to_uppercase();
            prop_assert_eq!(let_in(form.clone(), &upper), text == upper, "{:?} as {:?}", form, upper);
        }
    }
}

#[test]
fn what_could_be_cut_off_never_matches() {
    for text in ["location-b\0.evil.example", "location-b\0"] {
        for form in forms(text) {
            assert!(!let_in(form.clone(), "location-b"), "{form:?}");
            assert!(!let_in(form.clone(), text), "{form:?}");
        }
    }
    // "location-b" as UTF-16 in a type of single octets is another text.
    let wide: String = "location-b".chars().flat_map(|c| ['\0', c]).collect();
    assert!(!let_in(DnValue::Utf8String(wide), "location-b"));
}
