//! Verdicts on chains, by lists.

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::path::{
    Anchor, Budget, Limits, PathErrorKind, Purpose, RequiredLists, Resource, Revocation, RevocationError, Trust,
};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::revocation::{Reason, RevocationList};
use edgetrust_core::x509::Certificate;
use rcgen::{KeyUsagePurpose, SigningKey};

use super::pki::{Ca, List, ca_params, extension, full_name, time, tlv};

const NOW: &str = "2027-01-10T00:00:00Z";

/// A path to be judged, and the lists to judge it by.
struct Case<'c> {
    anchors: Vec<&'c [u8]>,
    leaf: &'c [u8],
    sent: Vec<&'c [u8]>,
    lists: Vec<&'c [u8]>,
    required: RequiredLists,
    now: UnixTime,
    /// The CAs that are known to have signed the lists, tried beforehand.
    signers: Vec<&'c [u8]>,
    limits: Limits,
}

/// The depth and the fault of a refusal, or the end of the lists.
type Verdict = Result<Option<UnixTime>, (u8, PathErrorKind)>;

impl<'c> Case<'c> {
    fn new(anchor: &'c Ca, leaf: &'c [u8], lists: &[&'c [u8]]) -> Self {
        Self {
            anchors: vec![&anchor.der],
            leaf,
            sent: Vec::new(),
            lists: lists.to_vec(),
            required: RequiredLists::None,
            now: time(NOW),
            signers: Vec::new(),
            limits: Limits::SERVER,
        }
    }

    fn verdict(&self) -> Verdict {
        let parse = |der: &&'c [u8]| Certificate::from_der(der).unwrap();
        let anchors: Vec<_> = self.anchors.iter().map(parse).map(Anchor::ca).collect();
        let sent: Vec<_> = self.sent.iter().map(parse).collect();
        let signers: Vec<_> = self.signers.iter().map(parse).collect();
        let algorithms: &[&dyn edgetrust_core::pki_types::SignatureVerificationAlgorithm] = &[ECDSA_P256_SHA256];
        let lists = self.lists.iter().map(|der| {
            let list = RevocationList::from_der(der).unwrap();
            let signed = |ca: &Certificate<'_>| {
                let proof = list.verify(ca, algorithms).filter(|_| list.is_named_after(ca))?;
                list.with_signer(&proof)
            };
            signers.iter().find_map(signed).unwrap_or(list)
        });
        let lists: Vec<_> = lists.collect();
        let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
        let revocation = Revocation { lists: &lists, required: self.required, now: self.now };
        let leaf = Certificate::from_der(self.leaf).unwrap();
        let mut budget = Budget::new(self.limits);
        let path = trust.verify_unrevoked(&leaf, &sent, Purpose::ClientAuth, self.now, &revocation, &mut budget);
        path.map(|path| path.lists_until()).map_err(|error| (error.depth, error.kind))
    }
}

fn until() -> Verdict {
    Ok(Some(time("2027-01-31T00:00:00Z")))
}

fn refused(depth: u8, error: RevocationError) -> Verdict {
    Err((depth, PathErrorKind::Revocation(error)))
}

fn is_revoked(verdict: Verdict, depth: u8) -> bool {
    matches!(verdict, Err((at, PathErrorKind::Revocation(RevocationError::Revoked(_)))) if at == depth)
}

#[test]
fn a_certificate_on_its_cas_list_is_refused_and_others_are_not() {
    let ca = Ca::root(ca_params("Site CA", &[1]));
    let (five, six) = (ca.leaf(&[5]), ca.leaf(&[6]));
    let list = List::revoking(&[&[4], &[5]]).by(&ca);
    for signers in [vec![], vec![ca.der.as_slice()]] {
        let judged = |leaf| Case { signers: signers.clone(), ..Case::new(&ca, leaf, &[&list]) }.verdict();
        let Err((0, PathErrorKind::Revocation(RevocationError::Revoked(entry)))) = judged(&five) else {
            panic!("{:?}", judged(&five))
        };
        assert_eq!((entry.serial.as_bytes(), entry.reason), (&[5][..], Reason::KeyCompromise));
        assert_eq!(judged(&six), until());
    }
    // Of two lists in force, one is enough to refuse.
    let empty = List::default().by(&ca);
    assert!(is_revoked(Case::new(&ca, &five, &[&empty, &list]).verdict(), 0));
    assert!(is_revoked(Case::new(&ca, &five, &[&list, &empty]).verdict(), 0));
}

