//! Tests rules that are bound to issuers, and keys that are denied: two locations below one root, each a CA that can
//! issue any name.

use std::time::Duration;

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::identity::{Denied, Issuers, PeerPolicy, Rule, RuleName, ServerName, ServerPolicy};
use edgetrust_core::path::{
    Anchor, Budget, DeniedKey, Limits, PathError, PathErrorKind, Purpose, Resource, Trust, VerifiedPath,
};
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    PublicKeyData,
};

const NOW: u64 = 1_800_000_000;

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW))
}

/// A name and a key, which several certificates can be for.
struct Entity {
    params: CertificateParams,
    key: KeyPair,
}

impl Entity {
    fn ca(name: &str) -> Self {
        Self::named(name, IsCa::Ca(BasicConstraints::Unconstrained))
    }

    fn named(name: &str, is_ca: IsCa) -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, name);
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2028, 1, 1);
        if is_ca != IsCa::NoCa {
            params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        }
        params.is_ca = is_ca;
        Self { params, key: KeyPair::generate().unwrap() }
    }

    /// Issues a certificate for this entity.
    fn by(&self, issuer: &Self) -> CertificateDer<'static> {
        let issuer = Issuer::from_params(&issuer.params, &issuer.key);
        self.params.signed_by(&self.key, &issuer).unwrap().der().clone()
    }

    fn self_signed(&self) -> CertificateDer<'static> {
        self.params.self_signed(&self.key).unwrap().der().clone()
    }

    fn hash(&self) -> KeyHash {
        let der = self.self_signed();
        KeyHash::of(&Certificate::from_der(&der).unwrap().subject_public_key_info())
    }

    /// Makes a leaf with this common name and DNS name.
    fn leaf(name: &str) -> Self {
        let mut leaf = Self::named(name, IsCa::NoCa);
        leaf.params.subject_alt_names = vec![rcgen::SanType::DnsName(name.try_into().unwrap())];
        leaf
    }
}

/// A chain, and what it is judged by.
#[derive(Clone, Copy)]
struct Asked<'a> {
    anchors: &'a [Anchor<'a>],
    known: &'a [Certificate<'a>],
    sent: &'a [CertificateDer<'a>],
    leaf: &'a CertificateDer<'a>,
    denied: &'a [DeniedKey],
}

impl Asked<'_> {
    fn path<T>(&self, purpose: Purpose, then: impl FnOnce(VerifiedPath<'_>) -> T) -> Result<T, PathError> {
        let sent: Vec<_> = self.sent.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
        let leaf = Certificate::from_der(self.leaf).unwrap();
        let trust = Trust {
            anchors: self.anchors,
            known_intermediates: self.known,
            denied_keys: self.denied,
            algorithms: &[ECDSA_P256_SHA256],
        };
        trust.verify(&leaf, &sent, purpose, now(), &mut Budget::new(Limits::DEVICE)).map(then)
    }

    /// Judges the leaf as a client by a rule for its DNS name, and as a server of that name: both must agree.
    fn by(&self, name: &str, issuers: &[KeyHash]) -> Result<(), Denied> {
        let issuers = Issuers::OneOf(issuers);
        let client = |rule: RuleName<'_>| {
            let rules = [Rule { name: rule, issuers }];
            self.path(Purpose::ClientAuth, |path| PeerPolicy::OneOf(&rules).authorize(path).map(drop)).unwrap()
        };
        let by_dns = client(RuleName::Dns(name));
        assert_eq!(client(RuleName::CommonName(name)), by_dns, "by common name and by DNS name");
        let policy = ServerPolicy { name: ServerName::Dns(name), issuers };
        let server = self.path(Purpose::ServerAuth, |path| policy.authorize(path).map(drop)).unwrap();
        assert_eq!(server, by_dns, "as server and as client");
        by_dns
    }

    fn refused(&self) -> PathError {
        self.path(Purpose::ClientAuth, |_| ()).unwrap_err()
    }
}

fn anchor<'a>(der: &'a CertificateDer<'static>) -> Anchor<'a> {
    Anchor::new(Certificate::from_der(der).unwrap())
}

