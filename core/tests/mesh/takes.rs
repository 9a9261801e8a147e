//! Tests which edition of a mesh comes into force.

use edgetrust_core::mesh::{Digest, Edition, InForce, Offer, Taken, takes};
use rcgen::{CertificateParams, KeyPair};

use crate::pki::{Ca, NOW, Signer, base64, ca_params, key_of, offered, root, signer_params, text, time, with_trust};

fn signer(generation: u32) -> Signer {
    root().signer(&signer_params(&generation.to_string()))
}

/// Returns a mesh in force.
fn in_force(generation: u32, sequence: u64, digest: u8) -> InForce<'static> {
    InForce { name: "Example Mesh", edition: Edition { generation, sequence, digest: Digest::new([digest; 32]) } }
}

/// Judges an offer where one root is held.
fn judged(in_force: Option<&InForce<'_>>, text: &str) -> Result<Taken, String> {
    judged_at(in_force, text, NOW)
}

fn judged_at(in_force: Option<&InForce<'_>>, text: &str, now: &str) -> Result<Taken, String> {
    with_trust(&[&root().der], &[], |trust| {
        offered(text, trust, |offer| {
            let offer = offer.unwrap_or_else(|error| panic!("{error}"));
            takes(in_force, &offer, trust, time(now)).map_err(|error| error.to_string())
        })
    })
}

/// Judges an offer that is not signed.
fn unsigned(in_force: Option<&InForce<'_>>, text: &str) -> Result<Taken, String> {
    with_trust(&[&root().der], &[], |trust| {
        let offer = Offer::unsigned(text.as_bytes()).unwrap_or_else(|error| panic!("{error}"));
        takes(in_force, &offer, trust, time(NOW)).map_err(|error| error.to_string())
    })
}

