//! Tests that each single fault is refused with its own reason, for the certificate that has it.

use std::sync::LazyLock;
use std::time::Duration;

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::path::{Anchor, Budget, Limits, PathError, Purpose, Trust};
use edgetrust_core::x509::Certificate;
use edgetrust_tests::forge::{Forged, der, oid, rdn, rsa_key};
use pki_types::UnixTime;
use rcgen::KeyPair;

const NOW: i64 = 1_800_000_000;

struct Keys {
    root: KeyPair,
    ca: KeyPair,
    leaf: KeyPair,
}

static KEYS: LazyLock<Keys> = LazyLock::new(|| {
    let key = || KeyPair::generate().unwrap();
    Keys { root: key(), ca: key(), leaf: key() }
});

/// A valid chain of three, changed by tests.
#[derive(Clone)]
struct Chain {
    root: Forged,
    ca: Forged,
    leaf: Forged,
    root_is_anchor: bool,
    root_is_sent: bool,
    ca_is_sent: bool,
}

fn chain() -> Chain {
    let keys = &*KEYS;
    Chain {
        root: Forged::ca("Root", "Root", &keys.root),
        ca: Forged::ca("Root", "CA", &keys.ca),
        leaf: Forged::new("CA", "b", &keys.leaf).with(oid::SUBJECT_ALT_NAME, false, &dns("b.example")),
        root_is_anchor: true,
        root_is_sent: false,
        ca_is_sent: true,
    }
}

fn dns(name: &str) -> Vec<u8> {
    der(0x30, &[&der(0x82, &[name.as_bytes()])])
}

/// Encodes an authorityKeyIdentifier with this keyIdentifier.
fn authority(identifier: &[u8]) -> Vec<u8> {
    der(0x30, &[&der(0x80, &[identifier])])
}

fn judge(chain: &Chain, purpose: Purpose) -> Result<(), PathError> {
    let keys = &*KEYS;
    let (root, ca) = (chain.root.sign(NOW, &keys.root), chain.ca.sign(NOW, &keys.root));
    let leaf = chain.leaf.sign(NOW, &keys.ca);
    let stranger = Forged::ca("Another", "Another", &keys.leaf).sign(NOW, &keys.leaf);
    let parse = |der| Certificate::from_der(der).unwrap();
    let anchors = [Anchor::ca(parse(if chain.root_is_anchor { &root } else { &stranger }))];
    let sent = [(chain.root_is_sent, &root), (chain.ca_is_sent, &ca)];
    let sent: Vec<_> = sent.into_iter().filter(|(is_sent, _)| *is_sent).map(|(_, der)| parse(der)).collect();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
    trust.verify(&parse(&leaf), &sent, purpose, now, &mut Budget::new(Limits::SERVER)).map(drop)
}

/// Asserts that the chain with one change is refused for a client and a server, at this depth and in these words.
fn refused(change: impl FnOnce(&mut Chain), depth: u8, words: &str) {
    let mut changed = chain();
    change(&mut changed);
    for purpose in [Purpose::ServerAuth, Purpose::ClientAuth] {
        let error = judge(&changed, purpose).unwrap_err();
        assert_eq!((error.depth, error.kind.to_string()), (depth, words.to_owned()), "{purpose:?}");
    }
}

/// Asserts that the chain with one change is accepted for a client and a server.
fn taken(change: impl FnOnce(&mut Chain)) {
    let mut changed = chain();
    change(&mut changed);
    for purpose in [Purpose::ServerAuth, Purpose::ClientAuth] {
        assert_eq!(judge(&changed, purpose), Ok(()), "{purpose:?}");
    }
}

#[test]
fn as_it_should_be_it_is_taken() {
    taken(|_| {});
}

