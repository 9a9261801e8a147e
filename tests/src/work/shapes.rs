//! Builds untrusted chains that are expensive to refuse, each as expensive as 63 KB and sixteen certificates allow.

use std::sync::OnceLock;

use rcgen::{KeyPair, SigningKey};

use super::der::{self, Unsigned, attribute, tlv};
use super::generated::MAX_OCTETS;

/// A chain that a hostile peer sends.
#[derive(Clone, Debug)]
pub struct Attack {
    /// The attack's name in a few words.
    pub name: &'static str,
    /// The certificates, the leaf first.
    pub chain: Vec<Vec<u8>>,
}

/// The maximum number of certificates that a peer can send.
const MAX_CERTIFICATES: usize = 16;
/// The octets of each of sixteen certificates, less the octets that all of them need.
const SHARE: usize = MAX_OCTETS / MAX_CERTIFICATES - 500;

fn keys() -> &'static [KeyPair] {
    static KEYS: OnceLock<Vec<KeyPair>> = OnceLock::new();
    KEYS.get_or_init(|| (0..MAX_CERTIFICATES).map(|_| KeyPair::generate().expect("a key")).collect())
}

fn sign(key: &KeyPair, message: &[u8]) -> Vec<u8> {
    key.sign(message).expect("a signature")
}

/// Returns the SubjectPublicKeyInfo of a key of rcgen's.
fn spki(key: &KeyPair) -> Vec<u8> {
    rcgen::PublicKeyData::subject_public_key_info(key)
}

/// Returns one certificate of a chain of sixteen, before it is signed.
fn blank(subject: Vec<u8>, issuer: Vec<u8>, key: usize, extensions: Vec<Vec<u8>>) -> Unsigned {
    let spki = spki(&keys()[key]);
    Unsigned { issuer, subject, spki, extensions, algorithm: der::ECDSA_SHA256.to_vec() }
}

/// Returns a leaf and CAs of one name, `name(0)`, which the others write differently: each signed by the next, so that
/// at every level one candidate signed, and all others did not.
fn ladder(name: &dyn Fn(usize) -> Vec<u8>, more: &dyn Fn(usize) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    ladder_of(MAX_CERTIFICATES, name, more)
}

fn ladder_of(count: usize, name: &dyn Fn(usize) -> Vec<u8>, more: &dyn Fn(usize) -> Vec<Vec<u8>>) -> Vec<Vec<u8>> {
    let chain = (0..count).map(|place| {
        let subject = if place == 0 { der::common_name("leaf") } else { name(2 * place) };
        let mut extensions = if place == 0 { vec![der::names(&[tlv(0x82, &[b"a.example"])])] } else { der::ca() };
        extensions.extend(more(place));
        blank(subject, name(2 * place + 1), place, extensions).sign(|tbs| sign(&keys()[(place + 1) % count], tbs))
    });
    chain.collect()
}

fn plain(_: usize) -> Vec<Vec<u8>> {
    Vec::new()
}

/// Returns one RDN of eight attributes with a common prefix, in as many orders.
fn turned(octets: usize) -> impl Fn(usize) -> Vec<u8> {
    move |turn| {
        let attributes = (0..8).map(|place| {
            let value = [&vec![b'x'; octets / 8 - 16][..], format!("{}", (place + turn) % 8).as_bytes()].concat();
            attribute(3, 0x0c, &value)
        });
        der::name(&[attributes.collect()])
    }
}

/// Returns one attribute that must be compared by characters: only insignificant spaces at the ends differ.
fn spaced(octets: usize, unit: &'static str) -> impl Fn(usize) -> Vec<u8> {
    move |turn| {
        let value = [" ".repeat(1 + turn % 2), unit.repeat(octets / unit.len()), " ".repeat(turn % 3)].concat();
        der::name(&[vec![attribute(3, 0x0c, value.as_bytes())]])
    }
}