fn sequence(number: u64) -> String {
    text(&[(r#""sequence": 7"#, &format!(r#""sequence": {number}"#))])
}

#[test]
fn a_higher_edition_comes_into_force_and_a_lower_one_does_not() {
    let signed = signer(2).sign(&sequence(7));
    assert_eq!(judged(None, &signed), Ok(Taken::Newer));
    for (generation, sequence, expected) in [
        (2, 6, Ok(Taken::Newer)),
        (1, 7, Ok(Taken::Newer)),
        (1, u64::MAX, Ok(Taken::Newer)),
        (0, u64::MAX, Ok(Taken::Newer)),
        (
            2,
            8,
            Err("found sequence 7 by a signer of generation 2, and in force is sequence 8 by a signer of generation 2"),
        ),
        (
            3,
            1,
            Err("found sequence 7 by a signer of generation 2, and in force is sequence 1 by a signer of generation 3"),
        ),
    ] {
        let found = judged(Some(&in_force(generation, sequence, 9)), &signed);
        assert_eq!(found.as_ref().map_err(String::as_str), expected.as_ref().map_err(|text| *text));
    }
}

#[test]
fn the_highest_sequence_locks_nobody_out() {
    let highest = signer(1).sign(&sequence(u64::MAX));
    assert_eq!(judged(Some(&in_force(1, 7, 9)), &highest), Ok(Taken::Newer));
    let after = in_force(1, u64::MAX, 9);
    let refused = judged(Some(&after), &signer(1).sign(&sequence(8))).unwrap_err();
    assert!(refused.starts_with("found sequence 8 by a signer of generation 1, and in force is"), "{refused}");
    assert_eq!(judged(Some(&after), &signer(2).sign(&sequence(8))), Ok(Taken::Newer));
}

#[test]
fn one_sequence_with_two_texts_is_a_conflict_that_ends_alike_everywhere() {
    let (one, other) = (sequence(7), sequence(7) + " ");
    let edition = |text: &str| Edition { generation: 1, sequence: 7, digest: Digest::of(text.as_bytes()) };
    let wins = |text: &str, against: &str| edition(text) > edition(against);
    for (there, comes) in [(&one, &other), (&other, &one)] {
        let in_force = InForce { name: "Example Mesh", edition: edition(there) };
        let found = judged(Some(&in_force), &signer(1).sign(comes));
        assert_eq!(found, Ok(Taken::Conflict { offer_wins: wins(comes, there) }));
        // Whoever signed it: what counts is the generation.
        assert_eq!(judged(Some(&in_force), &signer(1).sign(there)), Ok(Taken::InForce));
    }
    assert_ne!(wins(&one, &other), wins(&other, &one));
}

#[test]
fn a_mesh_that_is_not_signed_is_the_administrators_until_one_is_signed() {
    let seven = sequence(7);
    assert_eq!(unsigned(None, &seven), Ok(Taken::Newer));
    for sequence in [6, 7, 8] {
        assert_eq!(unsigned(Some(&in_force(0, sequence, 9)), &seven), Ok(Taken::Newer));
    }
    let same = InForce { name: "Example Mesh", edition: Offer::unsigned(seven.as_bytes()).unwrap().edition() };
    assert_eq!(unsigned(Some(&same), &seven), Ok(Taken::InForce));
    let expected =
        "found a mesh that is not signed, and one is in force that is: sequence 1 by a signer of generation 1";
    assert_eq!(unsigned(Some(&in_force(1, 1, 9)), &seven), Err(expected.to_owned()));
}

#[test]
fn a_mesh_of_another_name_is_another_mesh() {
    let other = text(&[("Example Mesh", "Other Mesh")]);
    let expected = r#"found mesh "Other Mesh", expected "Example Mesh""#;
    assert_eq!(judged(Some(&in_force(1, 6, 9)), &signer(1).sign(&other)), Err(expected.to_owned()));
    assert_eq!(judged(Some(&in_force(0, 6, 9)), &signer(1).sign(&other)), Err(expected.to_owned()));
    assert_eq!(unsigned(Some(&in_force(0, 6, 9)), &other), Ok(Taken::Newer));
}

#[test]
fn an_expired_mesh_is_not_taken_and_one_in_force_stays() {
    let (text, last, late) = (sequence(7), "2027-06-01T00:00:00Z", "2027-06-01T00:00:01Z");
    let signed = signer(1).sign(&text);
    assert_eq!(judged_at(Some(&in_force(1, 6, 9)), &signed, last), Ok(Taken::Newer));
    let expected = "the mesh expired at 2027-06-01T00:00:00Z, and it is 2027-06-01T00:00:01Z";
    assert_eq!(judged_at(Some(&in_force(1, 6, 9)), &signed, late), Err(expected.to_owned()));
    let digest = Digest::of(text.as_bytes());
    let same = InForce { name: "Example Mesh", edition: Edition { generation: 1, sequence: 7, digest } };
    assert_eq!(judged_at(Some(&same), &signed, late), Ok(Taken::InForce));
}

/// Returns a mesh that denies a key.
fn denying(der: &[u8], more: &str) -> String {
    let denied = format!(r#""denied_keys": [{{"key": "{}"{more}}},"#, key_of(der));
    text(&[(r#""denied_keys": ["#, &denied)])
}

#[test]
fn a_mesh_is_judged_by_its_own_denials() {
    let signer = signer(1);
    let expected = |der: &[u8]| Err(format!("the mesh denies a key that its own signature rests on: {}", key_of(der)));
    for der in [&signer.x5c[0], &root().der] {
        assert_eq!(judged(None, &signer.sign(&denying(der, ""))), expected(der));
    }
    let ended = r#", "until": "2026-12-31T00:00:00Z""#;
    assert_eq!(judged(None, &signer.sign(&denying(&signer.x5c[0], ended))), Ok(Taken::Newer));
}

/// Returns a text with these roots.
fn with_roots(roots: &[&[u8]]) -> String {
    let roots: Vec<_> = roots.iter().map(|der| format!("\"{}\"", base64(der))).collect();
    text(&[(r#""roots": ["@root"]"#, &format!(r#""roots": [{}]"#, roots.join(",")))])
}

const NOT_HELD: &str = "roots[1]: found a root that is not held, expected a certificate for its key by a held root too";

#[test]
fn a_root_that_is_not_held_counts_with_a_certificate_by_a_held_one() {
    let next = Ca::root(ca_params("Next root", Some(2)));
    let issued = |params: &CertificateParams| root().issue(params, &next.key);
    let cross = issued(&ca_params("Next root", Some(1)));
    let found = |roots: &[&[u8]]| judged(None, &signer(1).sign(&with_roots(roots)));
    assert_eq!(found(&[&root().der, &next.der]), Err(NOT_HELD.to_owned()));
    assert_eq!(found(&[&root().der, &next.der, &cross]), Ok(Taken::Newer));
    assert_eq!(found(&[&cross, &root().der, &next.der]), Ok(Taken::Newer));
    assert_eq!(found(&[&root().der, &cross]), Ok(Taken::Newer));
    // A held root may go.
    assert_eq!(found(&[&next.der, &cross]), Ok(Taken::Newer));
    let renewed = root().issue(&ca_params("Root", None), &root().key);
    assert_eq!(found(&[&renewed]), Ok(Taken::Newer), "the key is held");

    let other_key = root().issue(&ca_params("Next root", Some(1)), &KeyPair::generate().unwrap());
    assert_eq!(found(&[&root().der, &next.der, &other_key]), Err(NOT_HELD.to_owned()));
    let other_name = issued(&ca_params("Other root", Some(1)));
    assert_eq!(found(&[&root().der, &next.der, &other_name]), Err(NOT_HELD.to_owned()));
    let stranger = Ca::root(ca_params("Root", Some(2)));
    let forged = stranger.issue(&ca_params("Next root", Some(1)), &next.key);
    let refused = found(&[&root().der, &next.der, &forged]).unwrap_err();
    assert!(refused.ends_with("is refused: its signature was not made by the issuer's key"), "{refused}");
    let mut expired = ca_params("Next root", Some(1));
    expired.not_after = rcgen::date_time_ymd(2026, 12, 31);
    let refused = found(&[&root().der, &next.der, &issued(&expired)]).unwrap_err();
    assert!(refused.contains("is refused: expired at"), "{refused}");
}

#[test]
fn a_held_root_without_room_for_cas_certifies_none() {
    let (held, next) = (Ca::root(ca_params("Held", Some(0))), Ca::root(ca_params("Next root", Some(2))));
    let cross = held.issue(&ca_params("Next root", Some(1)), &next.key);
    let signed = signer(1).sign(&with_roots(&[&next.der, &cross]));
    with_trust(&[&root().der, &held.der], &[], |trust| {
        offered(&signed, trust, |offer| {
            let error = takes(None, &offer.unwrap(), trust, time(NOW)).unwrap_err().to_string();
            assert!(error.contains("its path length allows fewer intermediate CAs below than there are"), "{error}");
        })
    });
}

#[test]
fn the_ca_of_a_site_does_not_become_a_root() {
    let site = Ca::root(ca_params("Site CA", None));
    let limits: [fn(&mut CertificateParams); 2] = [
        |params| params.is_ca = ca_params("", Some(0)).is_ca,
        |params| params.extended_key_usages = vec![rcgen::ExtendedKeyUsagePurpose::ServerAuth],
    ];
    for limit in limits {
        let mut params = ca_params("Site CA", Some(1));
        limit(&mut params);
        let issued = root().issue(&params, &site.key);
        let found = judged(None, &signer(1).sign(&with_roots(&[&root().der, &site.der, &issued])));
        assert_eq!(found, Err(NOT_HELD.to_owned()));
        let found = judged(None, &signer(1).sign(&with_roots(&[&root().der, &issued]))).unwrap_err();
        assert!(found.starts_with("roots[1]: found a root that is not held"), "{found}");
    }
}

#[test]
fn a_certificate_with_the_key_of_a_held_root_must_be_signed_too() {
    let found = |der: &[u8]| judged(None, &signer(1).sign(&with_roots(&[der])));
    let forged = Ca::root(ca_params("Root", Some(2))).issue(&ca_params("Root", None), &root().key);
    let expected = "roots[0]: found a root that is not held, and the certificate that should prove it is refused: ";
    assert!(found(&forged).unwrap_err().starts_with(expected));
    let mut expired = ca_params("Root", None);
    expired.not_after = rcgen::date_time_ymd(2026, 12, 31);
    let refused = found(&root().issue(&expired, &root().key)).unwrap_err();
    assert!(refused.starts_with(&format!("{expected}expired at")), "{refused}");
}

#[test]
fn a_root_that_a_mesh_denies_certifies_no_other() {
    let (held, next) = (Ca::root(ca_params("Held", None)), Ca::root(ca_params("Next root", Some(2))));
    let cross = held.issue(&ca_params("Next root", Some(1)), &next.key);
    let roots = [root().der.as_slice(), &next.der, &cross].map(|der| format!("\"{}\"", base64(der))).join(",");
    let found = |denied: &str| {
        let text = text(&[
            (r#""roots": ["@root"]"#, &format!(r#""roots": [{roots}]"#)),
            (r#""denied_keys": ["#, &format!(r#""denied_keys": [{denied}"#)),
        ]);
        with_trust(&[&root().der, &held.der], &[], |trust| {
            offered(&signer(1).sign(&text), trust, |offer| {
                let offer = offer.unwrap_or_else(|error| panic!("{error}"));
                takes(None, &offer, trust, time(NOW)).map_err(|error| error.to_string())
            })
        })
    };
    assert_eq!(found(""), Ok(Taken::Newer));
    let denied = format!(r#"{{"key": "{}"}},"#, key_of(&held.der));
    assert!(found(&denied).unwrap_err().starts_with("the mesh denies a key"), "denied");
}
