//! Measures the core's work other than cryptography.

use core::sync::atomic::{AtomicU32, Ordering};
use core::time::Duration;

use edgetrust_core::config::Device;
use edgetrust_core::crypto::{ECDSA_P256_SHA256, P256Key, PKCS8_P256};
use edgetrust_core::identity::{PeerPolicy, Rule, RuleName, ServerName};
use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust, VerifiedPath};
use edgetrust_core::pki_types::{AlgorithmIdentifier, InvalidSignature, SignatureVerificationAlgorithm, UnixTime};
use edgetrust_core::request::{NewRequest, certs_only};
use edgetrust_core::rotation::{Event, Policy, State};
use edgetrust_core::store::{NewRecord, Slot, SlotMedium, Store};
use edgetrust_core::time::TrustedTime;
use edgetrust_core::x509::Certificate;
use edgetrust_firmware::board;

use crate::report::{Report, give_up, ticks_of};

const ROOT: &[u8] = include_bytes!("root.der");
const INTERMEDIATE: &[u8] = include_bytes!("intermediate.der");
const LEAF: &[u8] = include_bytes!("leaf.der");
const ANSWER: &[u8] = include_bytes!("answer.p7");
const CONFIG: &[u8] = include_bytes!("config.json");
const NAME: &str = "gateway.a.example";

const fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(seconds))
}

/// The time for which the certificates were made.
const NOW: UnixTime = at(1_800_000_000);

static SPENT: AtomicU32 = AtomicU32::new(0);

/// [`ECDSA_P256_SHA256`] with a count of its ticks.
#[derive(Debug)]
struct Timed;

impl SignatureVerificationAlgorithm for Timed {
    fn verify_signature(&self, public_key: &[u8], message: &[u8], signature: &[u8]) -> Result<(), InvalidSignature> {
        let start = board::ticks();
        let verdict = ECDSA_P256_SHA256.verify_signature(public_key, message, signature);
        let spent = u32::try_from(board::ticks() - start).unwrap_or(u32::MAX);
        SPENT.store(SPENT.load(Ordering::Relaxed).saturating_add(spent), Ordering::Relaxed);
        verdict
    }

    fn public_key_alg_id(&self) -> AlgorithmIdentifier {
        ECDSA_P256_SHA256.public_key_alg_id()
    }

    fn signature_alg_id(&self) -> AlgorithmIdentifier {
        ECDSA_P256_SHA256.signature_alg_id()
    }
}

static PLAIN: [&dyn SignatureVerificationAlgorithm; 1] = [ECDSA_P256_SHA256];
static TIMED: [&dyn SignatureVerificationAlgorithm; 1] = [&Timed];

fn parse(der: &[u8]) -> Certificate<'_> {
    Certificate::from_der(der).unwrap_or_else(|_| give_up("a certificate does not parse"))
}

fn verify<'p>(
    algorithms: &'static [&'static dyn SignatureVerificationAlgorithm],
    purpose: Purpose,
    (leaf, sent, anchors): (&Certificate<'p>, &[Certificate<'p>], &'p [Anchor<'p>]),
) -> VerifiedPath<'p> {
    let trust = Trust { anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let verified = trust.verify(leaf, sent, purpose, NOW, &mut Budget::new(Limits::DEVICE));
    verified.unwrap_or_else(|_| give_up("the leaf has no path"))
}

#[inline(never)]
pub fn measure<M: SlotMedium>(report: &mut Report, medium: M) {
    report.measure("parse a certificate", || Certificate::from_der(LEAF).is_ok());
    let (leaf, sent, anchors) = (parse(LEAF), [parse(INTERMEDIATE)], [Anchor::new(parse(ROOT))]);
    let chain = (&leaf, &sent[..], &anchors[..]);
    report.measure("verify leaf and intermediate under a root", || verify(&PLAIN, Purpose::ServerAuth, chain));
    SPENT.store(0, Ordering::Relaxed);
    let all = ticks_of(|| verify(&TIMED, Purpose::ServerAuth, chain));
    report.line("  of it, no signatures", all.saturating_sub(SPENT.load(Ordering::Relaxed).into()), 0);
    measure_refusals(report, &anchors);
    measure_names(report, chain);
    measure_request(report, &leaf);
    measure_config(report);
    measure_rotation(report);
    measure_store(report, medium);
}

/// The certificates that a hostile server can send, each prefixed with two octets of length.
const ATTACKS: [(&str, &[u8]); 5] = [
    ("refuse: signatures", include_bytes!("attack-signatures.bin")),
    ("refuse: attributes in unlike order", include_bytes!("attack-attributes.bin")),
    ("refuse: names with spaces", include_bytes!("attack-spaces.bin")),
    ("refuse: letters of another case", include_bytes!("attack-letters.bin")),
    ("refuse: name constraints", include_bytes!("attack-constraints.bin")),
];

