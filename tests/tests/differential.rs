//! Compares the verdicts of core and rustls-webpki on generated chains and names, with the same algorithms. Every
//! disagreement is in the table of `docs/SECURITY.md`, or a bug.

use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use edgetrust_core::identity::{Denied, ServerName};
use edgetrust_core::path::{Anchor, Budget, Limits, PathError, PathErrorKind, Purpose, Trust};
use edgetrust_core::x509::Certificate;
use edgetrust_tests::chains::{Shape, issue};
use pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};
use proptest::prelude::*;
use proptest::sample::{select, subsequence};
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

const NOW: i64 = 1_800_000_000;

/// Returns the number of cases of each test; `DIFFERENTIAL_CASES=100000` makes a longer run.
fn cases() -> u32 {
    std::env::var("DIFFERENTIAL_CASES").ok().and_then(|cases| cases.parse().ok()).unwrap_or(1_500)
}

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()))
}

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all
}

fn core(chain: &[CertificateDer<'_>], purpose: Purpose) -> Result<(), PathError> {
    let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).expect("rcgen writes DER")).collect();
    let [anchor, intermediates @ .., leaf] = parsed.as_slice() else { panic!("a chain of two at least") };
    let anchors = [Anchor::ca(*anchor)];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: algorithms() };
    trust.verify(leaf, intermediates, purpose, now(), &mut Budget::new(Limits::SERVER)).map(drop)
}

