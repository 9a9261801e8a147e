//! Runs a third-party corpus against edgetrust-core: `conformance limbo|pkits|parser FILE [--json OUT]`.

use std::path::Path;
use std::process::ExitCode;

use edgetrust_core::path::Limits;
use edgetrust_tests::conformance::{self, Outcome};

const USAGE: &str = "usage: conformance limbo|pkits|parser FILE [--json OUT]";

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let (suite, file, out) = match arguments.as_slice() {
        [suite @ ("limbo" | "pkits" | "parser"), file] => (suite, file, None),
        [suite @ ("limbo" | "pkits" | "parser"), file, "--json", out] => (suite, file, Some(*out)),
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    let algorithms = rustls::crypto::aws_lc_rs::default_provider().signature_verification_algorithms.all;
    let run = |json: Vec<u8>| match *suite {
        "limbo" => conformance::limbo::run(&json, algorithms, Limits::SERVER),
        "pkits" => conformance::pkits::run(&json, algorithms),
        _ => conformance::parser::run(&json),
    };
    let outcomes = match conformance::read(Path::new(file)).and_then(run) {
        Ok(outcomes) => outcomes,
        Err(error) => {
            eprintln!("conformance: {error}");
            return ExitCode::from(2);
        }
    };
    if let Some(out) = out {
        let written = serde_json::to_vec_pretty(&outcomes).map_err(std::io::Error::from);
        if let Err(error) = written.and_then(|json| std::fs::write(out, json)) {
            eprintln!("conformance: {out}: {error}");
            return ExitCode::from(2);
        }
    }
    report(&outcomes)
}

fn report(outcomes: &[Outcome]) -> ExitCode {
    for outcome in outcomes {
        if outcome.got != conformance::Verdict::Skipped && outcome.got != outcome.expected {
            println!("{}: expected {:?}, got {:?} {}", outcome.id, outcome.expected, outcome.got, outcome.reason);
        }
    }
    let (by_namespace, all) = conformance::tally(outcomes);
    println!("{:<16}{:>8}{:>18}{:>18}{:>9}", "namespace", "pass", "wrongly accepted", "wrongly rejected", "skipped");
    for (namespace, tally) in by_namespace.into_iter().chain([("all", all)]) {
        println!(
            "{namespace:<16}{:>8}{:>18}{:>18}{:>9}",
            tally.passed, tally.wrongly_accepted, tally.wrongly_rejected, tally.skipped
        );
    }
    println!("{} passed, {} failed, {} skipped", all.passed, all.failed(), all.skipped);
    if all.failed() == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
