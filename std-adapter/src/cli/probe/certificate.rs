//! Describes a certificate of either side, in the words of the gateway's log.

use edgetrust_core::time::Utc;
use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, UnixTime};
use serde::Serialize;

use crate::tls::ShownCertificate;

/// A side's own certificate. Its contents are of the other side: each text is cut, and has no control characters.
#[derive(Debug, Serialize)]
pub(super) struct Described {
    #[serde(skip_serializing_if = "Option::is_none")]
    subject: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    names: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    issuer: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    serial: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    not_after: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<String>,
    /// The hash of a certificate that does not parse.
    #[serde(skip_serializing_if = "Option::is_none")]
    certificate_sha256: Option<String>,
    /// The number of certificates that are shown with it, its own included.
    shown: usize,
}

impl Described {
    /// Describes the first certificate of a chain; none of an empty one.
    pub(super) fn new(chain: &[CertificateDer<'_>]) -> Option<Self> {
        let leaf = chain.first()?;
        let shown = ShownCertificate::new(leaf);
        let field = |name| shown.field(name).filter(|text| !text.is_empty()).map(str::to_owned);
        let validity = validity(leaf);
        Some(Self {
            subject: field("subject"),
            names: field("names"),
            issuer: field("issuer"),
            serial: field("serial"),
            not_before: validity.map(|(begin, _)| Utc(begin).to_string()),
            not_after: validity.map(|(_, end)| Utc(end).to_string()),
            key: field("spki_sha256").map(|hash| format!("sha256:{hash}")),
            certificate_sha256: field("certificate_sha256"),
            shown: chain.len(),
        })
    }

    pub(super) fn issuer(&self) -> &str {
        self.issuer.as_deref().unwrap_or_default()
    }

    /// Returns the fields, one on each line.
    pub(super) fn lines(&self) -> impl Iterator<Item = String> {
        let fields = [
            ("subject", &self.subject),
            ("names", &self.names),
            ("issuer", &self.issuer),
            ("serial", &self.serial),
            ("valid from", &self.not_before),
            ("valid until", &self.not_after),
            ("key's hash", &self.key),
            ("not readable", &self.certificate_sha256),
        ];
        let above = match self.shown.saturating_sub(1) {
            0 => "none is sent with it".to_owned(),
            above => format!("{above} sent with it"),
        };
        let lines = fields.into_iter().filter_map(|(name, text)| Some((name, text.clone()?)));
        lines.chain([("others", above)]).map(|(name, text)| format!("{name:<13}{text}"))
    }
}

/// Returns the first and the last second of a certificate's validity (RFC 5280 section 4.1.2.5).
pub(super) fn validity(leaf: &CertificateDer<'_>) -> Option<(UnixTime, UnixTime)> {
    let validity = Certificate::from_der(leaf).ok()?.validity();
    Some((validity.not_before, validity.not_after))
}