#[test]
fn the_certificate_whose_issuer_is_missing_is_named() {
    let missing = "its issuer is neither a configured CA nor among the intermediates";
    refused(|chain| chain.ca_is_sent = false, 0, missing);
    refused(|chain| chain.root_is_anchor = false, 1, missing);
    let self_signed = "its issuer is neither a configured CA nor among the intermediates: it is self-signed";
    refused(|chain| (chain.root_is_anchor, chain.root_is_sent) = (false, true), 2, self_signed);
    refused(|chain| chain.leaf = Forged { issuer: chain.leaf.subject.clone(), ..chain.leaf.clone() }, 0, self_signed);
}

#[test]
fn an_authority_key_identifier_that_fits_nobody_is_said_as_such() {
    let words =
        "no CA of its issuer's name has the key that its authority key identifier names (RFC 5280 section 4.2.1.1)";
    let contradict = |child: &mut Forged, issuer: &mut Forged| {
        *child = child.clone().with(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority(b"one"));
        *issuer = issuer.clone().with(oid::SUBJECT_KEY_IDENTIFIER, false, &der(0x04, &[b"two"]));
    };
    refused(|Chain { leaf, ca, .. }| contradict(leaf, ca), 0, words);
    refused(|Chain { ca, root, .. }| contradict(ca, root), 1, words);
    taken(|chain| {
        chain.leaf = chain.leaf.clone().with(oid::AUTHORITY_KEY_IDENTIFIER, false, &authority(b"one"));
        chain.ca = chain.ca.clone().with(oid::SUBJECT_KEY_IDENTIFIER, false, &der(0x04, &[b"one"]));
    });
    let none = "its authority key identifier has no keyIdentifier (RFC 5280 section 4.2.1.1)";
    refused(|chain| chain.leaf = chain.leaf.clone().with(oid::AUTHORITY_KEY_IDENTIFIER, false, &[0x30, 0]), 0, none);
}

#[test]
fn signature_algorithms_are_unsupported_malformed_or_of_another_key() {
    let unsupported = "its signature algorithm is not supported: 1.2.840.113549.1.1.5 (RFC 5280 section 4.1.1.2)";
    let sha1 = [oid::SHA1_WITH_RSA, &[0x05, 0]].concat();
    refused(|chain| chain.leaf.signature_algorithm.clone_from(&sha1), 0, unsupported);
    refused(|chain| chain.ca.signature_algorithm.clone_from(&sha1), 1, unsupported);
    // RFC 5758 section 3.2: no parameters
    let malformed = "its signature algorithm has parameters that the algorithm does not have: 1.2.840.10045.4.3.2 (RFC 5280 section 4.1.1.2)";
    let null = [oid::ECDSA_WITH_SHA256, &[0x05, 0]].concat();
    refused(|chain| chain.leaf.signature_algorithm.clone_from(&null), 0, malformed);
    refused(|chain| chain.ca.signature_algorithm.clone_from(&null), 1, malformed);
    let other =
        "its signature algorithm does not fit the issuer's key: 1.2.840.113549.1.1.11 (RFC 5280 section 4.1.1.2)";
    let rsa = [oid::SHA256_WITH_RSA, &[0x05, 0]].concat();
    refused(|chain| chain.leaf.signature_algorithm.clone_from(&rsa), 0, other);
    refused(|chain| chain.ca.signature_algorithm.clone_from(&rsa), 1, other);
}

#[test]
fn keys_are_too_short_or_of_an_unsupported_kind() {
    let words = |bits| {
        format!(
            "its RSA key is not of a length that is supported: found {bits} bits, expected 2048 to 8192 (RFC 5280 section 4.1.2.7)"
        )
    };
    for bits in [512, 1024, 2040, 8193] {
        refused(|chain| chain.leaf.key = rsa_key(bits), 0, &words(bits));
        refused(|chain| chain.ca.key = rsa_key(bits), 1, &words(bits));
        refused(|chain| chain.root.key = rsa_key(bits), 2, &words(bits));
    }
    // Verifiers count whole octets.
    taken(|chain| chain.leaf.key = rsa_key(2047));
    taken(|chain| chain.leaf.key = rsa_key(8192));
    let words = "its key is of a kind or on a curve that is not supported: 1.3.132.0.10 (RFC 5280 section 4.1.2.7)";
    let key = der(0x30, &[&der(0x30, &[oid::EC, oid::SECP256K1]), &der(0x03, &[&[0; 66]])]);
    refused(|chain| chain.leaf.key.clone_from(&key), 0, words);
    refused(|chain| chain.ca.key.clone_from(&key), 1, words);
    refused(|chain| chain.root.key.clone_from(&key), 2, words);
}