#[test]
fn an_intermediate_on_the_roots_list_is_refused() {
    let root = Ca::root(ca_params("Root", &[1]));
    let below = root.below(ca_params("Site CA", &[7]));
    let leaf = below.leaf(&[5]);
    let (roots, belows) = (List::revoking(&[&[7]]).by(&root), List::revoking(&[&[5]]).by(&below));
    let clean = List::default().by(&root);
    let judged = |lists: &[&[u8]], required| {
        let lists: Vec<&[u8]> = lists.to_vec();
        let case = Case::new(&root, &leaf, &[]);
        Case { sent: vec![&below.der], lists: lists.iter().map(|list| &**list).collect(), required, ..case }.verdict()
    };
    assert!(is_revoked(judged(&[&belows, &roots], RequiredLists::None), 1), "the CA is named, not its certificate");
    assert!(is_revoked(judged(&[&belows, &clean], RequiredLists::None), 0));
    assert_eq!(judged(&[&clean], RequiredLists::None), until(), "the leaf's CA has no list");
    assert_eq!(judged(&[&clean], RequiredLists::Leaf), refused(0, RevocationError::NoList));
    let clean_below = List::default().by(&below);
    assert_eq!(judged(&[&clean_below], RequiredLists::Leaf), until());
    assert_eq!(judged(&[&clean_below], RequiredLists::Chain), refused(1, RevocationError::NoList));
    assert_eq!(judged(&[&clean_below, &clean], RequiredLists::Chain), until());
}

#[test]
fn a_list_counts_between_its_dates_and_a_little_before() {
    let ca = Ca::root(ca_params("Site CA", &[1]));
    let leaf = ca.leaf(&[5]);
    let list = List::default().by(&ca);
    let at = |now: &str| Case { now: time(now), ..Case::new(&ca, &leaf, &[&list]) }.verdict();
    assert_eq!(at("2027-01-31T00:00:00Z"), until());
    let now = time("2027-01-31T00:00:01Z");
    assert_eq!(
        at("2027-01-31T00:00:01Z"),
        refused(0, RevocationError::ListExpired { next_update: time("2027-01-31T00:00:00Z"), now })
    );
    assert_eq!(at("2026-12-31T23:55:00Z"), until(), "clocks differ");
    // The clock was set back.
    let now = time("2026-12-31T23:54:59Z");
    assert_eq!(
        at("2026-12-31T23:54:59Z"),
        refused(0, RevocationError::ListNotYetValid { this_update: time("2027-01-01T00:00:00Z"), now })
    );
    // A newer list beside the expired one is enough.
    let newer = List {
        this_update: tlv(0x17, &[b"270131000000Z"]),
        next_update: tlv(0x17, &[b"270228000000Z"]),
        ..List::default()
    };
    let newer = newer.by(&ca);
    let parsed = [&list, &newer].map(|der| RevocationList::from_der(der).unwrap());
    let proof = parsed[0].verify(&Certificate::from_der(&ca.der).unwrap(), &[ECDSA_P256_SHA256]).unwrap();
    assert!(parsed[0].with_signer(&proof).is_some() && parsed[1].with_signer(&proof).is_none());
    let both = Case { now: time("2027-02-01T00:00:00Z"), ..Case::new(&ca, &leaf, &[&list, &newer]) };
    assert_eq!(both.verdict(), Ok(Some(time("2027-02-28T00:00:00Z"))));
}

