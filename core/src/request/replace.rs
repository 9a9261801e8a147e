//! Whether a request may replace the certificate that its requester showed (RFC 7030 section 4.2.2).

use super::{CertificationRequest, RequestError};
use crate::x509::{Certificate, GeneralName, GeneralNames, KeyUsage};

/// How many names of one subjectAltName are compared at the most, each with each.
pub const MAX_ALTERNATIVE_NAMES: usize = 64;

/// subjectAltName, keyUsage, extendedKeyUsage, basicConstraints (RFC 5280 section 4.2.1)
const SUBJECT_ALT_NAME: [u8; 3] = [0x55, 0x1d, 17];
const KEY_USAGE: [u8; 3] = [0x55, 0x1d, 15];
const EXTENDED_KEY_USAGE: [u8; 3] = [0x55, 0x1d, 37];

impl CertificationRequest<'_> {
    /// Whether it asks for what its requester has, with another key: `current` is the certificate with which the requester was
    /// authenticated. Subject and subjectAltName are the same (RFC 7030 section 4.2.2), the names in any order; of other extensions only
    /// keyUsage and extendedKeyUsage are asked for, on which the CA decides.
    ///
    /// # Errors
    /// What differs.
    pub fn may_replace(&self, current: &Certificate<'_>) -> Result<(), RequestError> {
        let extensions = self.extensions();
        let may_issue = KeyUsage(KeyUsage::KEY_CERT_SIGN.0 | KeyUsage::CRL_SIGN.0);
        if extensions.basic_constraints.is_some_and(|constraints| constraints.ca)
            || extensions.key_usage.is_some_and(|usage| usage.intersects(may_issue))
        {
            return Err(RequestError::CertificateAuthority);
        }
        let allowed = |oid: &[u8]| oid == SUBJECT_ALT_NAME || oid == KEY_USAGE || oid == EXTENDED_KEY_USAGE;
        if let Some((number, _)) = (1_u16..).zip(self.requested_extensions()).find(|(_, oid)| !allowed(oid)) {
            return Err(RequestError::Extension(number));
        }
        if !self.subject().matches(&current.subject()) {
            return Err(RequestError::Subject);
        }
        same_alternative_names(extensions.subject_alt_name, current.extensions().subject_alt_name)
    }
}

/// Whether what is wanted, or was issued, has the same alternative names as what was there before, in any order.
///
/// # Errors
/// What differs.
pub fn same_alternative_names(
    wanted: Option<GeneralNames<'_>>,
    had: Option<GeneralNames<'_>>,
) -> Result<(), RequestError> {
    match (wanted, had) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(RequestError::NoAlternativeNames),
        (Some(_), None) => Err(RequestError::UnwantedAlternativeNames),
        (Some(wanted), Some(had)) => same_names(wanted, had),
    }
}

/// The same names, whatever their order.
fn same_names(wanted: GeneralNames<'_>, had: GeneralNames<'_>) -> Result<(), RequestError> {
    let too_many = |names: GeneralNames<'_>| names.into_iter().nth(MAX_ALTERNATIVE_NAMES).is_some();
    if too_many(wanted) || too_many(had) {
        return Err(RequestError::TooManyAlternativeNames);
    }
    if let Some(number) = not_among(wanted, had) {
        return Err(RequestError::NameAdded(number));
    }
    match not_among(had, wanted) {
        Some(number) => Err(RequestError::NameMissing(number)),
        None => Ok(()),
    }
}

/// The first of `names` that is not among `others`.
fn not_among(names: GeneralNames<'_>, others: GeneralNames<'_>) -> Option<u16> {
    let missing = |name: &GeneralName<'_>| !others.into_iter().any(|other| same_name(name, &other));
    (1_u16..).zip(names).find(|(_, name)| missing(name)).map(|(number, _)| number)
}

/// RFC 5280 section 7: DNS names without regard to case, directory names as names match, all others octet by octet.
fn same_name(one: &GeneralName<'_>, other: &GeneralName<'_>) -> bool {
    match (one, other) {
        (GeneralName::Dns(one), GeneralName::Dns(other)) => one.eq_ignore_ascii_case(other),
        (GeneralName::Directory(one), GeneralName::Directory(other)) => one.matches(other),
        (one, other) => one == other,
    }
}
