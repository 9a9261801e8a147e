//! Runs PKITS and the parser corpus: every verdict is as expected, except for cases that are skipped by name.

use std::path::{Path, PathBuf};

use edgetrust_tests::conformance::{self, Outcome, Tally, Verdict};

/// The corpora are not part of this repository.
fn corpus(name: &str) -> Option<PathBuf> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../shared/conformance").join(name);
    if !file.exists() {
        println!("skipped: {} is not here; the corpus is not part of this repository", file.display());
        return None;
    }
    Some(file)
}

fn all_right(outcomes: &[Outcome]) -> Tally {
    let is_wrong = |outcome: &&Outcome| outcome.got != Verdict::Skipped && outcome.got != outcome.expected;
    let wrong = outcomes.iter().filter(is_wrong).map(|outcome| {
        format!("{}: expected {:?}, got {:?} {}", outcome.id, outcome.expected, outcome.got, outcome.reason)
    });
    assert_eq!(wrong.collect::<Vec<_>>(), [""; 0]);
    let (_, all) = conformance::tally(outcomes);
    println!("{all:?}");
    all
}

#[test]
fn pkits() {
    let Some(file) = corpus("pkits.json.xz") else { return };
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let outcomes = conformance::pkits::run(&conformance::read(&file).unwrap(), algorithms).unwrap();
    assert_eq!(all_right(&outcomes).passed, 130);
    // All of the section on name constraints.
    let constraints = outcomes.iter().filter(|outcome| outcome.id.starts_with("pkits::Section13"));
    assert_eq!(constraints.filter(|outcome| outcome.got == outcome.expected).count(), 38);
}

#[test]
fn what_four_parsers_agree_on() {
    let Some(file) = corpus("parser-corpus-dev.json.xz") else { return };
    let outcomes = conformance::parser::run(&conformance::read(&file).unwrap()).unwrap();
    assert_eq!(all_right(&outcomes).passed, 1_879);
}
