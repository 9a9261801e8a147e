//! Measures the time from DER to verdict beside rustls-webpki, with the same algorithms in the same run, and the time
//! of each part.

#![allow(missing_docs, reason = "criterion makes functions that have none")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use edgetrust_core::config::Config;
use edgetrust_core::identity::ServerName;
use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust, VerifiedPath};
use edgetrust_core::x509::Certificate;
use edgetrust_tests::chains::{Shape, issue};
use pki_types::{CertificateDer, SignatureVerificationAlgorithm, UnixTime};

const NOW: i64 = 1_800_000_000;

fn now() -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(NOW.unsigned_abs()))
}

fn algorithms() -> &'static [&'static dyn SignatureVerificationAlgorithm] {
    rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all
}

/// Judges a chain. Both libraries parse anchors beforehand, and the peer's certificates here.
fn ours<'a>(anchors: &'a [Anchor<'a>], sent: &'a [CertificateDer<'a>]) -> VerifiedPath<'a> {
    let trust = Trust { anchors, known_intermediates: &[], denied_keys: &[], algorithms: algorithms() };
    let parsed: Vec<_> = sent.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
    let (leaf, intermediates) = parsed.split_first().unwrap();
    trust.verify(leaf, intermediates, Purpose::ServerAuth, now(), &mut Budget::new(Limits::SERVER)).unwrap()
}

fn theirs(anchors: &[pki_types::TrustAnchor<'_>], sent: &[CertificateDer<'_>]) {
    let (leaf, intermediates) = sent.split_first().unwrap();
    let leaf = webpki::EndEntityCert::try_from(leaf).unwrap();
    let usage = webpki::KeyUsage::server_auth();
    black_box(leaf.verify_for_usage(algorithms(), anchors, intermediates, now(), usage, None, None).unwrap());
}

fn path(c: &mut Criterion) {
    let mut group = c.benchmark_group("path/verify");
    for intermediates in [0, 1, 2] {
        let mut shapes = vec![Shape::ca(); intermediates + 1];
        shapes.push(Shape::leaf(&["gateway.b.example"]));
        let mut chain = issue(&shapes, NOW);
        let root = chain.remove(0);
        chain.reverse();
        let anchors = [Anchor::new(Certificate::from_der(&root).unwrap())];
        group.bench_with_input(BenchmarkId::new("edgetrust-core", intermediates), &chain, |bencher, sent| {
            bencher.iter(|| black_box(ours(&anchors, sent).valid_until()));
        });
        let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
        group.bench_with_input(BenchmarkId::new("rustls-webpki", intermediates), &chain, |bencher, sent| {
            bencher.iter(|| theirs(&anchors, sent));
        });
    }
    group.finish();
}

fn x509(c: &mut Criterion) {
    let chain = issue(&[Shape::ca(), Shape::leaf(&["gateway.b.example", "b.example"])], NOW);
    let mut group = c.benchmark_group("x509/parse");
    group.bench_function("edgetrust-core", |bencher| {
        bencher.iter(|| black_box(Certificate::from_der(black_box(&chain[1])).unwrap().validity()));
    });
    group.bench_function("rustls-webpki", |bencher| {
        bencher.iter(|| black_box(webpki::EndEntityCert::try_from(black_box(&chain[1])).is_ok()));
    });
    group.finish();

    let mut group = c.benchmark_group("path/name");
    let anchors = [Anchor::new(Certificate::from_der(&chain[0]).unwrap())];
    let path = ours(&anchors, &chain[1..]);
    group.bench_function("edgetrust-core", |bencher| {
        bencher.iter(|| black_box(ServerName::Dns("b.example").authorize(path.clone()).is_ok()));
    });
    let leaf = webpki::EndEntityCert::try_from(&chain[1]).unwrap();
    let name = pki_types::ServerName::try_from("b.example").unwrap();
    group.bench_function("rustls-webpki", |bencher| {
        bencher.iter(|| black_box(leaf.verify_is_valid_for_subject_name(&name).is_ok()));
    });
    group.finish();
}

/// Measures hostile bags of certificates; each is judged within the budget.
fn bounds(c: &mut Criterion) {
    let mut group = c.benchmark_group("path/bounds");
    group.sample_size(20);
    // A chain of sixteen in which each certificate could have issued each other, with wrong keys.
    let mut shapes = vec![Shape { forged: true, ..Shape::ca() }; 16];
    shapes.push(Shape { forged: true, ..Shape::leaf(&["b.example"]) });
    let chain = issue(&shapes, NOW);
    let leaf = chain.last().unwrap().clone();
    let bag: Vec<_> = chain.iter().cycle().take(1_000).cloned().collect();
    let root = chain[0].clone();
    let parsed_root = [Anchor::new(Certificate::from_der(&root).unwrap())];
    group.bench_function("edgetrust-core, 1000 forged", |bencher| {
        bencher.iter(|| {
            let parsed: Vec<_> = bag.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
            let leaf = Certificate::from_der(&leaf).unwrap();
            let trust =
                Trust { anchors: &parsed_root, known_intermediates: &[], denied_keys: &[], algorithms: algorithms() };
            black_box(
                trust.verify(&leaf, &parsed, Purpose::ServerAuth, now(), &mut Budget::new(Limits::SERVER)).is_err(),
            )
        });
    });
    let anchors = [webpki::anchor_from_trusted_cert(&root).unwrap()];
    group.bench_function("rustls-webpki, 1000 forged", |bencher| {
        bencher.iter(|| {
            let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
            let usage = webpki::KeyUsage::server_auth();
            black_box(leaf.verify_for_usage(algorithms(), &anchors, &bag, now(), usage, None, None).is_err())
        });
    });
    // A thousand names under a thousand constraints.
    let names: Vec<String> = (0..1_000).map(|number| format!("n{number}.example")).collect();
    let excluded: Vec<String> = (0..1_000).map(|number| format!("x{number}.example")).collect();
    let shapes = [Shape { excluded, ..Shape::ca() }, Shape::ca(), Shape { names, ..Shape::leaf(&[]) }];
    let chain = issue(&shapes, NOW);
    let sent = [chain[2].clone(), chain[1].clone()];
    let parsed_root = [Anchor::new(Certificate::from_der(&chain[0]).unwrap())];
    group.bench_function("edgetrust-core, 1000 names", |bencher| {
        bencher.iter(|| {
            let parsed: Vec<_> = sent.iter().map(|der| Certificate::from_der(der).unwrap()).collect();
            let trust =
                Trust { anchors: &parsed_root, known_intermediates: &[], denied_keys: &[], algorithms: algorithms() };
            let mut budget = Budget::new(Limits::SERVER);
            black_box(trust.verify(&parsed[0], &parsed[1..], Purpose::ServerAuth, now(), &mut budget).is_err())
        });
    });
    let anchors = [webpki::anchor_from_trusted_cert(&chain[0]).unwrap()];
    group.bench_function("rustls-webpki, 1000 names", |bencher| {
        bencher.iter(|| {
            let leaf = webpki::EndEntityCert::try_from(&sent[0]).unwrap();
            let usage = webpki::KeyUsage::server_auth();
            black_box(leaf.verify_for_usage(algorithms(), &anchors, &sent[1..], now(), usage, None, None).is_err())
        });
    });
    group.finish();
}

fn config(c: &mut Criterion) {
    let text = include_bytes!("../../core/tests/data/adr-001.jsonc");
    c.bench_function("config/adr-001", |bencher| {
        bencher.iter_batched(
            || text.to_vec(),
            |mut text| black_box(Config::parse(&mut text).is_ok()),
            criterion::BatchSize::SmallInput,
        );
    });
}

criterion_group!(benches, path, x509, bounds, config);
criterion_main!(benches);
