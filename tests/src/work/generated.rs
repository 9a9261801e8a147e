//! Generates chains from a seed or a fuzzer: hostile in shape, with signatures that a stub accepts or rejects at no
//! cost.

use edgetrust_core::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, alg_id};

use super::der::{self, Unsigned, attribute, tlv};

/// A stub that accepts signatures ending in an even octet, at no cost.
#[derive(Debug)]
pub struct Free;

impl SignatureVerificationAlgorithm for Free {
    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_P256
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        alg_id::ECDSA_SHA256
    }

    fn verify_signature(&self, _: &[u8], _: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        signature.last().filter(|octet| **octet & 1 == 0).map(|_| ()).ok_or(InvalidSignature)
    }
}

/// A source of choices: a seed or a fuzzer's octets.
pub trait Choices {
    /// Returns one of `0..below`.
    fn below(&mut self, below: usize) -> usize;
}

/// Choices from a fuzzer's octets; when they are used up, the first choice is taken.
#[derive(Debug)]
pub struct Octets<'a>(pub &'a [u8]);

impl Choices for Octets<'_> {
    fn below(&mut self, below: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first).checked_rem(below).unwrap_or(0)
    }
}

/// The maximum octets that a peer can send: the size of a handshake message in rustls.
pub const MAX_OCTETS: usize = 63 * 1024;

/// Generates certificates, the leaf first, at most [`MAX_OCTETS`] in all. The verifier must accept signatures that end
/// in an even octet.
pub fn chain(choices: &mut impl Choices) -> Vec<Vec<u8>> {
    let count = 1 + choices.below(16);
    let share = MAX_OCTETS / count;
    let plan = Plan::draw(choices, share);
    let mut chain: Vec<Vec<u8>> = Vec::new();
    let mut left = MAX_OCTETS;
    for place in 0..count {
        let certificate = plan.certificate(choices, place);
        if certificate.len() > left {
            break;
        }
        left -= certificate.len();
        chain.push(certificate);
    }
    chain
}

/// The common properties of one chain's certificates.
struct Plan {
    /// The text of the names.
    text: Vec<u8>,
    strings: usize,
    attributes: usize,
    rdns: usize,
    /// The difference between names: order of attributes, case, spaces, string type, or none.
    variation: usize,
    same_key: bool,
    leaf_names: Vec<Vec<u8>>,
    excluded: Vec<Vec<u8>>,
    permitted: Vec<Vec<u8>>,
    purposes: usize,
    key_identifier: usize,
    decoys: usize,
}

const STRINGS: [u8; 4] = [0x0c, 0x13, 0x16, 0x1e];

impl Plan {
    fn draw(choices: &mut impl Choices, share: usize) -> Self {
        // Names take all of a certificate's share, or little of it.
        let names = [60, share / 4, share / 2][choices.below(3)];
        let attributes = 1 + choices.below(8);
        let rdns = [1, 1, 2, 1 + names / (attributes * 24)][choices.below(4)];
        let octets = (names / (attributes * rdns)).saturating_sub(14).clamp(1, 20_000);
        let unit: &[u8] = [&b"a"[..], b"A", b" a", b"a  ", "ü".as_bytes(), "ǰ".as_bytes()][choices.below(6)];
        let text: Vec<u8> = unit.iter().copied().cycle().take(octets / unit.len() * unit.len()).collect();
        let constrained = choices.below(3) == 0;
        let lists = if constrained { share / 3 } else { 0 };
        Self {
            text,
            strings: choices.below(5),
            attributes,
            rdns,
            variation: choices.below(6),
            same_key: choices.below(3) == 0,
            leaf_names: general_names(choices, share / 3, false),
            excluded: general_names(choices, lists, true),
            permitted: if choices.below(2) == 0 { Vec::new() } else { general_names(choices, lists, true) },
            purposes: [0, 0, 1, share / 8][choices.below(4)],
            key_identifier: [0, 20, share / 4][choices.below(3)],
            decoys: choices.below(3),
        }
    }

