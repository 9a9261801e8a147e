//! Generates cases that no CA issues: chains with one fault each, certificates with one flipped bit, bags of
//! look-alikes.

use edgetrust_core::identity::RuleName;
use edgetrust_core::path::{Limits, Purpose};
use edgetrust_core::x509::{Certificate, KeyHash};
use edgetrust_verdicts::{Case, Keys, MAX_SENT, Policy};
use pki_types::CertificateDer;
use rcgen::{ExtendedKeyUsagePurpose, KeyUsagePurpose};

use super::Corpus;
use crate::chains::{Shape, issue};
use crate::random::Random;

const NOW: u64 = 1_800_000_000;
const NAME: &str = "gateway.example";

/// Returns a chain of three, for servers and clients.
fn sound() -> [Shape; 3] {
    [Shape::ca(), Shape::ca(), Shape::leaf(&[NAME])]
}

fn chain(shapes: &[Shape]) -> Vec<CertificateDer<'static>> {
    issue(shapes, i64::try_from(NOW).expect("a time"))
}

/// Makes a case from a chain with the anchor first and the leaf last.
fn case<'a>(chain: &'a [CertificateDer<'static>], purpose: Purpose, policy: Policy<'a>) -> Case<'a> {
    let (leaf, above) = chain.split_last().expect("a leaf");
    let (anchor, sent) = above.split_first().expect("an anchor");
    Case {
        number: 0,
        purpose,
        now: NOW,
        intermediates: Limits::DEVICE.intermediates,
        policy,
        issuers: Keys::new(),
        denied: Keys::new(),
        anchors: [anchor.as_ref()].into_iter().collect(),
        sent: sent.iter().take(MAX_SENT).map(|der| der.as_ref()).collect(),
        leaf: leaf.as_ref(),
    }
}

fn rules<'a>(rules: &[RuleName<'a>]) -> Policy<'a> {
    Policy::Rules(rules.iter().copied().collect())
}

/// Adds all hostile cases; the same seed flips the same bits.
pub fn take(corpus: &mut Corpus, seed: u64) {
    take_policies(corpus);
    take_keys(corpus);
    take_faults(corpus);
    take_bags(corpus);
    take_turned_bits(corpus, &mut Random(seed));
}

fn take_policies(corpus: &mut Corpus) {
    let mut shapes = sound();
    shapes[2].addresses = vec!["192.0.2.7".parse().expect("an address")];
    let chain = chain(&shapes);
    let (right, wrong) = ("192.0.2.7".parse().expect("an address"), "::ffff:192.0.2.7".parse().expect("an address"));
    for (what, policy) in [
        ("no name", Policy::None),
        ("its name", Policy::Dns(NAME)),
        ("its name in capitals", Policy::Dns("GATEWAY.example")),
        ("another name", Policy::Dns("other.example")),
        ("no name at all", Policy::Dns("not a name")),
        ("its address", Policy::Ip(right)),
        ("its address, mapped", Policy::Ip(wrong)),
    ] {
        corpus.take(format!("server: {what}"), case(&chain, Purpose::ServerAuth, policy));
    }
    for (what, policy) in [
        ("anybody", Policy::None),
        ("nobody", rules(&[])),
        ("its common name", rules(&[RuleName::CommonName("Certificate 2")])),
        ("another common name", rules(&[RuleName::CommonName("Certificate 3")])),
        ("its DNS name, second", rules(&[RuleName::Uri("spiffe://example/x"), RuleName::Dns(NAME)])),
        ("its address", rules(&[RuleName::Ip(right)])),
        ("its address, mapped", rules(&[RuleName::Ip(wrong)])),
        ("a URI", rules(&[RuleName::Uri("spiffe://example/x")])),
        ("a server's name", Policy::Dns(NAME)),
    ] {
        corpus.take(format!("client: {what}"), case(&chain, Purpose::ClientAuth, policy));
    }
}

/// Adds cases that are bound to the issuer of each certificate, and cases in which each key is denied.
fn take_keys(corpus: &mut Corpus) {
    let chain = chain(&sound());
    let key = |der: &CertificateDer<'_>| {
        KeyHash::of(&Certificate::from_der(der).expect("a certificate").subject_public_key_info())
    };
    for (place, der) in chain.iter().enumerate() {
        let keys = || Keys::from_iter([key(der)]);
        for (purpose, policy) in
            [(Purpose::ServerAuth, Policy::Dns(NAME)), (Purpose::ClientAuth, rules(&[RuleName::Dns(NAME)]))]
        {
            let bound = Case { issuers: keys(), ..case(&chain, purpose, policy.clone()) };
            corpus.take(format!("issued by the key of certificate {place}, {purpose:?}"), bound);
            let denied = Case { denied: keys(), ..case(&chain, purpose, policy) };
            corpus.take(format!("the key of certificate {place} denied, {purpose:?}"), denied);
        }
    }
}