/// Returns an untrusted leaf with these names below an untrusted CA with these constraints.
fn constrained(names: &[Vec<u8>], permitted: &[Vec<u8>], excluded: &[Vec<u8>]) -> Vec<Vec<u8>> {
    let name = |number: usize| der::common_name(&format!("CA {number}"));
    let chain = [0, 1].map(|place| {
        let mut extensions = if place == 0 { vec![der::names(names)] } else { der::ca() };
        if place == 1 {
            extensions.push(der::constraints(permitted, excluded));
        }
        blank(name(place), name(place + 1), place, extensions).sign(|tbs| sign(&keys()[place + 1], tbs))
    });
    chain.to_vec()
}

/// Returns a leaf and fifteen CAs of one name, none of which signed, with `spki`, this algorithm and this signature.
fn forged(spki: &[u8], algorithm: &[u8], signature: &[u8], more: usize) -> Vec<Vec<u8>> {
    let name = der::common_name("CA");
    let chain = (0..MAX_CERTIFICATES).map(|place| {
        let mut extensions = if place == 0 { vec![der::names(&[tlv(0x82, &[b"a.example"])])] } else { der::ca() };
        if place == 0 && more > 0 {
            extensions.push(der::extension(32, false, &tlv(0x04, &[&vec![0; more]])));
        }
        // An attribute distinguishes the keys, since one key on a path twice is a loop.
        let subject = if place == 0 { der::common_name("leaf") } else { name.clone() };
        Unsigned { issuer: name.clone(), subject, spki: spki.to_vec(), extensions, algorithm: algorithm.to_vec() }
            .sign(|_| signature.to_vec())
    });
    chain.collect()
}

fn forged_ecdsa(algorithm: &'static rcgen::SignatureAlgorithm, id: &[u8]) -> Vec<Vec<u8>> {
    let key = KeyPair::generate_for(algorithm).expect("a key");
    forged(&spki(&key), id, &sign(&key, b"something else"), 0)
}

fn forged_rsa(octets: usize, exponent: &[u8]) -> Vec<Vec<u8>> {
    let modulus = [&[0][..], &vec![0xdb; octets]].concat();
    let key = tlv(0x30, &[&tlv(0x02, &[&modulus]), &tlv(0x02, &[exponent])]);
    let id = |last| [&[0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01][..], &[last, 0x05, 0x00]].concat();
    forged(&der::spki(&id(1), &key), &id(11), &vec![0x5a; octets], 0)
}

/// Returns `count` names, each made from its number.
fn numbered(count: usize, name: impl Fn(usize) -> Vec<u8>) -> Vec<Vec<u8>> {
    (0..count).map(name).collect()
}

fn dns(text: &str) -> Vec<u8> {
    tlv(0x82, &[text.as_bytes()])
}

fn directory(name: &[u8]) -> Vec<u8> {
    tlv(0xa4, &[name])
}

fn long_uri(octets: usize) -> Vec<u8> {
    tlv(0x86, &[b"https://a.example/", &vec![b'p'; octets]])
}

fn of_names() -> Vec<Attack> {
    let identical = der::name(&[vec![attribute(3, 0x0c, &vec![b'x'; SHARE / 2])]]);
    let kelvin = spaced(SHARE / 2, "\u{212a}");
    let decoys = |place| if place == 0 { plain(place) } else { vec![der::extension(19, true, &[0x30, 0x00])] };
    let mut no_cas = ladder(&turned(SHARE / 2), &plain);
    for (place, certificate) in no_cas.iter_mut().enumerate().skip(1) {
        let names = [2 * place, 2 * place + 1].map(|turn| turned(SHARE / 2)(turn));
        let [subject, issuer] = names;
        *certificate = blank(subject, issuer, place, decoys(place)).sign(|tbs| sign(&keys()[0], tbs));
    }
    let identifiers = |_| vec![der::subject_key(&[7; SHARE / 2]), der::authority_key(&[7; SHARE / 2])];
    let purposes = |place| if place == 0 { Vec::new() } else { vec![der::purposes(&[&[0x2b_u8][..]; SHARE / 3])] };
    let attack = |name, chain| Attack { name, chain };
    vec![
        attack("a ladder of CAs of one name", ladder(&|_| der::common_name("CA"), &plain)),
        attack("attributes in unlike order", ladder(&turned(SHARE / 2), &plain)),
        attack("attributes in unlike order, no CAs", no_cas),
        attack("names with spaces", ladder(&spaced(SHARE / 2, "x"), &plain)),
        attack("names with letters of another case", ladder(&kelvin, &plain)),
        attack("names of the same octets", ladder(&|_| identical.clone(), &plain)),
        attack("long key identifiers", ladder(&|_| der::common_name("CA"), &identifiers)),
        attack("many purposes", ladder(&|_| der::common_name("CA"), &purposes)),
    ]
}