#[test]
fn what_no_other_time_would_mend_is_said_rather_than_that_it_expired() {
    refused(
        |chain| chain.leaf.days = (-3, -2),
        0,
        "expired at 2027-01-13T08:00:00Z, and it is 2027-01-15T08:00:00Z (RFC 5280 section 4.1.2.5)",
    );
    let old = |certificate: &mut Forged| {
        certificate.days = (-3, -2);
        certificate.version = 1;
        certificate.extensions.clear();
    };
    let version = "a certificate without extensions, of version 1: expected version 3 (RFC 5280 section 4.1.2.1)";
    refused(|chain| old(&mut chain.leaf), 0, version);
    refused(|chain| old(&mut chain.ca), 1, version);
    refused(|chain| old(&mut chain.root), 2, version);
    refused(
        |chain| (chain.leaf.days, chain.leaf.signature_algorithm) = ((-3, -2), oid::SHA1_WITH_RSA.to_vec()),
        0,
        "its signature algorithm is not supported: 1.2.840.113549.1.1.5 (RFC 5280 section 4.1.1.2)",
    );
    refused(
        |chain| (chain.root.days, chain.root.key) = ((-3, -2), rsa_key(1024)),
        2,
        "its RSA key is not of a length that is supported: found 1024 bits, expected 2048 to 8192 (RFC 5280 section 4.1.2.7)",
    );
}

#[test]
fn one_kind_a_fault() {
    let leaf = |change: fn(Forged) -> Forged, words: &str| {
        refused(|chain| chain.leaf = change(chain.leaf.clone()), 0, words);
    };
    leaf(|leaf| leaf.key_usage(0x84, 0), "its key usage has keyCertSign, and it is no CA (RFC 5280 section 4.2.1.3)");
    let permitted = |leaf: Forged| {
        let subtree = der(0x30, &[&der(0xa0, &[&der(0x30, &[&der(0x82, &[b"example"])])])]);
        leaf.with(oid::NAME_CONSTRAINTS, true, &subtree)
    };
    leaf(permitted, "it has name constraints, and is no CA (RFC 5280 section 4.2.1.10)");
    leaf(
        |leaf| leaf.with(oid::SUBJECT_ALT_NAME, false, &[0x30, 0]),
        "there is no name in its subjectAltName (RFC 5280 section 4.2.1.6)",
    );
    leaf(
        |leaf| Forged { subject: vec![0x30, 0], ..leaf },
        "its subject is empty, and it has no critical subjectAltName (RFC 5280 section 4.2.1.6)",
    );
    leaf(
        |leaf| leaf.with(&[0x06, 3, 0x55, 0x1d, 0x36], true, &[0x02, 1, 0]),
        "a critical extension is not processed: 2.5.29.54 (RFC 5280 section 4.2)",
    );
    leaf(
        |leaf| leaf.with(oid::SUBJECT_KEY_IDENTIFIER, true, &[0x04, 1, 0]),
        "an extension is critical that must not be: 2.5.29.14 (RFC 5280 section 4.2)",
    );
    refused(
        |chain| chain.ca = chain.ca.clone().key_usage(0x80, 0),
        1,
        "a CA whose key usage lacks keyCertSign (RFC 5280 section 4.2.1.3)",
    );
    refused(
        |chain| chain.ca = chain.ca.clone().with(oid::BASIC_CONSTRAINTS, true, &[0x30, 0]),
        1,
        "not a CA certificate, but it issued one (RFC 5280 section 4.2.1.9)",
    );
}

