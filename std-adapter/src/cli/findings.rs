//! Collects the findings of `edgetrust check`, and the certificates that it came across.

use crate::tls::Authority;
use edgetrust_core::time::Utc;
use pki_types::UnixTime;
use serde::Serialize;

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    Ok,
    Warning,
    Error,
}

#[derive(Debug, Serialize)]
pub(super) struct Finding {
    pub(super) level: Level,
    pub(super) subject: String,
    pub(super) what: String,
}

/// The findings, each about a part of the configuration.
#[derive(Default)]
pub(super) struct Findings {
    subject: String,
    pub(super) all: Vec<Finding>,
    pub(super) certificates: Vec<Known>,
}

impl Findings {
    pub(super) fn add(&mut self, level: Level, what: impl Into<String>) {
        self.all.push(Finding { level, subject: self.subject.clone(), what: what.into() });
    }

    /// Adds a certificate that peers are verified by.
    pub(super) fn know(&mut self, file: &str, authority: &Authority, now: UnixTime) {
        self.certificates.push(Known::new(&self.subject, file, authority, now));
    }

    /// Adds a finding about a file or a directory, which holds wherever that is used, only at the first use.
    pub(super) fn once(&mut self, level: Level, what: impl Into<String>) {
        let what = what.into();
        if !self.all.iter().any(|finding| finding.level == level && finding.what == what) {
            self.add(level, what);
        }
    }

    pub(super) fn about(&mut self, subject: impl Into<String>) {
        self.subject = subject.into();
    }

    pub(super) fn count(&self, level: Level) -> usize {
        self.all.iter().filter(|finding| finding.level == level).count()
    }
}

/// A certificate of a configuration that verifies peers, or ourselves.
#[derive(Debug, Serialize)]
pub(super) struct Known {
    /// The part of the configuration that names the file.
    part: String,
    file: String,
    certificate: String,
    serial: String,
    /// "ca", "pin", "known_intermediate" or "intermediate".
    role: &'static str,
    not_after: String,
    /// The certificate has expired, or ends within a sixth of its life and within 60 days.
    ends_soon: bool,
}

impl Known {
    pub(super) fn new(part: &str, file: &str, authority: &Authority, now: UnixTime) -> Self {
        Self {
            part: part.to_owned(),
            file: file.to_owned(),
            certificate: authority.subject.clone(),
            serial: authority.serial.clone(),
            role: authority.role.name(),
            not_after: Utc(authority.not_after).to_string(),
            ends_soon: authority.ends_soon(now),
        }
    }
}