/// Parses and verifies an attack's octets up to the refusal.
fn refuse(mut octets: &[u8], anchors: &[Anchor<'_>]) -> bool {
    let mut bag = heapless::Vec::<Certificate<'_>, 5>::new();
    while let Some((length, rest)) = octets.split_first_chunk() {
        let (der, after) = rest.split_at(usize::from(u16::from_be_bytes(*length)).min(rest.len()));
        octets = after;
        if bag.push(parse(der)).is_err() {
            give_up("too many certificates");
        }
    }
    let Some((leaf, sent)) = bag.split_first() else { give_up("no certificate") };
    let trust = Trust { anchors, known_intermediates: &[], denied_keys: &[], algorithms: &[ECDSA_P256_SHA256] };
    trust.verify(leaf, sent, Purpose::ServerAuth, NOW, &mut Budget::new(Limits::DEVICE)).is_err()
}

#[inline(never)]
fn measure_refusals(report: &mut Report, anchors: &[Anchor<'_>]) {
    for (name, octets) in ATTACKS {
        report.measure(name, || {
            if !refuse(octets, anchors) {
                give_up("an attack is let in")
            }
        });
    }
}

#[inline(never)]
fn measure_names<'p>(report: &mut Report, chain: (&Certificate<'p>, &[Certificate<'p>], &'p [Anchor<'p>])) {
    let path = verify(&PLAIN, Purpose::ServerAuth, chain);
    report.measure("a server's name", || ServerName::Dns(NAME).authorize(path.clone()).is_ok());
    let path = verify(&PLAIN, Purpose::ClientAuth, chain);
    let rules =
        [RuleName::CommonName("another"), RuleName::Uri("spiffe://a.example/7"), RuleName::Dns(NAME)].map(Rule::from);
    report.measure("a client's names, three rules", || PeerPolicy::OneOf(&rules).authorize(path.clone()).is_ok());
}

#[inline(never)]
fn measure_request(report: &mut Report, leaf: &Certificate<'_>) {
    let Some(key) = P256Key::from_random(&[7; 32]) else { give_up("no key") };
    let public_key = key.public_key();
    let mut signed = 0;
    let mut request = || {
        let mut out = [0; 768];
        let written = NewRequest::like(leaf, &public_key).write(&mut out, |info| {
            let start = board::ticks();
            let signature = key.sign(info);
            signed = board::ticks() - start;
            signature
        });
        written.map_or_else(|_| give_up("no request"), <[u8]>::len)
    };
    report.measure("write a request", &mut request);
    let all = ticks_of(request);
    report.line("  of it, no signature", all.saturating_sub(signed), 0);
    report.measure("read the answer, two certificates", || {
        let certificates = certs_only(ANSWER).unwrap_or_else(|_| give_up("no answer"));
        certificates.filter(|der| Certificate::from_der(der).is_ok()).count()
    });
}

#[inline(never)]
fn measure_config(report: &mut Report) {
    let mut json = [0; CONFIG.len()];
    report.measure("parse a configuration", || {
        json.copy_from_slice(CONFIG);
        Device::parse(&mut json).map_or_else(|_| give_up("no configuration"), |device| device.interval_ms)
    });
}

#[inline(never)]
fn measure_rotation(report: &mut Report) {
    let policy = Policy { fallback: true, seed: 7, ..Policy::default() };
    let now = TrustedTime::Known(NOW);
    let (state, _) = State::new().step(&policy, now, Event::Restored { active: None, trial: None });
    report.measure("a step of the rotation", || state.step(&policy, now, Event::Tick).1.len());
}

#[inline(never)]
fn measure_store<M: SlotMedium>(report: &mut Report, medium: M) {
    let Ok(mut store) = Store::new(medium) else { give_up("no store") };
    let mut chain = heapless::Vec::<u8, 2048>::new();
    if chain.extend_from_slice(LEAF).and_then(|()| chain.extend_from_slice(INTERMEDIATE)).is_err() {
        give_up("the chain is too long");
    }
    let key = [0x5a; PKCS8_P256];
    let times = (at(1_799_990_000), at(1_800_080_000));
    let record = NewRecord { key: &key, chain: &chain, not_before: times.0, not_after: times.1, time_seen: NOW };
    report.measure("store: write", || store.write(Slot::A, &record).map_or_else(|_| give_up("not written"), |_| ()));
    report.measure("store: read", || {
        let (mut key, mut chain) = ([0; PKCS8_P256], [0; 2048]);
        store.read(Slot::A, &mut key, &mut chain).map_or_else(|_| give_up("not read"), |stored| stored.chain.len())
    });
    report.measure("store: survey at the start", || store.survey().selected().active.is_some());
}