fn webpki(chain: &[CertificateDer<'_>], purpose: Purpose) -> Result<(), webpki::Error> {
    let [anchor, intermediates @ .., leaf] = chain else { panic!("a chain of two at least") };
    let anchors = [webpki::anchor_from_trusted_cert(anchor)?];
    let usage = match purpose {
        Purpose::ServerAuth => webpki::KeyUsage::server_auth(),
        Purpose::ClientAuth => webpki::KeyUsage::client_auth(),
        Purpose::MeshSigning => panic!("webpki knows no such purpose"),
    };
    let leaf = webpki::EndEntityCert::try_from(leaf)?;
    leaf.verify_for_usage(algorithms(), &anchors, intermediates, now(), usage, None, None).map(drop)
}

/// Returns whether a known difference explains why core alone refuses. The numbers are those of the table in
/// `docs/SECURITY.md`.
fn explained(error: &PathError, chain: &[CertificateDer<'_>]) -> bool {
    let at_anchor = usize::from(error.depth) + 1 == chain.len();
    match error.kind {
        // 1: webpki does not look at keyCertSign
        PathErrorKind::NoKeyCertSign | PathErrorKind::KeyCertSignInLeaf => true,
        // 2: webpki's anchors are a name, a key and name constraints; here they are certificates
        PathErrorKind::Expired { .. }
        | PathErrorKind::NotYetValid { .. }
        | PathErrorKind::PathTooLong { .. }
        | PathErrorKind::WrongPurpose
        | PathErrorKind::NotACa
        | PathErrorKind::IssuerIsPin => at_anchor,
        // 3: webpki does not look at a leaf's key usage
        PathErrorKind::KeyUsage | PathErrorKind::NoDigitalSignature => error.depth == 0,
        _ => false,
    }
}

fn any_purpose(shapes: &[Shape]) -> bool {
    shapes.iter().any(|shape| shape.purposes.contains(&ExtendedKeyUsagePurpose::Any))
}

fn shape(ca: bool) -> impl Strategy<Value = Shape> {
    let usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::CrlSign];
    let purposes = vec![
        ExtendedKeyUsagePurpose::ServerAuth,
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::CodeSigning,
        ExtendedKeyUsagePurpose::Any,
    ];
    let trees = vec!["example".to_owned(), "b.example".to_owned(), "c.example".to_owned()];
    let names = vec!["b.example", "a.b.example", "*.b.example", "c.example", "bb.example", "B.Example"];
    let good = if ca { Shape::ca() } else { Shape::leaf(&["b.example"]) };
    (
        Just(good),
        prop_oneof![8 => Just((-1, 1)), 1 => Just((-3, -1)), 1 => Just((1, 3))],
        prop_oneof![8 => Just(ca), 1 => Just(!ca)],
        prop::option::weighted(0.3, 0_u8..3),
        prop_oneof![2 => Just(None), 1 => subsequence(usages, 0..=3).prop_map(Some)],
        prop_oneof![2 => Just(Vec::new()), 1 => subsequence(purposes, 0..=3)],
        (
            prop_oneof![3 => Just(Vec::new()), 1 => subsequence(trees.clone(), 0..=2)],
            prop_oneof![4 => Just(Vec::new()), 1 => subsequence(trees, 0..=2)],
            select(names),
        ),
        prop::bool::weighted(0.03),
    )
        .prop_map(move |(good, days, is_ca, below, usages, purposes, (permitted, excluded, name), forged)| Shape {
            days,
            ca: is_ca.then_some(below),
            key_usages: usages.unwrap_or_else(|| good.key_usages.clone()),
            purposes,
            names: if ca { Vec::new() } else { vec![name.to_owned()] },
            addresses: Vec::new(),
            permitted: if ca { permitted } else { Vec::new() },
            excluded: if ca { excluded } else { Vec::new() },
            forged,
        })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn chains(cas in prop::collection::vec(shape(true), 1..4), leaf in shape(false), client: bool) {
        let shapes: Vec<Shape> = cas.into_iter().chain([leaf]).collect();
        let chain = issue(&shapes, NOW);
        let purpose = if client { Purpose::ClientAuth } else { Purpose::ServerAuth };
        match (core(&chain, purpose), webpki(&chain, purpose)) {
            (Ok(()), Ok(())) | (Err(_), Err(_)) => {}
            // 4: anyExtendedKeyUsage
            (Ok(()), Err(webpki::Error::RequiredEkuNotFoundContext(_))) if any_purpose(&shapes) => {}
            (Ok(()), Err(theirs)) => prop_assert!(false, "accepted here, webpki refuses: {theirs:?}\n{shapes:#?}"),
            (Err(ours), Ok(())) => prop_assert!(explained(&ours, &chain), "refused here: {ours}\n{shapes:#?}"),
        }
    }

    #[test]
    fn mutated_octets(place in 0_usize..3, at: prop::sample::Index, to: u8) {
        let shapes = [Shape::ca(), Shape::ca(), Shape::leaf(&["b.example"])];
        let mut chain = issue(&shapes, NOW);
        let mut der = chain[place].to_vec();
        let at = at.index(der.len());
        let before = std::mem::replace(&mut der[at], to);
        // The last arc of an extension's object identifier, 2.5.29.*
        let names_extension = at >= 4 && der[at - 4..at] == [0x06, 0x03, 0x55, 0x1d];
        let original = std::mem::replace(&mut chain[place], der.into());
        let subject = |der| Certificate::from_der(der).map(|certificate| certificate.subject().as_bytes().to_vec());
        let renamed = subject(&original) != subject(&chain[place]);
        let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der)).collect();
        let ours = parsed.iter().all(Result::is_ok) && core(&chain, Purpose::ServerAuth).is_ok();
        // An anchor's own signature proves nothing, so a change there may go unnoticed.
        if place > 0 && before != to {
            prop_assert!(!ours, "octet {at} of certificate {place}: {before} to {to}");
        }
        // 6: names are compared as text, without regard to case; 7: extensions that decide nothing here are not looked into
        if ours && !renamed && !names_extension {
            prop_assert!(webpki(&chain, Purpose::ServerAuth).is_ok(), "accepted here alone: octet {at}, {before} to {to}");
        }
    }

    #[test]
    fn server_names(name in name(), wanted in name()) {
        let Ok(theirs) = pki_types::ServerName::try_from(wanted.as_str()) else { return Ok(()) };
        if !matches!(theirs, pki_types::ServerName::DnsName(_)) {
            return Ok(());
        }
        let chain = issue(&[Shape::ca(), Shape::leaf(&[&name])], NOW);
        let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
        let anchors = [Anchor::ca(parsed[0])];
        let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: algorithms() };
        let path = trust.verify(&parsed[1], &[], Purpose::ServerAuth, now(), &mut Budget::new(Limits::SERVER)).unwrap();
        let ours = ServerName::Dns(&wanted).authorize(path).map(drop);
        let theirs = webpki::EndEntityCert::try_from(&chain[1]).unwrap().verify_is_valid_for_subject_name(&theirs);
        match (ours, theirs) {
            (Ok(()), Ok(())) | (Err(_), Err(_)) => {}
            // 5: a name that could be an address, an all-numeric last label
            (Err(Denied::MalformedServerName | Denied::WrongServerName), Ok(())) if numeric(&wanted) => {}
            (ours, theirs) => prop_assert!(false, "{name:?} for {wanted:?}: here {ours:?}, webpki {theirs:?}"),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(), failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn server_addresses(has in address(), wanted in address()) {
        let chain = issue(&[Shape::ca(), Shape { addresses: vec![has], ..Shape::leaf(&["127.0.0.1.example"]) }], NOW);
        let parsed: Vec<_> = chain.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
        let anchors = [Anchor::ca(parsed[0])];
        let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: algorithms() };
        let path = trust.verify(&parsed[1], &[], Purpose::ServerAuth, now(), &mut Budget::new(Limits::SERVER)).unwrap();
        let ours = ServerName::Ip(wanted).authorize(path).is_ok();
        let name = pki_types::ServerName::from(wanted);
        let theirs = webpki::EndEntityCert::try_from(&chain[1]).unwrap().verify_is_valid_for_subject_name(&name);
        prop_assert_eq!(ours, theirs.is_ok(), "{} for {}", has, wanted);
        // An IPv4 address and the IPv6 address that maps it are two.
        prop_assert_eq!(ours, has == wanted);
    }
}

/// Generates few addresses, so that two are often equal, some of them as IPv4-mapped.
fn address() -> impl Strategy<Value = IpAddr> {
    (0_u8..3, any::<bool>()).prop_map(|(last, mapped)| {
        let v4 = Ipv4Addr::new(127, 0, 0, last);
        if mapped { v4.to_ipv6_mapped().into() } else { v4.into() }
    })
}

fn numeric(name: &str) -> bool {
    let last = name.trim_end_matches('.').rsplit('.').next().unwrap_or("");
    last.bytes().all(|octet| octet.is_ascii_digit())
}

/// Generates names with valid and invalid labels, wildcards and misplaced dots.
fn name() -> impl Strategy<Value = String> {
    let label = prop_oneof![
        6 => select(vec!["a", "b", "A", "example", "xn--bcher-kva", "a-b", "a_b", "1"]),
        1 => select(vec!["*", "", "-a", "a-", "**", "*a", "a b", "a\0", "ü"]).prop_filter("ASCII", |label| label.is_ascii()),
    ];
    (prop::collection::vec(label, 1..4), prop::bool::weighted(0.1))
        .prop_map(|(labels, dot)| format!("{}{}", labels.join("."), if dot { "." } else { "" }))
}
