//! Runs NIST PKITS 1.0.1: RSA chains, the anchor first and the leaf last.

use std::collections::HashMap;
use std::time::Duration;

use edgetrust_core::path::{Anchor, Budget, Limits, Purpose, Trust};
use edgetrust_core::x509::Certificate;
use pki_types::{SignatureVerificationAlgorithm, UnixTime};
use serde::Deserialize;

use super::{Outcome, Verdict, base64};

const CRL: &str = "revocation lists are not processed: certificates live for a day";
const POLICY: &str = "certificate policies are not processed; a critical policy constraint refuses";
const DSA: &str = "DSA is no algorithm of TLS 1.3 (RFC 8446 section 4.2.3)";

const CA_LEAF: &str = "the peer's own certificate is a CA's, which is let in only where it is pinned";

/// The tests and sections that need omitted features. In 4.4, 4.5 and 4.7 only tests that a revocation list decides
/// are listed.
const SKIPPED: [(&str, &str); 33] = [
    ("4.1.4", DSA),
    ("4.1.5", DSA),
    ("4.1.6", DSA),
    ("4.4.1", CRL),
    ("4.4.2", CRL),
    ("4.4.3", CRL),
    ("4.4.4", CRL),
    ("4.4.5", CRL),
    ("4.4.6", CRL),
    ("4.4.8", CRL),
    ("4.4.9", CRL),
    ("4.4.10", CRL),
    ("4.4.11", CRL),
    ("4.4.12", CRL),
    ("4.4.15", CRL),
    ("4.4.18", CRL),
    ("4.4.20", CRL),
    ("4.4.21", CRL),
    ("4.5.2", CRL),
    ("4.5.5", CRL),
    ("4.5.7", CRL),
    ("4.6.8", CA_LEAF),
    ("4.6.14", CA_LEAF),
    ("4.7.4", CRL),
    ("4.7.5", CRL),
    ("4.8.", POLICY),
    ("4.9.", POLICY),
    ("4.10.", POLICY),
    ("4.11.", POLICY),
    ("4.12.", POLICY),
    ("4.14.", CRL),
    ("4.15.", CRL),
    ("4.4.14", "serial numbers are positive (RFC 5280 section 4.1.2.2); x509-limbo demands that too"),
];

#[derive(Deserialize)]
struct Suite {
    certs: HashMap<String, String>,
    testcases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    id: String,
    test_number: String,
    expected_result: Verdict,
    certs: Vec<String>,
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
                None => match verdict(case, &suite.certs, algorithms)? {
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
    certs: &HashMap<String, String>,
    algorithms: &[&dyn SignatureVerificationAlgorithm],
) -> Result<Result<(), String>, String> {
    let ders = case
        .certs
        .iter()
        .map(|name| base64(certs.get(name).ok_or_else(|| format!("{}: no certificate {name}", case.id))?))
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
    let verified = trust.verify(leaf, sent, Purpose::ServerAuth, now, &mut Budget::new(Limits::SERVER));
    Ok(verified.map(drop).map_err(|error| error.to_string()))
}
