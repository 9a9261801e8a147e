//! Measures the cost of refusing hostile chains, beside rustls-webpki and beside the P-256 checks that are its limit.

#![allow(missing_docs, reason = "criterion makes functions that have none")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
use edgetrust_core::x509::Certificate;
use edgetrust_tests::chains::{Shape, issue};
use edgetrust_tests::work::attacks;
use pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime, alg_id};

const NOW: i64 = 1_800_000_000;
/// The maximum cost of a refusal, in P-256 checks.
const BOUND: usize = 80;

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()))
}

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all
}

/// Judges a chain from its DER, as a client and as a server.
fn ours(anchors: &[Anchor<'_>], sent: &[CertificateDer<'_>]) -> bool {
    let trust = Trust { anchors, known_intermediates: &[], denied_keys: &[], algorithms: algorithms() };
    let mut parsed = sent.iter().map(|der| Certificate::from_der(der));
    let Some(Ok(leaf)) = parsed.next() else { return false };
    let sent: Vec<_> = parsed.filter_map(Result::ok).collect();
    trust.verify(&leaf, &sent, Purpose::ServerAuth, now(), &mut Budget::new(Limits::SERVER)).is_ok()
}

fn theirs(anchors: &[pki_types::TrustAnchor<'_>], sent: &[CertificateDer<'_>]) -> bool {
    let Some((leaf, intermediates)) = sent.split_first() else { return false };
    let Ok(leaf) = webpki::EndEntityCert::try_from(leaf) else { return false };
    let usage = webpki::KeyUsage::server_auth();
    leaf.verify_for_usage(algorithms(), anchors, intermediates, now(), usage, None, None).is_ok()
}

fn adversarial(c: &mut Criterion) {
    let ordinary = issue(&[Shape::ca(), Shape::ca(), Shape::leaf(&["a.example"])], NOW);
    let leaf = Certificate::from_der(&ordinary[2]).unwrap();
    let above = Certificate::from_der(&ordinary[1]).unwrap();
    let root = &issue(&[Shape::ca()], NOW)[0];
    let (parsed, theirs_of) =
        ([Anchor::new(Certificate::from_der(root).unwrap())], [webpki::anchor_from_trusted_cert(root).unwrap()]);
    let mut group = c.benchmark_group("adversarial");
    group.sample_size(10).warm_up_time(Duration::from_millis(200)).measurement_time(Duration::from_secs(1));
    group.bench_function(format!("bound: {BOUND} P-256 checks"), |bencher| {
        let key = above.subject_public_key_info().public_key;
        let fits = |one: &&&dyn SignatureVerificationAlgorithm| {
            one.signature_alg_id() == alg_id::ECDSA_SHA256 && one.public_key_alg_id() == alg_id::ECDSA_P256
        };
        let p256 = algorithms().iter().find(fits).unwrap();
        bencher.iter(|| (0..BOUND).all(|_| p256.verify_signature(key, leaf.tbs(), leaf.signature()).is_ok()));
    });
    for attack in attacks() {
        let sent: Vec<_> = attack.chain.iter().map(|der| CertificateDer::from(der.as_slice())).collect();
        group.bench_with_input(BenchmarkId::new("edgetrust-core", attack.name), &sent, |bencher, sent| {
            bencher.iter(|| assert!(!black_box(ours(&parsed, sent))));
        });
        group.bench_with_input(BenchmarkId::new("rustls-webpki", attack.name), &sent, |bencher, sent| {
            bencher.iter(|| assert!(!black_box(theirs(&theirs_of, sent))));
        });
    }
    group.finish();
}

criterion_group!(benches, adversarial);
criterion_main!(benches);
