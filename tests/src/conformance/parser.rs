//! Compares the parsing of single certificates with four well-known parsers.

use edgetrust_core::x509::Certificate;
use serde::Deserialize;

use super::{Outcome, Verdict, hex};

#[derive(Deserialize)]
struct Case {
    name: String,
    der_hex: String,
    expected: Expected,
}

#[derive(Deserialize)]
#[serde(rename_all = "lowercase")]
enum Expected {
    Accept,
    Reject,
    #[serde(other)]
    Disputed,
}

/// Parses every certificate. A case on which the four parsers disagree is skipped, but still parsed: nothing may
/// panic.
///
/// # Errors
/// Fails if the text is not the corpus.
pub fn run(json: &[u8]) -> Result<Vec<Outcome>, String> {
    let cases: Vec<Case> = serde_json::from_slice(json).map_err(|error| format!("not the parser corpus: {error}"))?;
    cases
        .into_iter()
        .map(|case| {
            let der = hex(&case.der_hex).map_err(|error| format!("{}: {error}", case.name))?;
            let (got, reason) = match Certificate::from_der(&der) {
                Ok(_) => (Verdict::Success, String::new()),
                Err(error) => (Verdict::Failure, error.to_string()),
            };
            let (expected, got, reason) = match case.expected {
                Expected::Accept => (Verdict::Success, got, reason),
                Expected::Reject => (Verdict::Failure, got, reason),
                Expected::Disputed => (got, Verdict::Skipped, format!("disputed; here {got:?} {reason}")),
            };
            Ok(Outcome { id: case.name, expected, got, reason })
        })
        .collect()
}
