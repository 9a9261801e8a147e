//! Runs NIST PKITS 1.0.1: RSA chains, the anchor first and the leaf last.

use std::collections::HashMap;
use std::time::Duration;

use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, RequiredLists, Revocation, Trust};
use edgetrust_core::revocation::RevocationList;
use edgetrust_core::x509::Certificate;
use pki_types::{SignatureVerificationAlgorithm, UnixTime};
use serde::Deserialize;

use super::{Outcome, Verdict, base64};

const POLICY: &str = "certificate policies are not processed; a critical policy constraint refuses";
const DSA: &str = "DSA is no algorithm of TLS 1.3 (RFC 8446 section 4.2.3)";

const CA_LEAF: &str = "the peer's own certificate is a CA's, which is let in only where it is pinned";

const INDIRECT: &str = "indirect CRLs, with certificates of other CAs, are refused when they are read";
const REASONS: &str = "CRLs for some reasons alone are refused when they are read";
const RELATIVE: &str = "names of distribution points relative to the issuer are not processed";
const TWO_KEYS: &str =
    "a list counts for the certificates of the key that signed it, and not for another key of its CA";
const DELTA: &str = "delta CRLs are refused when they are read";

/// The tests and sections that need omitted features.
const SKIPPED: [(&str, &str); 27] = [
    ("4.1.4", DSA),
    ("4.1.5", DSA),
    ("4.1.6", DSA),
    ("4.5.4", TWO_KEYS),
    ("4.5.6", TWO_KEYS),
    ("4.6.8", CA_LEAF),
    ("4.6.14", CA_LEAF),
    ("4.8.", POLICY),
    ("4.9.", POLICY),
    ("4.10.", POLICY),
    ("4.11.", POLICY),
    ("4.12.", POLICY),
    ("4.4.14", "serial numbers are positive (RFC 5280 section 4.1.2.2); x509-limbo demands that too"),
    ("4.14.4", RELATIVE),
    ("4.14.5", RELATIVE),
    ("4.14.7", RELATIVE),
    ("4.14.13", CA_LEAF),
    ("4.14.18", REASONS),
    ("4.14.19", REASONS),
    ("4.14.22", INDIRECT),
    ("4.14.24", INDIRECT),
    ("4.14.25", INDIRECT),
    ("4.14.28", INDIRECT),
    ("4.14.29", INDIRECT),
    ("4.14.30", INDIRECT),
    ("4.14.33", INDIRECT),
    ("4.15.", DELTA),
];

/// Tests of other things, with a CA that has two keys and signs its list with one of them: a list counts for the
/// certificates of the same key, so the others are judged without.
const OTHER_KEY: [&str; 5] = ["4.4.19", "4.5.1", "4.6.15", "4.6.17", "4.13.19"];

#[derive(Deserialize)]
struct Suite {
    certs: HashMap<String, String>,
    crls: HashMap<String, String>,
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    test_number: String,
    expected_result: Verdict,
    certs: Vec<String>,
    crls: Vec<String>,
    validation_time: jiff::Timestamp,
}

/// Runs every test.
///
/// # Errors
/// Fails if the text is not the suite.
pub fn run(json: &[u8], algorithms: &[&dyn SignatureVerificationAlgorithm]) -> Result<Vec<Outcome>, String> {
    let suite: Suite = serde_json::from_slice(json).map_err(|error| format!("not the PKITS suite: {error}"))?;
    suite
        .testcases
        .iter()
        .map(|case| {
            let (got, reason) = match skipped(&case.test_number) {
                Some(reason) => (Verdict::Skipped, reason.to_owned()),
                None => match verdict(case, &suite, algorithms)? {
                    Ok(()) => (Verdict::Success, String::new()),
                    Err(reason) => (Verdict::Failure, reason),
                },
            };
            Ok(Outcome { id: case.id.clone(), expected: case.expected_result, got, reason })
        })
        .collect()
}

fn skipped(number: &str) -> Option<&'static str> {
    let names = |entry: &str| entry == number || (entry.ends_with('.') && number.starts_with(entry));
    SKIPPED.iter().find(|(entry, _)| names(entry)).map(|(_, reason)| *reason)
}

fn verdict(
    case: &Case,
    suite: &Suite,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<Result<(), String>, String> {
    let ders = case
        .certs
        .iter()
        .map(|name| base64(suite.certs.get(name).ok_or_else(|| format!("{}: no certificate {name}", case.id))?))
        .collect::<Result<Vec<_>, _>>()?;
    let mut parsed = Vec::new();
    for (name, der) in case.certs.iter().zip(&ders) {
        match Certificate::from_der(der) {
            Ok(certificate) => parsed.push(certificate),
            Err(error) => return Ok(Err(format!("{name} does not parse: {error}"))),
        }
    }
    let [anchor, sent @ .., leaf] = parsed.as_slice() else {
        return Err(format!("{}: fewer than two certificates", case.id));
    };
    let now = case.validation_time.as_second();
    let now = UnixTime::since_unix_epoch(Duration::from_secs(now.try_into().unwrap_or(0)));
    let anchors = [Anchor::ca(*anchor)];
    let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
    let lists =
        case.crls.iter().map(|name| base64(suite.crls.get(name).ok_or_else(|| format!("{}: no CRL {name}", case.id))?));
    let lists = lists.collect::<Result<Vec<_>, String>>()?;
    // A list that is not processed is none, as is a malformed one.
    let lists: Vec<_> = lists.iter().filter_map(|der| RevocationList::from_der(der).ok()).collect();
    let is_of_other_key = OTHER_KEY.contains(&case.test_number.as_str());
    let required = if is_of_other_key { RequiredLists::None } else { RequiredLists::Chain };
    let revocation = Revocation { lists: &lists, required, now };
    let mut budget = Budget::new(Limits::SERVER);
    let verified = trust.verify_unrevoked(leaf, sent, Purpose::ServerAuth, now, &revocation, &mut budget);
    Ok(verified.map(drop).map_err(|error| error.to_string()))
}
