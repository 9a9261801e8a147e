//! Certificates by which one key follows another: the next key of a site's CA, the next root, and what the root before
//! says of the next one.

use edgetrust_core::x509::{Certificate, GeneralName, GeneralSubtrees};
use pki_types::{CertificateDer, UnixTime};
use rcgen::{CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, PublicKeyData};

use super::certificate::{NAME_CONSTRAINTS, ROOT_LIFE, Root, SITE_LIFE, authority, subject, valid};
use super::der;
use super::root_key::RootKey;

/// Certificates below a cross certificate: a site's CA, a leaf.
const CROSS_PATH_LENGTH: u8 = 1;

/// The word at the end of the common name of a root, before its number.
const ROOT: &str = " Root";

impl Root {
    /// Certifies a key as a site's CA, with the name and the name constraints of a certificate of the same CA.
    ///
    /// # Errors
    /// Fails if that certificate has something that cannot be written again.
    pub(super) fn site_again(
        &self,
        present: &CertificateDer<'_>,
        key: &impl PublicKeyData,
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, String> {
        let present = Certificate::from_der(present).map_err(|error| error.to_string())?;
        let below = present.extensions().basic_constraints.and_then(|constraints| constraints.path_len);
        let mut params = ca(&present, below.unwrap_or_default())?;
        valid(&mut params, now, SITE_LIFE, Some(self.not_after()))?;
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        if let Some(constraints) = present.extensions().name_constraints {
            let parts = [(0xa0, subtrees(constraints.permitted)?), (0xa1, subtrees(constraints.excluded)?)];
            let parts = parts.iter().filter(|(_, subtrees)| !subtrees.is_empty());
            let parts: Vec<u8> = parts.flat_map(|(tag, subtrees)| der::value(*tag, subtrees)).collect();
            let mut extension = CustomExtension::from_oid_content(&NAME_CONSTRAINTS, der::value(0x30, &parts));
            extension.set_criticality(true);
            params.custom_extensions.push(extension);
        }
        self.issue(params, key)
    }

    /// Makes the next root of a mesh, whose name has the next number.
    pub(super) fn next(&self, mesh: &str, key: RootKey, now: UnixTime) -> Result<Self, String> {
        let present = Certificate::from_der(self.certificate()).map_err(|error| error.to_string())?;
        let subject = present.subject();
        let mut names = subject.common_names().filter_map(|name| std::str::from_utf8(name.value).ok());
        let number = names.find_map(|name| name.rsplit_once(ROOT)?.1.trim().parse::<u32>().ok()).unwrap_or(1);
        Self::named(mesh, &format!("{mesh}{ROOT} {}", number.saturating_add(1)), key, now)
    }

    /// Certifies another root: whoever holds this one alone can verify what the other has issued.
    pub(super) fn cross(&self, next: &Self, now: UnixTime) -> Result<CertificateDer<'static>, String> {
        let parsed = Certificate::from_der(next.certificate()).map_err(|error| error.to_string())?;
        let mut params = ca(&parsed, CROSS_PATH_LENGTH)?;
        valid(&mut params, now, ROOT_LIFE, Some(self.not_after().min(next.not_after())))?;
        self.issue(params, next.key())
    }
}

/// Returns the parameters of a CA with the name of another certificate.
fn ca(like: &Certificate<'_>, below: u8) -> Result<CertificateParams, String> {
    let mut params = authority("", "", below)?;
    params.distinguished_name = subject(like)?;
    Ok(params)
}

/// Returns subtrees as they are written (RFC 5280 section 4.2.1.10).
fn subtrees(names: GeneralSubtrees<'_>) -> Result<Vec<u8>, String> {
    let mut written = Vec::new();
    for name in names {
        let (tag, base) = match name {
            GeneralName::Rfc822(text) => (0x81, text.as_bytes()),
            GeneralName::Dns(text) => (0x82, text.as_bytes()),
            GeneralName::Uri(text) => (0x86, text.as_bytes()),
            GeneralName::Ip(octets) => (0x87, octets),
            _ => {
                return Err(
                    "found name constraints of another kind, expected dNSName, URI, address or email".to_owned()
                );
            }
        };
        written.extend(der::value(0x30, &der::value(tag, base)));
    }
    Ok(written)
}
