//! Runs third-party corpora against edgetrust-core, and tallies the outcomes.

pub mod limbo;
pub mod parser;
pub mod pkits;

use std::collections::BTreeMap;
use std::path::Path;

use serde::{Deserialize, Serialize};

/// The expected verdict of a case, or the core's verdict.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum Verdict {
    Success,
    Failure,
    Skipped,
}

/// One case and its outcome.
#[derive(Debug, Serialize)]
pub struct Outcome {
    pub id: String,
    pub expected: Verdict,
    pub got: Verdict,
    pub reason: String,
}

impl Outcome {
    fn namespace(&self) -> &str {
        self.id.split(['|', ':']).next().unwrap_or(&self.id)
    }
}

/// The number of outcomes of each kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tally {
    pub passed: usize,
    pub wrongly_accepted: usize,
    pub wrongly_rejected: usize,
    pub skipped: usize,
}

impl Tally {
    /// Returns the number of wrong verdicts.
    pub fn failed(&self) -> usize {
        self.wrongly_accepted + self.wrongly_rejected
    }

    fn count(&mut self, outcome: &Outcome) {
        match (outcome.expected, outcome.got) {
            (_, Verdict::Skipped) => self.skipped += 1,
            (expected, got) if expected == got => self.passed += 1,
            (_, Verdict::Success) => self.wrongly_accepted += 1,
            _ => self.wrongly_rejected += 1,
        }
    }
}

/// Decodes base64.
pub(crate) fn base64(text: &str) -> Result<Vec<u8>, String> {
    use base64::Engine;
    base64::engine::general_purpose::STANDARD.decode(text).map_err(|error| error.to_string())
}

/// Decodes hexadecimal digits.
pub(crate) fn hex(text: &str) -> Result<Vec<u8>, String> {
    let octet = |pair: &[u8]| std::str::from_utf8(pair).ok().and_then(|pair| u8::from_str_radix(pair, 16).ok());
    let octets: Option<Vec<u8>> = text.as_bytes().chunks(2).map(octet).collect();
    octets.filter(|_| text.len().is_multiple_of(2)).ok_or_else(|| "no hexadecimal digits".to_owned())
}

/// Returns the tallies by namespace, and the total.
pub fn tally(outcomes: &[Outcome]) -> (BTreeMap<&str, Tally>, Tally) {
    let mut by_namespace: BTreeMap<&str, Tally> = BTreeMap::new();
    let mut all = Tally::default();
    for outcome in outcomes {
        by_namespace.entry(outcome.namespace()).or_default().count(outcome);
        all.count(outcome);
    }
    (by_namespace, all)
}

/// Reads a corpus, which may be compressed with xz.
///
/// # Errors
/// Returns the file's name and its fault.
pub fn read(file: &Path) -> Result<Vec<u8>, String> {
    let bytes = std::fs::read(file).map_err(|error| format!("{}: {error}", file.display()))?;
    if file.extension().is_none_or(|extension| extension != "xz") {
        return Ok(bytes);
    }
    let mut text = Vec::new();
    lzma_rs::xz_decompress(&mut bytes.as_slice(), &mut text)
        .map_err(|error| format!("{}: not xz: {error:?}", file.display()))?;
    Ok(text)
}
