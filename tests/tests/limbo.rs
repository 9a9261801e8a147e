//! Runs x509-limbo: every verdict is as expected, except for reviewed exceptions; a stale or missing exception fails.

use std::collections::BTreeMap;
use std::path::Path;

use edgetrust_core::path::Limits;
use edgetrust_tests::conformance::{self, Verdict};
use serde::Deserialize;

#[derive(Deserialize)]
struct Exception {
    id: String,
    got: Verdict,
    reason: String,
}

#[test]
fn limbo_dev_but_for_the_exceptions() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let corpus = root.join("../shared/conformance/limbo-dev.json.xz");
    if !corpus.exists() {
        println!("skipped: {} is not here; the corpus is not part of this repository", corpus.display());
        return;
    }
    let exceptions: Vec<Exception> =
        serde_json::from_slice(&std::fs::read(root.join("tests/data/limbo-exceptions.json")).unwrap()).unwrap();
    assert!(exceptions.iter().all(|exception| exception.reason.len() > 20), "an exception without a reason");
    let expected: BTreeMap<_, _> = exceptions.into_iter().map(|exception| (exception.id, exception.got)).collect();

    let json = conformance::read(&corpus).unwrap();
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let outcomes = conformance::limbo::run(&json, algorithms, Limits::SERVER).unwrap();
    let disagreements: BTreeMap<_, _> = outcomes
        .iter()
        .filter(|outcome| outcome.got != Verdict::Skipped && outcome.got != outcome.expected)
        .map(|outcome| (outcome.id.clone(), outcome.got))
        .collect();
    assert_eq!(disagreements, expected);
    let (_, all) = conformance::tally(&outcomes);
    println!("{all:?}");
    assert!(all.passed > 6_400, "{all:?}");
}
