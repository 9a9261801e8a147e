//! Tests that a device refuses every certificate while it does not know the time.

use std::time::Duration;

use edgetrust_core::path::{Anchor, Budget, Limits, PathErrorKind, Purpose, Trust};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_tests::chains::{Shape, issue};
use pki_types::UnixTime;

const NOW: i64 = 1_800_000_000;

fn at(days: i64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs((NOW + days * 86_400).unsigned_abs()))
}

#[test]
fn only_a_known_time_accepts() {
    let chain = issue(&[Shape::ca(), Shape::leaf(&["b.example"])], NOW);
    let anchors = [Anchor::new(Certificate::from_der(&chain[0]).unwrap())];
    let leaf = Certificate::from_der(&chain[1]).unwrap();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let verdict = |time| {
        let verified = trust.verify_at(&leaf, &[], Purpose::ClientAuth, time, &mut Budget::new(Limits::DEVICE));
        verified.map(drop).map_err(|error| error.kind)
    };
    assert_eq!(verdict(TrustedTime::Known(at(0))), Ok(()));
    assert_eq!(verdict(TrustedTime::Unknown), Err(PathErrorKind::TimeUnknown));
    assert_eq!(verdict(TrustedTime::AtLeast(at(0))), Err(PathErrorKind::TimeUnknown));
    assert_eq!(verdict(TrustedTime::AtLeast(at(-2))), Err(PathErrorKind::TimeUnknown));
    let not_after = leaf.validity().not_after;
    assert_eq!(verdict(TrustedTime::AtLeast(at(2))), Err(PathErrorKind::Expired { not_after, now: at(2) }));
}