    /// Returns a name that is the same, or nearly the same, by RFC 5280 section 7.1, in other octets.
    fn name(&self, choices: &mut impl Choices) -> Vec<u8> {
        let rdn = |rdn: usize, choices: &mut dyn FnMut(usize) -> usize| {
            let turn = if self.variation == 1 { choices(self.attributes) } else { 0 };
            (0..self.attributes)
                .map(|place| {
                    let place = (place + turn) % self.attributes;
                    let mut text = self.text.clone();
                    match self.variation {
                        2 => text.make_ascii_uppercase(),
                        3 => text.push(b' '),
                        4 if choices(2) == 0 => text.extend(b"  "),
                        5 if rdn + 1 == self.rdns => text.extend(choices(3).to_be_bytes()),
                        _ => {}
                    }
                    // Attributes of one type, distinguished by their ends.
                    text.extend(format!("{place}").bytes());
                    let string = STRINGS.get(self.strings).copied().unwrap_or(STRINGS[choices(2)]);
                    if string == 0x1e {
                        text = text.iter().flat_map(|octet| [0, *octet]).collect();
                    }
                    attribute(3, string, &text)
                })
                .collect::<Vec<_>>()
        };
        let mut choose = |below| choices.below(below);
        der::name(&(0..self.rdns).map(|number| rdn(number, &mut choose)).collect::<Vec<_>>())
    }

    fn certificate(&self, choices: &mut impl Choices, place: usize) -> Vec<u8> {
        let mut extensions = Vec::new();
        let decoy = self.decoys == 1 && choices.below(2) == 0;
        if place > 0 && !decoy {
            extensions.extend(der::ca());
        }
        if place == 0 && !self.leaf_names.is_empty() {
            extensions.push(der::names(&self.leaf_names));
        }
        if place > 0 && !(self.excluded.is_empty() && self.permitted.is_empty()) {
            extensions.push(der::constraints(&self.permitted, &self.excluded));
        }
        if self.purposes > 0 {
            let server: &[u8] = &[0x2b, 6, 1, 5, 5, 7, 3, 1];
            let mut oids: Vec<&[u8]> = vec![&[0x2b]; self.purposes / 3];
            oids.push(server);
            extensions.push(der::purposes(&oids));
        }
        if self.key_identifier > 0 {
            let identifier = vec![7; self.key_identifier];
            extensions.push(der::subject_key(&identifier));
            extensions.push(der::authority_key(&identifier));
        }
        let key = if self.same_key { 0 } else { u8::try_from(place).unwrap_or(0) };
        let subject = if place == 0 { der::common_name("leaf") } else { self.name(choices) };
        let unsigned = Unsigned {
            issuer: self.name(choices),
            subject,
            // An uncompressed point by its first octet, which is all that is looked at here.
            spki: der::spki(der::P256, &[&[4][..], &[key; 64]].concat()),
            extensions,
            algorithm: der::ECDSA_SHA256.to_vec(),
        };
        let bad = self.decoys == 2 && choices.below(2) == 0;
        unsigned.sign(|_| vec![u8::from(bad); 70])
    }
}

/// Returns names of one kind or of all kinds, with this number of octets in all.
fn general_names(choices: &mut impl Choices, octets: usize, bases: bool) -> Vec<Vec<u8>> {
    let kind = choices.below(7);
    let each = [3, 20, 200, octets / 3][choices.below(4)].clamp(3, 20_000);
    let mut names = Vec::new();
    let mut left = octets;
    while left > 0 {
        let number = names.len();
        let name = general_name(if kind == 6 { number % 6 } else { kind }, each, number, bases);
        left = left.saturating_sub(name.len() + 4);
        names.push(name);
    }
    names
}

fn general_name(kind: usize, octets: usize, number: usize, base: bool) -> Vec<u8> {
    let host: String = "a.".repeat(octets.min(250) / 2) + &format!("n{number}");
    match kind {
        0 => tlv(0x82, &[host.as_bytes()]),
        1 => tlv(0x87, &[&[10, 0, 0, 0, 255, 255, 0, 0][..if base { 8 } else { 4 }]]),
        2 => tlv(
            0x81,
            &[&if base { vec![] } else { vec![b'u'; octets] }, if base { b"" } else { b"@" }, host.as_bytes()],
        ),
        3 if base => tlv(0x86, &[host.as_bytes()]),
        3 => tlv(0x86, &[b"https://", host.as_bytes(), b"/", &vec![b'p'; octets]]),
        4 => {
            let text = [&b"a ".repeat(octets / 2)[..], format!("{number}").as_bytes()].concat();
            tlv(0xa4, &[&der::name(&[vec![attribute(3, 0x0c, &text)]])])
        }
        _ => tlv(0x82, &[b"."]),
    }
}
