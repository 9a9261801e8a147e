//! Tests who may sign a mesh: whom a root made a signer, for nothing else.

use edgetrust_core::mesh::{SignedMesh, scratch_length};
use edgetrust_core::x509::KeyHash;
use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd};

use crate::pki::{
    Ca, NOW, Signer, ca_params, key_of, leaf_params, refusal, root, signer_params, text, time, with_trust,
};

/// Returns the error for a signer by the held root, changed from a good one.
fn refused(change: impl FnOnce(&mut CertificateParams)) -> String {
    let mut params = signer_params("1");
    change(&mut params);
    refusal(&root().signer(&params).sign(&text(&[])))
}

/// Judges a signed mesh where these roots are held and these keys denied.
fn verdict(text: &str, roots: &[&[u8]], denied: &[KeyHash]) -> Result<u32, String> {
    let mut scratch = vec![0; scratch_length(text.len())];
    with_trust(roots, denied, |trust| {
        let signed = SignedMesh::verify(text.as_bytes(), &mut scratch, trust, time(NOW));
        signed.map(|signed| signed.generation()).map_err(|error| error.to_string())
    })
}

const WRONG_PURPOSE: &str =
    "the signer's certificate: its extended key usage does not allow this purpose (RFC 5280 section 4.2.1.12)";

#[test]
fn a_signer_signs_meshes_and_does_nothing_else() {
    let others = [
        ExtendedKeyUsagePurpose::Any,
        ExtendedKeyUsagePurpose::ClientAuth,
        ExtendedKeyUsagePurpose::CodeSigning,
        ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 32_473, 6_984, 2]),
    ];
    assert_eq!(refused(|params| params.extended_key_usages.clear()), WRONG_PURPOSE);
    for other in others {
        assert_eq!(refused(|params| params.extended_key_usages.push(other.clone())), WRONG_PURPOSE);
        assert_eq!(refused(|params| params.extended_key_usages.insert(0, other.clone())), WRONG_PURPOSE);
        assert_eq!(refused(|params| params.extended_key_usages = vec![other.clone()]), WRONG_PURPOSE);
    }
    let usage = refused(|params| params.key_usages = vec![KeyUsagePurpose::KeyEncipherment]);
    assert!(usage.contains("its key usage lacks digitalSignature"), "{usage}");
    let ca = refused(|params| params.is_ca = ca_params("", None).is_ca);
    assert!(ca.contains("a CA certificate as a peer's own"), "{ca}");
}

#[test]
fn a_signer_is_within_its_dates() {
    let expired = refused(|params| params.not_after = date_time_ymd(2026, 12, 31));
    assert!(expired.contains("expired at 2026-12-31T00:00:00Z"), "{expired}");
    let early = refused(|params| params.not_before = date_time_ymd(2027, 2, 1));
    assert!(early.contains("valid only from 2027-02-01T00:00:00Z"), "{early}");
}

#[test]
fn a_signer_has_one_generation() {
    let expected =
        "the signer's certificate: expected its generation, a number from 1, as the only serialNumber of its subject";
    for wrong in ["0", "01", "", "-1", "+1", "1.0", "one", " 1", "4294967296", "99999999999999999999"] {
        let found = refusal(&root().signer(&signer_params(wrong)).sign(&text(&[])));
        assert_eq!(found, expected, "{wrong:?}");
    }
    let mut params = leaf_params("Signer");
    params.extended_key_usages = signer_params("1").extended_key_usages;
    assert_eq!(refusal(&root().signer(&params).sign(&text(&[]))), expected, "none");
    for generation in [1, 10, u32::MAX] {
        let signed = root().signer(&signer_params(&generation.to_string())).sign(&text(&[]));
        assert_eq!(verdict(&signed, &[&root().der], &[]), Ok(generation));
    }
}

#[test]
fn the_key_is_of_p_256() {
    let key = KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384).unwrap();
    let certificate = root().issue(&signer_params("1"), &key);
    let signer = Signer { x5c: vec![certificate], key: KeyPair::generate().unwrap() };
    let found = refusal(&signer.sign(&text(&[])));
    // Here no algorithm takes such a key; where one does, the signature's algorithm does not.
    assert!(found.starts_with("the signer's certificate: its key is of a kind"), "{found}");
}

/// Returns a CA below the root, as a site has one, with other limits.
fn site(limit: impl FnOnce(&mut CertificateParams)) -> Ca {
    let mut params = ca_params("Site CA", None);
    limit(&mut params);
    let key = KeyPair::generate().unwrap();
    let der = root().issue(&params, &key);
    Ca { params, key, der }
}

