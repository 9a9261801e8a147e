//! Describes a certificate that is trusted, or that we show or issue, for the audit log.

use edgetrust_core::time::Utc;
use edgetrust_core::x509::Certificate;
use pki_types::CertificateDer;
use serde::Serialize;

use super::ShownCertificate;

/// A certificate. Texts are cut and escaped like those of a shown certificate.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub(crate) struct Described {
    pub(crate) subject: String,
    names: String,
    issuer: String,
    /// In hexadecimal.
    serial: String,
    not_before: String,
    not_after: String,
    /// SHA-256 of the SubjectPublicKeyInfo, in hexadecimal.
    spki_sha256: String,
}

impl Described {
    /// Describes a certificate; returns `None` if it does not parse.
    pub(crate) fn of(der: &CertificateDer<'_>) -> Option<Self> {
        let validity = Certificate::from_der(der).ok()?.validity();
        let ShownCertificate::Read { subject, names, issuer, serial, spki_sha256 } = ShownCertificate::new(der) else {
            return None;
        };
        let [not_before, not_after] = [validity.not_before, validity.not_after].map(|at| Utc(at).to_string());
        Some(Self { subject, names, issuer, serial, not_before, not_after, spki_sha256 })
    }
}