fn of_signatures() -> Vec<Attack> {
    let sha = |last| [&[0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03][..], &[last]].concat();
    let mut attacks = vec![
        Attack { name: "forged: P-256", chain: forged_ecdsa(&rcgen::PKCS_ECDSA_P256_SHA256, &sha(2)) },
        Attack { name: "forged: P-384", chain: forged_ecdsa(&rcgen::PKCS_ECDSA_P384_SHA384, &sha(3)) },
        Attack { name: "forged: P-521", chain: forged_ecdsa(&rcgen::PKCS_ECDSA_P521_SHA512, &sha(4)) },
        Attack { name: "forged: Ed25519", chain: forged_ecdsa(&rcgen::PKCS_ED25519, &[0x06, 0x03, 0x2b, 0x65, 0x70]) },
    ];
    for (name, octets, exponent) in [
        ("forged: RSA-2048", 256, &[1, 0, 1][..]),
        ("forged: RSA-4096", 512, &[1, 0, 1]),
        ("forged: RSA-8192", 1024, &[1, 0, 1]),
        ("forged: RSA-8192 with a long exponent", 1024, &[1, 0xff, 0xff, 0xff, 0xff]),
    ] {
        attacks.push(Attack { name, chain: forged_rsa(octets, exponent) });
    }
    let key = KeyPair::generate().expect("a key");
    let long = forged(&spki(&key), &sha(2), &sign(&key, b"something else"), MAX_OCTETS - 16 * 400);
    attacks.push(Attack { name: "forged: a long certificate", chain: long });
    attacks
}

fn of_constraints() -> Vec<Attack> {
    let half = MAX_OCTETS / 2 - 1_000;
    let tiny = |count| numbered(count, |number| dns(&format!("{number}.x")));
    let attribute_of = |octets: usize, number: usize, space: &str| {
        let text = format!("{}{space}{number}", "x ".repeat(octets / 2));
        directory(&der::name(&[vec![attribute(3, 0x0c, text.as_bytes())]]))
    };
    let turned_in_list = |count, from| numbered(count, move |number| directory(&turned(half / 70)(number * 3 + from)));
    let mixed = numbered(half / 30, |number| match number % 4 {
        0 => dns(&format!("n{number}.example")),
        1 => tlv(0x86, &[format!("https://n{number}.example/").as_bytes()]),
        2 => tlv(0x81, &[format!("a@n{number}.example").as_bytes()]),
        _ => tlv(0x87, &[&[10, 0, 0, 1]]),
    });
    let bases = numbered(half / 30, |number| match number % 4 {
        0 => dns(&format!("x{number}.example")),
        1 => tlv(0x86, &[format!("x{number}.example").as_bytes()]),
        2 => tlv(0x81, &[format!("x{number}.example").as_bytes()]),
        _ => tlv(0x87, &[&[11, 0, 0, 0, 255, 0, 0, 0]]),
    });
    let attack = |name, chain| Attack { name, chain };
    vec![
        attack(
            "constraints: DNS names",
            constrained(&tiny(half / 9), &[], &numbered(half / 12, |number| dns(&format!("{number}.y")))),
        ),
        attack("constraints: all kinds", constrained(&mixed, &[], &bases)),
        attack(
            "constraints: long URIs",
            constrained(
                &numbered(4, |_| long_uri(half / 4 - 40)),
                &[],
                &numbered(half / 20, |number| tlv(0x86, &[format!("x{number}.example").as_bytes()])),
            ),
        ),
        attack(
            "constraints: directory names in unlike order",
            constrained(&turned_in_list(60, 0), &[], &turned_in_list(60, 1)),
        ),
        attack(
            "constraints: directory names with spaces",
            constrained(
                &numbered(60, |number| attribute_of(half / 60 - 40, number, " ")),
                &[],
                &numbered(60, |number| attribute_of(half / 60 - 40, number + 100, "  ")),
            ),
        ),
        attack(
            "constraints: one that is not understood",
            constrained(&tiny(half / 9), &[tiny(half / 12), vec![dns("..")]].concat(), &[]),
        ),
        attack("empty names", constrained(&vec![dns(""); 2 * half / 2 - 200], &[], &[dns("x")])),
    ]
}