#[test]
fn no_ca_below_a_root_makes_a_signer() {
    type Change = fn(&mut CertificateParams);
    let limits: [(&str, Change); 3] = [
        ("path length", |params| params.is_ca = ca_params("", Some(0)).is_ca),
        ("purposes", |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ("names", |params| {
            let permitted_subtrees = vec![rcgen::GeneralSubtree::DnsName("b.example".into())];
            params.name_constraints = Some(rcgen::NameConstraints { permitted_subtrees, excluded_subtrees: vec![] });
        }),
    ];
    for (limited, limit) in limits {
        let site = site(limit);
        let mut signer = site.signer(&signer_params("1"));
        let alone = refusal(&signer.sign(&text(&[])));
        assert!(alone.starts_with("the signer's certificate: its issuer is neither"), "{alone}");
        signer.x5c.push(site.der.clone());
        let with_site = refusal(&signer.sign(&text(&[])));
        assert!(
            with_site.starts_with("protected.x5c[1]: expected a certificate of the root"),
            "{limited}: {with_site}"
        );
    }
}

#[test]
fn a_known_intermediate_makes_no_signer() {
    let site = site(|params| params.is_ca = ca_params("", Some(0)).is_ca);
    let text = site.signer(&signer_params("1")).sign(&text(&[]));
    let mut scratch = vec![0; scratch_length(text.len())];
    let known = [edgetrust_core::x509::Certificate::from_der(&site.der).unwrap()];
    with_trust(&[&root().der], &[], |trust| {
        let trust = edgetrust_core::path::Trust { known_intermediates: &known, ..*trust };
        let refused = SignedMesh::verify(text.as_bytes(), &mut scratch, &trust, time(NOW)).unwrap_err().to_string();
        assert!(refused.contains("its issuer is neither"), "{refused}");
    });
}

#[test]
fn a_pinned_signer_is_none() {
    let signer = root().signer(&signer_params("1"));
    let found = verdict(&signer.sign(&text(&[])), &[&signer.x5c[0]], &[]);
    let expected = "the signer's certificate: not issued by a root that is held";
    assert_eq!(found.unwrap_err(), expected);
}

#[test]
fn an_unknown_root_makes_no_signer_unless_a_held_one_certifies_it() {
    let next = Ca::root(ca_params("Next root", Some(2)));
    let mut signer = next.signer(&signer_params("1"));
    assert!(verdict(&signer.sign(&text(&[])), &[&root().der], &[]).unwrap_err().contains("its issuer is neither"));
    // Its own certificate proves nothing.
    signer.x5c.push(next.der.clone());
    let refused = verdict(&signer.sign(&text(&[])), &[&root().der], &[]).unwrap_err();
    assert!(refused.starts_with("certificate 1 above the signer's: its issuer is neither"), "{refused}");
    signer.x5c[1] = root().issue(&ca_params("Next root", Some(1)), &next.key);
    let signed = signer.sign(&text(&[]));
    assert_eq!(verdict(&signed, &[&root().der], &[]), Ok(1));
    assert_eq!(verdict(&signed, &[&next.der], &[]), Ok(1), "held in the meantime");
    // A certificate for another key, of the same name.
    signer.x5c[1] = root().issue(&ca_params("Next root", Some(1)), &KeyPair::generate().unwrap());
    let refused = verdict(&signer.sign(&text(&[])), &[&root().der], &[]).unwrap_err();
    assert!(refused.starts_with("the signer's certificate"), "{refused}");
    // Somebody else's certificate for the key.
    let other = Ca::root(ca_params("Root", Some(2)));
    signer.x5c[1] = other.issue(&ca_params("Next root", Some(1)), &next.key);
    assert!(verdict(&signer.sign(&text(&[])), &[&root().der], &[]).unwrap_err().contains("its signature was not made"));
    // The certificate of a third root's, for the next one.
    let mut params = signer_params("1");
    params.distinguished_name.push(DnType::OrganizationName, "Example");
    let direct = Signer { x5c: vec![root().issue(&params, &signer.key), signer.x5c[1].clone()], key: signer.key };
    assert!(verdict(&direct.sign(&text(&[])), &[&root().der], &[]).unwrap_err().starts_with("protected.x5c[1]"));
}

#[test]
fn denied_keys_make_no_signer() {
    let next = Ca::root(ca_params("Next root", Some(2)));
    let mut signer = next.signer(&signer_params("1"));
    signer.x5c.push(root().issue(&ca_params("Next root", Some(1)), &next.key));
    let signed = signer.sign(&text(&[]));
    for der in [&signer.x5c[0], &signer.x5c[1], &root().der] {
        let found = verdict(&signed, &[&root().der], &[key_of(der)]).unwrap_err();
        assert!(found.contains("its key is denied"), "{found}");
    }
}