fn denied_at(depth: u8, key: KeyHash) -> PathError {
    PathError { depth, kind: PathErrorKind::KeyDenied(key) }
}

#[test]
fn a_name_holds_for_the_ca_that_issued_it() {
    let (root, a, b, leaf) = (Entity::ca("Root"), Entity::ca("CA a"), Entity::ca("CA b"), Entity::leaf("b.example"));
    let root_der = root.self_signed();
    let anchors = [anchor(&root_der)];
    let (honest, forged) = (leaf.by(&b), leaf.by(&a));
    let (ca_a, ca_b) = ([a.by(&root)], [b.by(&root)]);
    let asked = |leaf, sent| Asked { anchors: &anchors, known: &[], sent, leaf, denied: &[] };
    let (honest, forged) = (asked(&honest, &ca_b), asked(&forged, &ca_a));

    assert_eq!(honest.by("b.example", &[b.hash()]), Ok(()));
    assert_eq!(honest.by("b.example", &[a.hash(), b.hash()]), Ok(()), "one of several");
    assert_eq!(forged.by("b.example", &[b.hash()]), Err(Denied::OtherIssuer { found: Some(a.hash()) }));
    assert_eq!(forged.by("b.example", &[]), Err(Denied::OtherIssuer { found: Some(a.hash()) }));
    assert_eq!(
        honest.by("b.example", &[root.hash()]),
        Err(Denied::OtherIssuer { found: Some(b.hash()) }),
        "not a CA above"
    );
    assert_eq!(honest.by("b.example", &[leaf.hash()]), Err(Denied::OtherIssuer { found: Some(b.hash()) }));
}

#[test]
fn a_ca_below_the_named_one_does_not_count() {
    let (root, b, below) = (Entity::ca("Root"), Entity::ca("CA b"), Entity::ca("CA below b"));
    let leaf = Entity::leaf("b.example");
    let root_der = root.self_signed();
    let anchors = [anchor(&root_der)];
    let (leaf_der, sent) = (leaf.by(&below), [below.by(&b), b.by(&root)]);
    let asked = Asked { anchors: &anchors, known: &[], sent: &sent, leaf: &leaf_der, denied: &[] };
    assert_eq!(asked.by("b.example", &[b.hash()]), Err(Denied::OtherIssuer { found: Some(below.hash()) }));
    assert_eq!(asked.by("b.example", &[below.hash()]), Ok(()));
}

#[test]
fn a_key_counts_in_every_certificate_and_a_name_in_none() {
    let (root, next, b, leaf) =
        (Entity::ca("Root"), Entity::ca("Next root"), Entity::ca("CA b"), Entity::leaf("b.example"));
    let (root_der, next_der) = (root.self_signed(), next.self_signed());
    let anchors = [anchor(&root_der), anchor(&next_der)];
    let leaf_der = leaf.by(&b);
    // Renewed or cross-signed: another certificate for the same key.
    let both = [b.by(&next), b.by(&root)];
    for sent in [&both[..1], &both[1..], &both] {
        let asked = Asked { anchors: &anchors, known: &[], sent, leaf: &leaf_der, denied: &[] };
        assert_eq!(asked.by("b.example", &[b.hash()]), Ok(()));
    }
    // An intermediate that is known, and one that is an anchor itself.
    let known = [Certificate::from_der(&both[0]).unwrap()];
    let asked = Asked { anchors: &anchors, known: &known, sent: &[], leaf: &leaf_der, denied: &[] };
    assert_eq!(asked.by("b.example", &[b.hash()]), Ok(()));
    let b_anchor = [anchor(&both[0])];
    let asked = Asked { anchors: &b_anchor, ..asked };
    assert_eq!(asked.by("b.example", &[b.hash()]), Ok(()), "the anchor counts if it issued the leaf");
    // The same name with another key.
    let namesake = Entity::ca("CA b");
    let (leaf_der, sent) = (leaf.by(&namesake), [namesake.by(&root), b.by(&root)]);
    let asked = Asked { anchors: &anchors, known: &[], sent: &sent, leaf: &leaf_der, denied: &[] };
    assert_eq!(asked.by("b.example", &[b.hash()]), Err(Denied::OtherIssuer { found: Some(namesake.hash()) }));
}