/// Deviations that CAs in use have, that RFC 5280 lets a validator accept, and that give nobody access.
#[test]
fn leafs_as_usable_as_elsewhere() {
    let leaf = |change: fn(Forged) -> Forged| taken(|chain| chain.leaf = change(chain.leaf.clone()));
    leaf(|leaf| leaf.with(oid::BASIC_CONSTRAINTS, true, &[0x30, 3, 2, 1, 0]));
    leaf(|leaf| leaf.with(oid::SUBJECT_ALT_NAME, true, &dns("b.example")));
    let any = der(0x30, &[&[0x06, 4, 0x55, 0x1d, 0x25, 0]]);
    taken(|chain| chain.leaf = chain.leaf.clone().with(oid::EXTENDED_KEY_USAGE, false, &any));
    // A CA's purposes still limit a leaf with anyExtendedKeyUsage.
    let code_signing = der(0x30, &[&[0x06, 8, 0x2b, 6, 1, 5, 5, 7, 3, 3]]);
    refused(
        |chain| {
            chain.leaf = chain.leaf.clone().with(oid::EXTENDED_KEY_USAGE, false, &any);
            chain.ca = chain.ca.clone().with(oid::EXTENDED_KEY_USAGE, false, &code_signing);
        },
        1,
        "its extended key usage does not allow this purpose (RFC 5280 section 4.2.1.12)",
    );
    refused(
        |chain| chain.leaf = chain.leaf.clone().with(oid::EXTENDED_KEY_USAGE, false, &code_signing),
        0,
        "its extended key usage does not allow this purpose (RFC 5280 section 4.2.1.12)",
    );
    // A path length does not make a leaf a CA.
    refused(
        |chain| chain.ca = chain.ca.clone().with(oid::BASIC_CONSTRAINTS, true, &[0x30, 3, 2, 1, 5]),
        1,
        "not a CA certificate, but it issued one (RFC 5280 section 4.2.1.9)",
    );
}

/// Tests all combinations of the nine bits: keyCertSign is for CAs, a client signs, a server signs or agrees on keys,
/// and no other bit counts.
#[test]
fn key_usages_of_leafs() {
    for bits in 1_u16..512 {
        let has = |bit: u16| bits & (1 << bit) != 0;
        let first = (0..8).filter(|bit| has(*bit)).fold(0, |octet, bit| octet | 0x80 >> bit);
        let mut chain = chain();
        chain.leaf = chain.leaf.key_usage(first, if has(8) { 0x80 } else { 0 });
        let (signs, agrees, issues) = (has(0), has(2) || has(4), has(5));
        assert_eq!(judge(&chain, Purpose::ClientAuth).is_ok(), signs && !issues, "{bits:09b}");
        assert_eq!(judge(&chain, Purpose::ServerAuth).is_ok(), (signs || agrees) && !issues, "{bits:09b}");
    }
}

#[test]
fn a_client_that_cannot_sign_is_refused_for_that() {
    let mut chain = chain();
    chain.leaf = chain.leaf.key_usage(0x20, 0);
    let error = judge(&chain, Purpose::ClientAuth).unwrap_err();
    assert_eq!(error.depth, 0);
    assert!(error.to_string().contains("its key usage lacks digitalSignature"), "{error}");
}

#[test]
fn malformed_information_access_does_not_parse() {
    let keys = &*KEYS;
    for (value, good) in [
        (vec![0x30, 14, 0x30, 12, 0x06, 8, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 0x86, 0], true),
        (vec![0x30, 2, 0x30, 0], false),
        (vec![0x04, 3, b'x', b'y', b'z'], false),
        (b"malformed".to_vec(), false),
    ] {
        let der =
            Forged::new("CA", "b", &keys.leaf).with(oid::AUTHORITY_INFO_ACCESS, false, &value).sign(NOW, &keys.ca);
        let parsed = Certificate::from_der(&der).map(drop);
        assert_eq!(parsed.is_ok(), good, "{value:02x?}");
        if let Err(error) = parsed {
            assert!(error.to_string().contains("malformed authority or subject information access"), "{error}");
        }
    }
}