/// Adds a case for each fault of each certificate of a chain.
fn take_faults(corpus: &mut Corpus) {
    type Fault = (&'static str, fn(&mut Shape));
    let faults: [Fault; 14] = [
        ("expired", |shape| shape.days = (-9, -2)),
        ("expired this second", |shape| shape.days = (-1, 0)),
        ("not yet valid", |shape| shape.days = (2, 9)),
        ("valid from this second", |shape| shape.days = (0, 1)),
        ("forged", |shape| shape.forged = true),
        ("no CA", |shape| shape.ca = None),
        ("a CA", |shape| shape.ca = Some(None)),
        ("no CA below it", |shape| shape.ca = Some(Some(0))),
        ("may not sign", |shape| shape.key_usages = vec![KeyUsagePurpose::DigitalSignature]),
        ("for servers", |shape| shape.purposes = vec![ExtendedKeyUsagePurpose::ServerAuth]),
        ("for clients", |shape| shape.purposes = vec![ExtendedKeyUsagePurpose::ClientAuth]),
        ("for code", |shape| shape.purposes = vec![ExtendedKeyUsagePurpose::CodeSigning]),
        ("permits others", |shape| shape.permitted = vec!["other.example".to_owned()]),
        ("excludes it", |shape| shape.excluded = vec!["example".to_owned()]),
    ];
    for (what, fault) in faults {
        for place in 0..3 {
            let mut shapes = sound();
            fault(&mut shapes[place]);
            let chain = chain(&shapes);
            for purpose in [Purpose::ServerAuth, Purpose::ClientAuth] {
                corpus.take(format!("certificate {place} {what}, {purpose:?}"), case(&chain, purpose, Policy::None));
            }
        }
    }
    for length in 2..=9 {
        let mut shapes = vec![Shape::ca(); length];
        shapes.push(Shape::leaf(&[NAME]));
        let chain = chain(&shapes);
        corpus.take(format!("{} intermediates", length - 1), case(&chain, Purpose::ServerAuth, Policy::None));
        let mut reversed = case(&chain, Purpose::ServerAuth, Policy::None);
        reversed.sent.reverse();
        corpus.take(format!("{} intermediates, reversed", length - 1), reversed);
    }
}

/// Adds cases with more work than a device does for one peer.
fn take_bags(corpus: &mut Corpus) {
    // The signature is by an unrelated key, so that each copy is another invalid signature.
    let mut shapes = sound();
    shapes[2].forged = true;
    let forged = chain(&shapes);
    for copies in [2, 7, 8, 9, MAX_SENT] {
        let mut case = case(&forged, Purpose::ServerAuth, Policy::None);
        case.sent = (0..copies).map(|_| forged[1].as_ref()).collect();
        corpus.take(format!("{copies} times its CA, which did not sign it"), case);
    }
    let honest = chain(&sound());
    let mut case_of_loops = case(&honest, Purpose::ServerAuth, Policy::None);
    case_of_loops.sent = (0..MAX_SENT).map(|index| honest[1 + index % 2].as_ref()).collect();
    corpus.take("its own certificate and its CA, in turns".to_owned(), case_of_loops);
    // Names under constraints.
    let names: Vec<String> = (0..200).map(|number| format!("n{number}.example")).collect();
    let mut shapes = sound();
    shapes[2].names = names.clone();
    shapes[1].permitted = names.iter().take(40).map(|name| format!("not-{name}")).collect();
    let constrained = chain(&shapes);
    corpus.take("200 names under 40 constraints".to_owned(), case(&constrained, Purpose::ServerAuth, Policy::None));
    let nothing = Case { leaf: &[], ..case(&honest, Purpose::ServerAuth, Policy::None) };
    corpus.take("no certificate".to_owned(), nothing);
}

/// Adds cases with one flipped bit in each octet of the leaf and of the intermediate, and with each length that is too
/// short.
fn take_turned_bits(corpus: &mut Corpus, random: &mut Random) {
    let sound = chain(&sound());
    for place in 0..sound[2].len() {
        let bit = 1 << random.below(8);
        for which in [1, 2] {
            let mut certificates = sound.clone();
            let mut der = certificates[which].to_vec();
            let Some(octet) = der.get_mut(place) else { continue };
            *octet ^= bit;
            certificates[which] = der.into();
            let name = format!("certificate {which}, octet {place} with bit {bit:#04x} turned");
            corpus.take(name, case(&certificates, Purpose::ServerAuth, Policy::Dns(NAME)));
        }
        let cut = Case { leaf: &sound[2][..place], ..case(&sound, Purpose::ServerAuth, Policy::None) };
        corpus.take(format!("the first {place} octets of a leaf"), cut);
    }
}