#[test]
fn a_list_of_a_sibling_with_the_same_name_says_nothing() {
    let (ca, sibling) = (Ca::root(ca_params("Site CA", &[1])), Ca::root(ca_params("Site CA", &[2])));
    let leaf = ca.leaf(&[5]);
    let (revoking, clean) = (List::revoking(&[&[5]]).by(&sibling), List::default().by(&sibling));
    for (list, signers) in [(&revoking, vec![sibling.der.as_slice()]), (&clean, vec![sibling.der.as_slice()])] {
        let case = Case { signers, anchors: vec![&ca.der, &sibling.der], ..Case::new(&ca, &leaf, &[list]) };
        assert_eq!(case.verdict(), Ok(None), "neither revoked, nor found to be good");
        let strict = Case { required: RequiredLists::Leaf, ..case };
        assert_eq!(strict.verdict(), refused(0, RevocationError::NoList));
    }
    // Where nobody knows who signed the list, the name alone makes it doubtful.
    assert_eq!(Case::new(&ca, &leaf, &[&clean]).verdict(), refused(0, RevocationError::ListSignature));
    // Key identifiers tell them apart.
    let identifier = Certificate::from_der(&sibling.der).unwrap().extensions().subject_key_identifier.unwrap().to_vec();
    let with_identifier = List::with(extension(35, false, &tlv(0x30, &[&tlv(0x80, &[&identifier])]))).by(&sibling);
    assert_eq!(Case::new(&ca, &leaf, &[&with_identifier]).verdict(), Ok(None));
    // And a list of its own settles it.
    let own = List::default().by(&ca);
    assert_eq!(Case::new(&ca, &leaf, &[&clean, &own]).verdict(), until());
}

#[test]
fn a_forged_list_is_no_list() {
    let ca = Ca::root(ca_params("Site CA", &[1]));
    let leaf = ca.leaf(&[5]);
    let mut forged = List::revoking(&[&[5]]).by(&ca);
    *forged.last_mut().unwrap() ^= 1;
    let case = Case { signers: vec![&ca.der], ..Case::new(&ca, &leaf, &[&forged]) };
    assert_eq!(case.verdict(), refused(0, RevocationError::ListSignature));
    // The name of the CA, and another key.
    let stranger = List::default().signed(&ca.name_der(), &rcgen::KeyPair::generate().unwrap());
    assert_eq!(Case::new(&ca, &leaf, &[&stranger]).verdict(), refused(0, RevocationError::ListSignature));
}

#[test]
fn a_ca_without_crl_sign_has_no_lists() {
    let mut params = ca_params("Site CA", &[1]);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    let ca = Ca::root(params);
    let list = List::default().by(&ca);
    let leaf = ca.leaf(&[5]);
    assert_eq!(Case::new(&ca, &leaf, &[&list]).verdict(), refused(0, RevocationError::NoCrlSign));
    let mut params = ca_params("Site CA", &[1]);
    params.key_usages = Vec::new();
    let ca = Ca::root(params);
    let (list, leaf) = (List::default().by(&ca), ca.leaf(&[5]));
    assert_eq!(Case::new(&ca, &leaf, &[&list]).verdict(), until());
}

#[test]
fn a_list_is_about_the_certificates_in_its_scope() {
    let root = Ca::root(ca_params("Root", &[1]));
    let below = root.below(ca_params("Site CA", &[7]));
    let (own, belows) = (root.leaf(&[5]), below.leaf(&[5]));
    let scope = |fields: &[&[u8]]| List::with(extension(28, true, &tlv(0x30, fields))).by(&root);
    let (users, cas) = (scope(&[&[0x81, 0x01, 0xff]]), scope(&[&[0x82, 0x01, 0xff]]));
    let below_root = |list| Case { sent: vec![&below.der], ..Case::new(&root, &belows, &[list]) }.verdict();
    assert_eq!(Case::new(&root, &own, &[&users]).verdict(), until());
    assert_eq!(below_root(&cas), until());
    assert_eq!(Case::new(&root, &own, &[&cas]).verdict(), refused(0, RevocationError::OutOfScope));
    assert_eq!(below_root(&users), refused(1, RevocationError::OutOfScope));
    assert_eq!(Case::new(&root, &own, &[&cas, &users]).verdict(), until());

    let here = scope(&[&full_name("http://ca.example/1.crl")]);
    let elsewhere = root.leaf_at(&[5], &["http://ca.example/2.crl"]);
    let both = root.leaf_at(&[5], &["http://ca.example/2.crl", "http://ca.example/1.crl"]);
    assert_eq!(Case::new(&root, &own, &[&here]).verdict(), until(), "the CA names no place");
    assert_eq!(Case::new(&root, &both, &[&here]).verdict(), until());
    // There is a list of the CA's name without a place, by another key: that could be the certificate's.
    let other = Ca::root(ca_params("Root", &[9]));
    let (elsewhere_list, signers) = (List::default().by(&other), vec![root.der.as_slice(), &other.der]);
    let case = Case { signers, ..Case::new(&root, &own, &[&here, &elsewhere_list]) };
    assert_eq!(case.verdict(), refused(0, RevocationError::OutOfScope));
    assert_eq!(Case::new(&root, &elsewhere, &[&here]).verdict(), refused(0, RevocationError::OutOfScope));
}

