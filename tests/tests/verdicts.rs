//! Tests that `judge`, which the device runs, agrees with the conformance tests. `tests/run` runs it on the device
//! itself.

use std::collections::BTreeMap;

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_core::path::Limits;
use edgetrust_tests::conformance::{self, Verdict, limbo};
use edgetrust_tests::repository::root;
use edgetrust_tests::verdicts::{Corpus, hostile};
use edgetrust_verdicts::{Case, MAGIC, Malformed, judge, record_length};

#[test]
fn judge_agrees_with_the_conformance_verdicts() {
    let file = root().join("../shared/conformance/limbo-dev.json.xz");
    if !file.exists() {
        println!("skipped: {} is not here; the corpus is not part of this repository", file.display());
        return;
    }
    let json = conformance::read(&file).unwrap();
    let mut corpus = Corpus::default();
    corpus.take_limbo(&json).unwrap();
    assert!(corpus.cases.len() > 6_400, "{}", corpus.cases.len());
    let outcomes = limbo::run(&json, &[ECDSA_P256_SHA256], Limits::DEVICE).unwrap();
    let outcomes: BTreeMap<_, _> = outcomes.iter().map(|outcome| (outcome.id.as_str(), outcome)).collect();
    for case in &corpus.cases {
        let outcome = outcomes[case.name.as_str()];
        let accepted = case.verdict.starts_with("accepted: ");
        assert_eq!(accepted, outcome.got == Verdict::Success, "{}: {}, {outcome:?}", case.name, case.verdict);
        // The same error, word for word: "path: …", "name: …".
        if outcome.reason.starts_with("path: ") || outcome.reason.starts_with("name: ") {
            assert!(case.verdict.contains(&outcome.reason), "{}: {}, {outcome:?}", case.name, case.verdict);
        }
    }
}

#[test]
fn the_stream_holds_the_cases() {
    let mut corpus = Corpus::default();
    hostile::take(&mut corpus, 1);
    assert!(corpus.cases.iter().filter(|case| case.verdict.starts_with("accepted: ")).count() > 20);
    assert!(corpus.cases.iter().any(|case| case.verdict.contains("the limit of work")));
    corpus.thin(3);
    let stream = corpus.stream();
    let mut rest = stream.strip_prefix(&MAGIC).unwrap();
    for (number, named) in (0..).zip(&corpus.cases) {
        let (head, after) = rest.split_first_chunk().unwrap();
        let (record, after) = after.split_at(record_length(*head).unwrap());
        rest = after;
        let case = Case::read(record).unwrap();
        assert_eq!(case.number, number, "{}", named.name);
        let mut verdict = String::new();
        judge(&case, ECDSA_P256_SHA256, &mut verdict).unwrap();
        assert_eq!(verdict, named.verdict, "{}", named.name);
        for end in [0, 3, record.len() / 2, record.len() - 1] {
            assert_eq!(Case::read(&record[..end]), Err(Malformed), "{}", named.name);
        }
    }
    assert!(rest.is_empty());
}

#[test]
fn another_answer_is_found() {
    let mut corpus = Corpus::default();
    hostile::take(&mut corpus, 1);
    corpus.thin(100);
    let lines: Vec<String> =
        corpus.cases.iter().enumerate().map(|(number, case)| format!("{number} {}\n", case.verdict)).collect();
    let right = lines.concat();
    assert!(corpus.differences(&right).is_empty());
    let wrong = right.replacen("units", "unit", 1);
    assert_eq!(corpus.differences(&wrong).len(), 1);
    assert_eq!(corpus.differences(&lines[1..].concat()).len(), corpus.cases.len());
    assert_eq!(corpus.differences(&lines[..lines.len() - 1].concat()).len(), 1);
    assert_eq!(corpus.differences(&format!("{right}more\n")).len(), 1);
    assert_eq!(corpus.differences("").len(), corpus.cases.len());
}