/// Encodes a name constraint that excludes names below this organization, as a string of this tag.
fn excluded(tag: u8, text: &[u8]) -> Vec<u8> {
    let base = der(0xa4, &[&der(0x30, &[&rdn(oid::ORGANIZATION, tag, text)])]);
    der(0x30, &[&der(0xa1, &[&der(0x30, &[&base])])])
}

#[test]
fn excluded_directory_names_are_not_escaped_by_another_string_type() {
    const NUMERIC: u8 = 0x12;
    const TELETEX: u8 = 0x14;
    const VISIBLE: u8 = 0x1a;
    const GENERAL: u8 = 0x1b;
    const UTF8: u8 = 0x0c;
    const PRINTABLE: u8 = 0x13;
    let excludes = "its name constraints do not allow a name below (RFC 5280 section 4.2.1.10)";
    let undecided =
        "a directory name below cannot be told from one that its name constraints exclude (RFC 5280 section 4.2.1.10)";
    let mesh = "Mesh Works".as_bytes();
    for (base_tag, base, tag, text, outcome) in [
        (UTF8, mesh, UTF8, mesh, Some(excludes)),
        (UTF8, mesh, PRINTABLE, b"MESH  works ", Some(excludes)),
        (UTF8, mesh, VISIBLE, mesh, Some(excludes)),
        (VISIBLE, mesh, UTF8, mesh, Some(excludes)),
        (UTF8, b"2026", NUMERIC, b"2026", Some(excludes)),
        (UTF8, mesh, GENERAL, mesh, Some(undecided)),
        (GENERAL, mesh, GENERAL, mesh, Some(excludes)),
        (UTF8, mesh, UTF8, "Mesh\u{a0}Works".as_bytes(), Some(undecided)),
        (UTF8, mesh, UTF8, "Mesh\u{ad} Works".as_bytes(), Some(undecided)),
        (UTF8, mesh, UTF8, "Mesh\u{200b} Works".as_bytes(), Some(undecided)),
        (UTF8, mesh, UTF8, "\u{ff2d}esh Works".as_bytes(), Some(undecided)),
        (UTF8, mesh, UTF8, b"Mesh\tWorks", Some(undecided)),
        (UTF8, "Müller".as_bytes(), TELETEX, b"M\xfcller", Some(undecided)),
        (UTF8, "Müller".as_bytes(), UTF8, "Mu\u{308}ller".as_bytes(), Some(undecided)),
        (UTF8, "Müller".as_bytes(), UTF8, "MÜLLER".as_bytes(), Some(excludes)),
        (PRINTABLE, b"Mesh_Works", UTF8, b"Mesh_Works", Some(undecided)),
        (0x04, mesh, UTF8, mesh, Some(undecided)),
        (UTF8, mesh, UTF8, b"Mesh Workshop", None),
        (UTF8, mesh, UTF8, "Müller".as_bytes(), None),
        (UTF8, "Müller".as_bytes(), UTF8, "Möller".as_bytes(), None),
        (UTF8, mesh, TELETEX, b"Other", None),
        (UTF8, mesh, VISIBLE, b"Other", None),
    ] {
        let change = |chain: &mut Chain| {
            chain.ca = chain.ca.clone().with(oid::NAME_CONSTRAINTS, true, &excluded(base_tag, base));
            chain.leaf.subject = der(0x30, &[&rdn(oid::ORGANIZATION, tag, text), &rdn(oid::COMMON_NAME, UTF8, b"b")]);
        };
        println!("{base_tag:x} {base:x?} {tag:x} {text:x?}");
        match outcome {
            Some(words) => refused(change, 1, words),
            None => taken(change),
        }
    }
}

