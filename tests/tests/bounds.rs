//! Tests hostile peers: whatever they send is judged within the budget, and the work is counted.

use std::time::Duration;

use edgetrust_core::path::{Anchor, Budget, Limits, PathErrorKind, Purpose, Resource, Trust};
use edgetrust_core::x509::Certificate;
use edgetrust_tests::chains::{Shape, issue};
use edgetrust_tests::work::attacks;
use edgetrust_tests::work::shapes::a_thousand_names;
use pki_types::{CertificateDer, UnixTime};

const NOW: i64 = 1_800_000_000;

struct Work {
    verdict: Result<(), PathErrorKind>,
    units: u32,
}

/// Judges a leaf with a bag of a thousand certificates; returns the verdict and its cost.
fn work(root: &CertificateDer<'_>, leaf: &CertificateDer<'_>, bag: &[CertificateDer<'_>], limits: Limits) -> Work {
    let anchors = [Anchor::new(Certificate::from_der(root).unwrap())];
    let leaf = Certificate::from_der(leaf).unwrap();
    let bag: Vec<_> =
        bag.iter().cycle().take(1_000).map(|der| Certificate::from_der(der).expect("an attack parses")).collect();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
    let mut budget = Budget::new(limits);
    let verdict = trust.verify(&leaf, &bag, Purpose::ServerAuth, now, &mut budget);
    let left = budget.left();
    let work = Work { verdict: verdict.map(drop).map_err(|error| error.kind), units: limits.work - left.work };
    println!("{:?}: {} units", work.verdict, work.units);
    work
}

fn verify(chain: &[Vec<u8>], limits: Limits) -> Work {
    let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &[], known_intermediates: &[], denied_keys: &[], algorithms };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
    let mut budget = Budget::new(limits);
    let verdict = trust.verify(&parsed[0], &parsed[1..], Purpose::ServerAuth, now, &mut budget);
    Work { verdict: verdict.map(drop).map_err(|error| error.kind), units: limits.work - budget.left().work }
}

#[test]
fn every_attack_is_refused_within_the_budget() {
    for attack in attacks() {
        let octets: usize = attack.chain.iter().map(Vec::len).sum();
        assert!(octets < 65_536, "{}: {octets}", attack.name);
        let work = verify(&attack.chain, Limits::SERVER);
        println!("{}: {octets} octets, {} units, {:?}", attack.name, work.units, work.verdict);
        assert!(work.verdict.is_err(), "{}", attack.name);
        assert!(work.units <= Limits::SERVER.work, "{}", attack.name);
    }
}

#[test]
fn a_thousand_names_under_constraints_of_all_kinds_pass() {
    let chain = a_thousand_names();
    let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let anchors = [Anchor::new(parsed[1])];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
    let mut budget = Budget::new(Limits::SERVER);
    let verdict = trust.verify(&parsed[0], &[], Purpose::ServerAuth, now, &mut budget);
    println!("{} units", Limits::SERVER.work - budget.left().work);
    assert_eq!(verdict.map(drop), Ok(()));
}

#[test]
fn forged_signatures_by_the_right_name() {
    let mut shapes = vec![Shape::ca(); 2];
    shapes.push(Shape { forged: true, ..Shape::leaf(&["b.example"]) });
    let chain = issue(&shapes, NOW);
    for limits in [Limits::SERVER, Limits::DEVICE] {
        let work = work(&chain[0], &chain[2], &chain[1..2], limits);
        assert!(matches!(work.verdict, Err(PathErrorKind::Budget(_) | PathErrorKind::BadSignature)));
    }
}

#[test]
fn one_ca_a_thousand_times() {
    // The CA above the copies is missing.
    let chain = issue(&[Shape::ca(), Shape::ca(), Shape::ca(), Shape::leaf(&["b.example"])], NOW);
    let work = work(&chain[0], &chain[3], &chain[2..3], Limits::SERVER);
    assert!(work.verdict.is_err());
    assert!(work.units <= Limits::SERVER.work);
}

#[test]
fn a_root_that_is_not_ours_and_leads_to_itself() {
    let there = issue(&[Shape::ca(), Shape::ca(), Shape::leaf(&["b.example"])], NOW);
    let ours = issue(&vec![Shape::ca(); 5], NOW);
    let work = work(&ours[4], &there[2], &there[..2], Limits::SERVER);
    assert!(work.verdict.is_err());
    assert!(work.units <= Limits::SERVER.work);
}

#[test]
fn a_thousand_names_under_a_thousand_constraints() {
    let names: Vec<String> = (0..1_000).map(|number| format!("n{number}.example")).collect();
    let excluded: Vec<String> = (0..1_000).map(|number| format!("x{number}.example")).collect();
    let shapes = [Shape { excluded, ..Shape::ca() }, Shape { names, ..Shape::leaf(&[]) }];
    let chain = issue(&shapes, NOW);
    let work = work(&chain[0], &chain[1], &[], Limits::SERVER);
    assert_eq!(work.verdict, Err(PathErrorKind::Budget(Resource::Work)));
    assert_eq!(work.units, Limits::SERVER.work);
}