#[test]
fn a_pin_has_no_issuer() {
    let leaf = Entity::leaf("b.example");
    let der = leaf.self_signed();
    let anchors = [Anchor::pin(Certificate::from_der(&der).unwrap())];
    let asked = Asked { anchors: &anchors, known: &[], sent: &[], leaf: &der, denied: &[] };
    assert_eq!(asked.by("b.example", &[leaf.hash()]), Err(Denied::OtherIssuer { found: None }));
}

#[test]
fn of_several_reasons_the_one_with_the_right_name_is_given() {
    let (root, a, leaf) = (Entity::ca("Root"), Entity::ca("CA a"), Entity::leaf("b.example"));
    let (root_der, leaf_der, sent) = (root.self_signed(), leaf.by(&a), [a.by(&root)]);
    let anchors = [anchor(&root_der)];
    let asked = Asked { anchors: &anchors, known: &[], sent: &sent, leaf: &leaf_der, denied: &[] };
    let other = [root.hash()];
    let rules = [
        Rule { name: RuleName::Dns("b.example"), issuers: Issuers::OneOf(&other) },
        RuleName::Dns("c.example").into(),
        RuleName::Uri("spiffe://b.example/x").into(),
    ];
    let judge = |rules: &[Rule<'_>]| {
        asked
            .path(Purpose::ClientAuth, |path| PeerPolicy::OneOf(rules).authorize(path).map(|peer| peer.rule()))
            .unwrap()
    };
    assert_eq!(judge(&rules), Err(Denied::OtherIssuer { found: Some(a.hash()) }));
    // A later rule without issuers holds.
    let [bound, ..] = rules;
    assert_eq!(judge(&[bound, RuleName::CommonName("b.example").into()]), Ok(Some(1)));
    assert_eq!(judge(&[bound, RuleName::Dns("b.example").into()]), Ok(Some(1)));
}

#[test]
fn a_denied_key_ends_every_path_over_it() {
    let (root, a, leaf) = (Entity::ca("Root"), Entity::ca("CA a"), Entity::leaf("a.example"));
    let (root_der, leaf_der, sent) = (root.self_signed(), leaf.by(&a), [a.by(&root)]);
    let anchors = [anchor(&root_der)];
    let base = Asked { anchors: &anchors, known: &[], sent: &sent, leaf: &leaf_der, denied: &[] };
    for (depth, entity) in [(0, &leaf), (1, &a), (2, &root)] {
        let denied = [entity.hash().into()];
        assert_eq!(Asked { denied: &denied, ..base }.refused(), denied_at(depth, entity.hash()));
    }
    let others = [Entity::ca("Root").hash().into(), Entity::leaf("a.example").hash().into()];
    assert_eq!(Asked { denied: &others, ..base }.by("a.example", &[a.hash()]), Ok(()), "keys of the same names");

    let known = [Certificate::from_der(&sent[0]).unwrap()];
    let denied = [a.hash().into()];
    let asked = Asked { known: &known, sent: &[], denied: &denied, ..base };
    assert_eq!(asked.refused(), denied_at(1, a.hash()), "a known intermediate");
    let a_anchor = [anchor(&sent[0])];
    assert_eq!(Asked { anchors: &a_anchor, ..asked }.refused(), denied_at(1, a.hash()), "an anchor");
}

#[test]
fn a_denied_pin_is_refused_before_it_is_believed() {
    let leaf = Entity::leaf("a.example");
    let der = leaf.self_signed();
    let anchors = [Anchor::pin(Certificate::from_der(&der).unwrap())];
    let denied = [leaf.hash().into()];
    let asked = Asked { anchors: &anchors, known: &[], sent: &[], leaf: &der, denied: &denied };
    assert_eq!(asked.refused(), denied_at(0, leaf.hash()));
}