/// Names with different attributes, or a different number of them, differ whatever their strings.
#[test]
fn names_that_differ_in_a_part_that_can_be_compared_differ() {
    let other = |chain: &mut Chain, rdns: &[Vec<u8>]| {
        let base = der(0xa4, &[&der(0x30, &[&rdn(oid::ORGANIZATION, 0x1b, b"x"), &rdn(oid::COMMON_NAME, 0x0c, b"a")])]);
        let constraints = der(0x30, &[&der(0xa1, &[&der(0x30, &[&base])])]);
        chain.ca = chain.ca.clone().with(oid::NAME_CONSTRAINTS, true, &constraints);
        chain.leaf.subject = der(0x30, &rdns.iter().map(Vec::as_slice).collect::<Vec<_>>());
    };
    let organization = rdn(oid::ORGANIZATION, 0x0c, b"x");
    taken(|chain| other(chain, &[organization.clone(), rdn(oid::COMMON_NAME, 0x0c, b"b")]));
    taken(|chain| other(chain, std::slice::from_ref(&organization)));
    taken(|chain| other(chain, &[rdn(oid::COMMON_NAME, 0x0c, b"a"), organization.clone()]));
    refused(
        |chain| other(chain, &[organization.clone(), rdn(oid::COMMON_NAME, 0x0c, b"A")]),
        1,
        "a directory name below cannot be told from one that its name constraints exclude (RFC 5280 section 4.2.1.10)",
    );
}

#[test]
fn a_mailbox_that_is_none_is_refused_where_mailboxes_are_constrained() {
    let constrain = |chain: &mut Chain, name: &[u8]| {
        let base = der(0x30, &[&der(0x30, &[&der(0x81, &[b"other.example"])])]);
        chain.ca = chain.ca.clone().with(oid::NAME_CONSTRAINTS, true, &der(0x30, &[&[&[0xa1], &base[1..]].concat()]));
        chain.leaf = chain.leaf.clone().with(oid::SUBJECT_ALT_NAME, false, &der(0x30, &[&der(0x81, &[name])]));
    };
    let words = "a name below is malformed, of a kind that its name constraints limit (RFC 5280 section 4.2.1.10)";
    for name in ["", "b", "@mesh.example", "a@b@mesh.example", "a b@mesh.example", "a@", "a@mesh..example", "a@[::1]"] {
        refused(|chain| constrain(chain, name.as_bytes()), 1, words);
    }
    for name in ["b@mesh.example", "\"b c\"@mesh.example", "b.c+d@mesh.example"] {
        taken(|chain| constrain(chain, name.as_bytes()));
    }
}

#[test]
fn ml_dsa_is_verified_by_a_server_and_not_by_a_device() {
    const ML_DSA_44: &[u8] = &[0x06, 9, 0x60, 0x86, 0x48, 1, 0x65, 3, 4, 3, 17];
    let key = KeyPair::generate_for(&rcgen::PKCS_ML_DSA_44).unwrap();
    let root = Forged { signature_algorithm: ML_DSA_44.to_vec(), ..Forged::ca("Root", "Root", &key) }.sign(NOW, &key);
    let leaf = Forged::new("Root", "b", &KEYS.leaf);
    let leaf = Forged { signature_algorithm: ML_DSA_44.to_vec(), ..leaf }.sign(NOW, &key);
    let (anchors, leaf) = ([Anchor::ca(Certificate::from_der(&root).unwrap())], Certificate::from_der(&leaf).unwrap());
    let now = UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()));
    let judge = |algorithms, limits| {
        let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
        let verdict = trust.verify(&leaf, &[], Purpose::ServerAuth, now, &mut Budget::new(limits));
        verdict.map(drop).map_err(|error| error.to_string())
    };
    let server = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    assert_eq!(judge(server, Limits::SERVER), Ok(()));
    let refused = judge(&[ECDSA_P256_SHA256], Limits::DEVICE).unwrap_err();
    assert!(refused.contains("its signature algorithm is not supported: 2.16.840.1.101.3.4.3.17"), "{refused}");
}
