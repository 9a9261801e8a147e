//! Decides whether a request may replace the certificate that its requester presented (RFC 7030 section 4.2.2).

use super::read::{Requested, each_extension};
use super::{CertificationRequest, MAX_ALTERNATIVE_NAMES, RequestError};
use crate::x509::reader::{DerReader, tag};
use crate::x509::{Certificate, Exhausted, GeneralName, GeneralNames, KeyUsage, Work};

/// The largest cost of comparing the names of one request, in units of [`Work`]: some milliseconds of a
/// microcontroller, and a hundred names of ordinary length.
const MAX_WORK: u32 = 100_000;

/// The largest number of purposes of one extendedKeyUsage that are compared, each with each.
const MAX_PURPOSES: u16 = 16;

/// id-ce-subjectKeyIdentifier, id-ce-keyUsage, id-ce-subjectAltName, id-ce-basicConstraints,
/// id-ce-authorityKeyIdentifier, id-ce-extKeyUsage (RFC 5280 section 4.2.1): the extensions that any leaf may have.
/// Their values are checked separately.
const OF_A_LEAF: [[u8; 3]; 6] =
    [[0x55, 0x1d, 14], [0x55, 0x1d, 15], [0x55, 0x1d, 17], [0x55, 0x1d, 19], [0x55, 0x1d, 35], [0x55, 0x1d, 37]];
/// id-kp-serverAuth and id-kp-clientAuth (RFC 5280 section 4.2.1.12)
const OF_TLS: [[u8; 8]; 2] =
    [[0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x01], [0x2b, 0x06, 0x01, 0x05, 0x05, 0x07, 0x03, 0x02]];

impl CertificationRequest<'_> {
    /// Checks that the request is for the requester's certificate again, with another key; `current` is the
    /// certificate that authenticated the requester. Subject and subjectAltName must be the same
    /// (RFC 7030 section 4.2.2), the names in any order. Allowed extensions are those of a leaf, with purposes of TLS
    /// or of `current`, and any that `current` has, octet for octet: clients copy them. The CA decides on their
    /// values.
    ///
    /// # Errors
    /// The first difference.
    pub fn may_replace(&self, current: &Certificate<'_>) -> Result<(), RequestError> {
        self.is_of_a_leaf(Some(current))?;
        let mut work = Work::new(MAX_WORK);
        if !self.subject().matches_within(&current.subject(), &mut work)? {
            return Err(RequestError::Subject);
        }
        same_names_within(self.extensions().subject_alt_name, current.extensions().subject_alt_name, &mut work)
    }

    /// Checks that the extensions are those of a leaf with purposes of TLS, or of `current`.
    pub(super) fn is_of_a_leaf(&self, current: Option<&Certificate<'_>>) -> Result<(), RequestError> {
        let extensions = self.extensions();
        let may_issue = KeyUsage(KeyUsage::KEY_CERT_SIGN.0 | KeyUsage::CRL_SIGN.0);
        if extensions.basic_constraints.is_some_and(|constraints| constraints.ca)
            || extensions.key_usage.is_some_and(|usage| usage.intersects(may_issue))
        {
            return Err(RequestError::CertificateAuthority);
        }
        let allowed = |one: &Requested<'_>| {
            OF_A_LEAF.iter().any(|oid| oid == one.oid)
                || current.is_some_and(|current| extensions_of(current).any(|had| had == *one))
        };
        if let Some((number, _)) = (1_u16..).zip(self.requested()).find(|(_, one)| !allowed(one)) {
            return Err(RequestError::Extension(number));
        }
        if let Some(wanted) = extensions.extended_key_usage {
            let had = current.and_then(|current| current.extensions().extended_key_usage);
            let allowed = |purpose: &[u8]| {
                OF_TLS.iter().any(|oid| oid == purpose)
                    || had.is_some_and(|had| had.purposes().take(MAX_PURPOSES.into()).any(|other| other == purpose))
            };
            let mut each = (1_u16..).zip(wanted.purposes());
            if let Some((number, _)) = each.find(|(number, purpose)| *number > MAX_PURPOSES || !allowed(purpose)) {
                return Err(RequestError::Purpose(number));
            }
        }
        Ok(())
    }
}

/// Returns each extension of a certificate.
fn extensions_of<'a>(certificate: &Certificate<'a>) -> impl Iterator<Item = Requested<'a>> {
    let list = || {
        let mut fields = DerReader::new(certificate.tbs()).enter(tag::SEQUENCE).ok()?;
        loop {
            // RFC 5280 section 4.1: extensions come last, explicitly tagged.
            let field = fields.tlv().ok()?;
            if field.tag == tag::context_constructed(3) {
                return fields.inside(&field).ok()?.enter(tag::SEQUENCE).ok();
            }
        }
    };
    each_extension(list().unwrap_or(DerReader::new(&[])))
}

/// Checks that `wanted`, requested or issued, has the same alternative names as the earlier `had`, in any order.
///
/// # Errors
/// The first difference.
pub fn same_alternative_names(
    wanted: Option<GeneralNames<'_>>,
    had: Option<GeneralNames<'_>>,
) -> Result<(), RequestError> {
    same_names_within(wanted, had, &mut Work::new(MAX_WORK))
}

fn same_names_within(
    wanted: Option<GeneralNames<'_>>,
    had: Option<GeneralNames<'_>>,
    work: &mut Work,
) -> Result<(), RequestError> {
    match (wanted, had) {
        (None, None) => Ok(()),
        (None, Some(_)) => Err(RequestError::NoAlternativeNames),
        (Some(_), None) => Err(RequestError::UnwantedAlternativeNames),
        (Some(wanted), Some(had)) => same_names(wanted, had, work),
    }
}

/// Checks that both have the same names, in any order.
fn same_names(wanted: GeneralNames<'_>, had: GeneralNames<'_>, work: &mut Work) -> Result<(), RequestError> {
    let too_many = |names: GeneralNames<'_>| names.into_iter().nth(MAX_ALTERNATIVE_NAMES).is_some();
    if too_many(wanted) || too_many(had) {
        return Err(RequestError::TooManyAlternativeNames);
    }
    if let Some(number) = not_among(wanted, had, work)? {
        return Err(RequestError::NameAdded(number));
    }
    match not_among(had, wanted, work)? {
        Some(number) => Err(RequestError::NameMissing(number)),
        None => Ok(()),
    }
}

/// The number of the first of `names` not among `others`, from 1.
fn not_among(names: GeneralNames<'_>, others: GeneralNames<'_>, work: &mut Work) -> Result<Option<u16>, Exhausted> {
    'names: for (number, name) in (1_u16..).zip(names) {
        for other in others {
            if same_name(&name, &other, work)? {
                continue 'names;
            }
        }
        return Ok(Some(number));
    }
    Ok(None)
}

/// Compares names as RFC 5280 section 7 does: DNS names without regard to case, directory names by name matching,
/// others octet by octet.
fn same_name(one: &GeneralName<'_>, other: &GeneralName<'_>, work: &mut Work) -> Result<bool, Exhausted> {
    work.spend(1)?;
    match (one, other) {
        (GeneralName::Dns(one), GeneralName::Dns(other)) => Ok(one.eq_ignore_ascii_case(other)),
        (GeneralName::Directory(one), GeneralName::Directory(other)) => one.matches_within(other, work),
        (one, other) => Ok(one == other),
    }
}

impl From<Exhausted> for RequestError {
    fn from(_: Exhausted) -> Self {
        Self::Work
    }
}
