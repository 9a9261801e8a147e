//! Writes revocation lists and certificates for them, of shapes that take long to judge.

use super::der::{self, Unsigned, common_name, extension, list, tlv};

/// A leaf, its CA, and lists that are known to be the CA's.
pub struct Listed {
    /// The name of the shape.
    pub name: &'static str,
    /// The leaf.
    pub leaf: Vec<u8>,
    /// The CA, which is an anchor.
    pub ca: Vec<u8>,
    /// The lists.
    pub lists: Vec<Vec<u8>>,
}

/// A signature that [`Free`](super::generated::Free) accepts.
fn unsigned(_: &[u8]) -> Vec<u8> {
    vec![0]
}

fn certificate(subject: &str, more: Vec<Vec<u8>>) -> Vec<u8> {
    let mut extensions = if subject == "leaf" { vec![der::names(&[tlv(0x82, &[b"a.example"])])] } else { der::ca() };
    extensions.extend(more);
    let (issuer, subject) = (common_name("Site CA"), common_name(subject));
    let spki = der::spki(der::P256, &[4; 65]);
    Unsigned { issuer, subject, spki, extensions, algorithm: der::ECDSA_SHA256.to_vec() }.sign(unsigned)
}

/// Encodes a list of these entries and extensions, valid from 2020 to 2049.
fn revocation_list(issuer: &[u8], entries: &[Vec<u8>], extensions: &[Vec<u8>]) -> Vec<u8> {
    let algorithm = tlv(0x30, &[der::ECDSA_SHA256]);
    let time = |text: &[u8]| tlv(0x17, &[text]);
    let extensions = tlv(0xa0, &[&list(0x30, extensions)]);
    let tbs = tlv(
        0x30,
        &[
            &[0x02, 0x01, 0x01],
            &algorithm,
            issuer,
            &time(b"200101000000Z"),
            &time(b"491231235959Z"),
            &list(0x30, entries),
            &extensions,
        ],
    );
    tlv(0x30, &[&tbs, &algorithm, &tlv(0x03, &[&[0], &unsigned(&tbs)])])
}

fn entries(count: u32) -> Vec<Vec<u8>> {
    let date = tlv(0x17, &[b"260101000000Z"]);
    (0..count).map(|number| tlv(0x30, &[&tlv(0x02, &[&(0x0100_0000 + number).to_be_bytes()]), &date])).collect()
}

/// Returns the shapes.
pub fn listed() -> Vec<Listed> {
    let (ca, issuer) = (certificate("Site CA", Vec::new()), common_name("Site CA"));
    let one = |name, leaf, lists| Listed { name, leaf, ca: ca.clone(), lists };
    let number = extension(20, false, &[0x02, 0x01, 0x07]);
    let plain = || certificate("leaf", Vec::new());
    // fullName of a distribution point: GeneralNames of as many small names as fit.
    let names = |count: usize, first: u8| -> Vec<u8> {
        let names: Vec<Vec<u8>> = (0..count).map(|at| tlv(0x86, &[&[first, (at % 64) as u8 + 0x20]])).collect();
        tlv(0xa0, &[&list(0xa0, &names)])
    };
    let scope = |count| extension(28, true, &tlv(0x30, &[&names(count, b'b')]));
    let points =
        |count| certificate("leaf", vec![extension(31, false, &tlv(0x30, &[&tlv(0x30, &[&names(count, b'a')])]))]);
    let of_scope = |count| vec![revocation_list(&issuer, &entries(1), &[number.clone(), scope(count)])];
    let long = common_name(&"Site CA ".repeat(250));
    vec![
        one(
            "a search through 50000 entries",
            plain(),
            vec![revocation_list(&issuer, &entries(50_000), std::slice::from_ref(&number))],
        ),
        one("ten thousand places, and one of the list", points(10_000), of_scope(1)),
        one("a hundred places, and a hundred of the list", points(100), of_scope(100)),
        one(
            "a thousand lists of other CAs",
            plain(),
            (0..1_000).map(|_| revocation_list(&long, &entries(1), std::slice::from_ref(&number))).collect(),
        ),
        one(
            "a thousand lists of the CA",
            plain(),
            (0..1_000).map(|_| revocation_list(&issuer, &entries(2), std::slice::from_ref(&number))).collect(),
        ),
    ]
}