/// Returns a legitimate chain: a leaf of a thousand names of five kinds, and the CA above it, which permits and
/// excludes ten subtrees of each kind.
pub fn a_thousand_names() -> Vec<Vec<u8>> {
    let email = |text: String| tlv(0x81, &[text.as_bytes()]);
    let organisation = |text: &str| der::name(&[vec![attribute(10, 0x0c, text.as_bytes())]]);
    let names = numbered(1_000, |number| match number % 5 {
        0 => dns(&format!("n{number}.site.example")),
        1 => email(format!("n{number}@site.example")),
        2 => tlv(0x86, &[format!("spiffe://site.example/{number}").as_bytes()]),
        3 => tlv(0x87, &[&[10, 7, number.to_be_bytes()[6], number.to_be_bytes()[7]]]),
        _ => directory(&der::name(&[
            vec![attribute(10, 0x0c, b"Site")],
            vec![attribute(3, 0x0c, format!("n{number}").as_bytes())],
        ])),
    });
    let subtrees = |prefix: &str, octet: u8| {
        numbered(50, |number| {
            let text = format!("{prefix}{number}.example");
            match number % 5 {
                0 => dns(&text),
                1 => email(text),
                2 => tlv(0x86, &[text.as_bytes()]),
                3 => tlv(0x87, &[&[octet, number.to_be_bytes()[7], 0, 0, 255, 255, 0, 0]]),
                _ => directory(&organisation(&text)),
            }
        })
    };
    let mut permitted = subtrees("p", 11);
    permitted.extend([
        dns("site.example"),
        email("site.example".to_owned()),
        tlv(0x86, &[b"site.example"]),
        tlv(0x87, &[&[10, 7, 0, 0, 255, 255, 0, 0]]),
        directory(&organisation("Site")),
        directory(&der::common_name("CA 0")),
    ]);
    constrained(&names, &permitted, &subtrees("x", 12))
}

/// Returns attacks on a device, which accepts four certificates beside the server's own, in this number of octets.
pub fn attacks_on_a_device(octets: usize) -> Vec<Attack> {
    const COUNT: usize = 5;
    let share = octets / COUNT - 500;
    let half = octets / 2 - 500;
    let attack = |name, chain| Attack { name, chain };
    vec![
        attack("signatures", ladder_of(COUNT, &|_| der::common_name("CA"), &plain)),
        attack("attributes", ladder_of(COUNT, &turned(share / 2), &plain)),
        attack("spaces", ladder_of(COUNT, &spaced(share / 2, "x"), &plain)),
        attack("letters", ladder_of(COUNT, &spaced(share / 2, "\u{212a}"), &plain)),
        attack(
            "constraints",
            constrained(
                &numbered(half / 9, |number| dns(&format!("{number}.x"))),
                &[],
                &numbered(half / 12, |number| dns(&format!("{number}.y"))),
            ),
        ),
    ]
}

/// Returns all attacks.
pub fn attacks() -> Vec<Attack> {
    [of_names(), of_signatures(), of_constraints()].concat()
}