#[test]
fn the_budget_bounds_the_work_that_lists_cause() {
    let ca = Ca::root(ca_params("Site CA", &[1]));
    let leaf = ca.leaf(&[5]);
    let serials: Vec<_> = (0x0100_0000_u32..).take(100_000).map(u32::to_be_bytes).collect();
    let serials: Vec<&[u8]> = serials.iter().map(<[u8; 4]>::as_slice).collect();
    let large = List::revoking(&serials).by(&ca);
    let exhausted = Err((0, PathErrorKind::Budget(Resource::Work)));
    println!("a list of 100000 entries has {} octets", large.len());
    // Neither the signature over megabytes nor a search through them fits into one verdict.
    assert_eq!(Case::new(&ca, &leaf, &[&large]).verdict(), exhausted);
    assert_eq!(Case { signers: vec![&ca.der], ..Case::new(&ca, &leaf, &[&large]) }.verdict(), exhausted);
    // Many lists of one name, none of the CA's: each costs a signature.
    let other = rcgen::KeyPair::generate().unwrap();
    let strange = List::default().signed(&ca.name_der(), &other);
    let many = vec![strange.as_slice(); 100];
    assert_eq!(Case::new(&ca, &leaf, &many).verdict(), exhausted);
    assert!(other.sign(b"").is_ok());
}

#[test]
fn a_large_list_with_an_index_fits_into_a_verdict() {
    let ca = Ca::root(ca_params("Site CA", &[1]));
    let serials: Vec<_> = (0x0100_0000_u32..).take(100_000).map(u32::to_be_bytes).collect();
    let serials: Vec<&[u8]> = serials.iter().map(<[u8; 4]>::as_slice).collect();
    let der = List::revoking(&serials).by(&ca);
    let list = RevocationList::from_der(&der).unwrap();
    let mut memory = vec![0; 100_000];
    assert!(list.write_index(&mut memory));
    let anchors = [Anchor::ca(Certificate::from_der(&ca.der).unwrap())];
    let list = list.with_index(&memory).unwrap();
    let list = list.with_signer(&list.verify(anchors[0].certificate(), &[ECDSA_P256_SHA256]).unwrap()).unwrap();
    let trust =
        Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[ECDSA_P256_SHA256] };
    let work = |revocation: Option<&Revocation<'_>>, serial: &[u8], good| {
        let leaf = ca.leaf(serial);
        let leaf = Certificate::from_der(&leaf).unwrap();
        let mut budget = Budget::new(Limits::SERVER);
        let now = time(NOW);
        let path = match revocation {
            Some(lists) => trust.verify_unrevoked(&leaf, &[], Purpose::ClientAuth, now, lists, &mut budget),
            None => trust.verify(&leaf, &[], Purpose::ClientAuth, now, &mut budget),
        };
        assert_eq!(path.is_ok(), good);
        Limits::SERVER.work - budget.left().work
    };
    let lists = [list];
    let revocation = Revocation { lists: &lists, required: RequiredLists::Chain, now: time(NOW) };
    work(Some(&revocation), &0x0100_1234_u32.to_be_bytes(), false);
    let (with, without) = (work(Some(&revocation), &[5], true), work(None, &[5], true));
    println!("{with} units with a list of 100000 entries, {without} without");
    assert!(with - without < 1_000);
}