#[test]
fn a_path_around_a_denied_key_is_found() {
    let (root, next, a, leaf) =
        (Entity::ca("Root"), Entity::ca("Next root"), Entity::ca("CA a"), Entity::leaf("a.example"));
    let (root_der, next_der, leaf_der) = (root.self_signed(), next.self_signed(), leaf.by(&a));
    let anchors = [anchor(&root_der), anchor(&next_der)];
    let sent = [a.by(&root), a.by(&next)];
    let denied = [root.hash().into()];
    let asked = Asked { anchors: &anchors, known: &[], sent: &sent, leaf: &leaf_der, denied: &denied };
    assert_eq!(asked.by("a.example", &[a.hash()]), Ok(()), "over the next root");
    assert_eq!(Asked { sent: &sent[..1], ..asked }.refused(), denied_at(2, root.hash()));
    // A namesake of the CA, denied, did not issue the leaf and says nothing about it.
    let namesake = Entity::ca("CA a");
    let (sent, denied) = ([namesake.by(&root)], [namesake.hash().into()]);
    let refused = Asked { sent: &sent, denied: &denied, ..asked }.refused();
    assert!(!matches!(refused.kind, PathErrorKind::KeyDenied(_)), "{refused:?}");
}

#[test]
fn a_denial_holds_to_its_last_second() {
    let leaf = Entity::leaf("a.example");
    let der = leaf.self_signed();
    let anchors = [Anchor::pin(Certificate::from_der(&der).unwrap())];
    let until = |seconds| {
        [DeniedKey { key: leaf.hash(), until: Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds))) }]
    };
    let asked = |denied| Asked { anchors: &anchors, known: &[], sent: &[], leaf: &der, denied };
    let (holds, over) = (until(NOW), until(NOW - 1));
    assert_eq!(asked(&holds).refused(), denied_at(0, leaf.hash()));
    assert!(asked(&over).path(Purpose::ClientAuth, |_| ()).is_ok());
}

#[test]
fn denials_cost_work_that_is_bounded() {
    let (root, leaf) = (Entity::ca("Root"), Entity::leaf("a.example"));
    let (root_der, leaf_der) = (root.self_signed(), leaf.by(&root));
    let anchors = [anchor(&root_der)];
    let other = DeniedKey::from(Entity::ca("Other").hash());
    let many = vec![other; usize::try_from(Limits::DEVICE.work).unwrap()];
    let asked = Asked { anchors: &anchors, known: &[], sent: &[], leaf: &leaf_der, denied: &many };
    assert_eq!(asked.refused().kind, PathErrorKind::Budget(Resource::Work));
    assert_eq!(Asked { denied: &many[..1000], ..asked }.by("a.example", &[root.hash()]), Ok(()));
}

/// A key on P-256 in this form.
struct Point(Vec<u8>);

impl PublicKeyData for Point {
    fn der_bytes(&self) -> &[u8] {
        &self.0
    }

    fn algorithm(&self) -> &'static rcgen::SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

/// A CA can certify one key in several forms, as `openssl x509 -force_pubkey` does, and each has another hash.
#[test]
fn a_compressed_point_is_no_way_around_a_denial() {
    let (root, leaf) = (Entity::ca("Root"), Entity::leaf("a.example"));
    let root_der = root.self_signed();
    let anchors = [anchor(&root_der)];
    let whole = leaf.key.der_bytes();
    assert_eq!((whole.len(), whole[0]), (65, 4));
    let odd = whole[64] & 1;
    let compressed = [&[2 + odd], &whole[1..33]].concat();
    let hybrid = [&[6 + odd], &whole[1..]].concat();
    for (point, refused) in [
        (whole.to_vec(), None),
        (compressed, Some(PathErrorKind::CompressedPoint)),
        (hybrid, Some(PathErrorKind::CompressedPoint)),
    ] {
        let issuer = Issuer::from_params(&root.params, &root.key);
        let der = leaf.params.signed_by(&Point(point), &issuer).unwrap().der().clone();
        let asked = Asked { anchors: &anchors, known: &[], sent: &[], leaf: &der, denied: &[] };
        let verdict = asked.path(Purpose::ClientAuth, |_| ());
        assert_eq!(verdict.err().map(|error| error.kind), refused);
    }
}
