//! What one certificate must be at its place in the chain (RFC 5280 section 6.1), apart from names and signatures.

use pki_types::UnixTime;

use super::Purpose;
use super::error::PathErrorKind;
use crate::x509::{Certificate, ExtendedKeyUsage, KeyUsage};

/// anyExtendedKeyUsage (RFC 5280 section 4.2.1.12)
const ANY_EXTENDED_KEY_USAGE: [u8; 4] = [0x55, 0x1d, 0x25, 0x00];

/// What TLS may do with a leaf's key: sign (RFC 8446 section 4.4.2.2), or, in TLS 1.2, agree on keys (RFC 8422 section 5.3).
const TLS_KEY_USAGE: KeyUsage =
    KeyUsage(KeyUsage::DIGITAL_SIGNATURE.0 | KeyUsage::KEY_ENCIPHERMENT.0 | KeyUsage::KEY_AGREEMENT.0);

/// A peer's own certificate that is not pinned.
pub(super) fn leaf(leaf: &Certificate<'_>, purpose: Purpose, now: UnixTime) -> Result<(), PathErrorKind> {
    anywhere(leaf, now)?;
    serial_number(leaf)?;
    let extensions = leaf.extensions();
    if extensions.basic_constraints.is_some_and(|constraints| constraints.ca) {
        return Err(PathErrorKind::LeafIsCa);
    }
    if let Some(key_usage) = extensions.key_usage {
        // RFC 5280 section 4.2.1.9: without cA there is no keyCertSign
        if key_usage.contains(KeyUsage::KEY_CERT_SIGN) {
            return Err(PathErrorKind::MayNotSign);
        }
        if !key_usage.intersects(TLS_KEY_USAGE) {
            return Err(PathErrorKind::KeyUsage);
        }
    }
    // RFC 5280 section 4.2.1.10: name constraints only in a CA certificate
    if extensions.name_constraints.is_some() {
        return Err(PathErrorKind::Extension);
    }
    // RFC 5280 section 4.2.1.6: an empty subject needs a critical subjectAltName
    if leaf.subject().is_empty() && !extensions.subject_alt_name_critical {
        return Err(PathErrorKind::Extension);
    }
    // RFC 5280 section 4.2.1.6 says SHOULD; x509-limbo demands it
    if !leaf.subject().is_empty() && extensions.subject_alt_name_critical {
        return Err(PathErrorKind::WronglyCritical);
    }
    leaf_purpose(extensions.extended_key_usage, purpose)
}

/// A peer's own certificate that is configured as an anchor, byte for byte: it may be a CA.
pub(super) fn pinned(leaf: &Certificate<'_>, purpose: Purpose, now: UnixTime) -> Result<(), PathErrorKind> {
    anywhere(leaf, now)?;
    leaf_purpose(leaf.extensions().extended_key_usage, purpose)
}

/// An issuer: an intermediate or an anchor, with `cas_below` CAs that are not self-issued between it and the leaf.
pub(super) fn issuer(
    issuer: &Certificate<'_>,
    purpose: Purpose,
    now: UnixTime,
    cas_below: usize,
) -> Result<(), PathErrorKind> {
    let extensions = issuer.extensions();
    // RFC 5280 section 6.1.4 (k)
    let Some(constraints) = extensions.basic_constraints.filter(|constraints| constraints.ca) else {
        return Err(PathErrorKind::NotACa);
    };
    // RFC 5280 section 6.1.4 (n)
    if extensions.key_usage.is_some_and(|usage| !usage.contains(KeyUsage::KEY_CERT_SIGN)) {
        return Err(PathErrorKind::MayNotSign);
    }
    anywhere(issuer, now)?;
    // RFC 5280 section 6.1.4 (l) and (m)
    if let Some(allowed) = constraints.path_len.filter(|allowed| usize::from(*allowed) < cas_below) {
        return Err(PathErrorKind::PathTooLong { allowed });
    }
    // RFC 5280 section 4.1.2.6: a CA has a name
    if issuer.subject().is_empty() {
        return Err(PathErrorKind::EmptyName);
    }
    // A CA's extended key usage limits what is below it, as all major validators have it
    match extensions.extended_key_usage {
        Some(usage) if !usage.purposes().any(|oid| oid == ANY_EXTENDED_KEY_USAGE || oid == purpose.oid()) => {
            Err(PathErrorKind::WrongPurpose)
        }
        _ => Ok(()),
    }
}

/// RFC 5280 section 4.1.2.2: positive, at most 20 octets. For all but trust anchors: old roots bear zero, and nothing is decided by an
/// anchor's number.
pub(super) fn serial_number(certificate: &Certificate<'_>) -> Result<(), PathErrorKind> {
    match certificate.serial() {
        [0] => Err(PathErrorKind::SerialNumber),
        [first, ..] if first & 0x80 == 0 && certificate.serial().len() <= 20 => Ok(()),
        _ => Err(PathErrorKind::SerialNumber),
    }
}

/// What holds at every place.
fn anywhere(certificate: &Certificate<'_>, now: UnixTime) -> Result<(), PathErrorKind> {
    let validity = certificate.validity();
    // RFC 5280 section 6.1.3 (a) (2), both ends inclusive (RFC 5280 section 4.1.2.5)
    if now < validity.not_before {
        return Err(PathErrorKind::NotYetValid { not_before: validity.not_before, now });
    }
    if now > validity.not_after {
        return Err(PathErrorKind::Expired { not_after: validity.not_after, now });
    }
    // RFC 5280 section 4.1.2.1: every decision here rests on extensions
    if certificate.version() != 3 {
        return Err(PathErrorKind::Version(certificate.version()));
    }
    // RFC 5280 section 4.1.2.4
    if certificate.issuer().is_empty() {
        return Err(PathErrorKind::EmptyName);
    }
    // RFC 5280 section 4.2.1.6: at least one name
    if certificate.extensions().subject_alt_name.is_some_and(|names| names.is_empty()) {
        return Err(PathErrorKind::Extension);
    }
    // RFC 5280 section 4.2.1.1: where there is an authority key identifier, it has the keyIdentifier
    if certificate.extensions().authority_key_identifier.is_some_and(|identifier| identifier.key_identifier.is_none()) {
        return Err(PathErrorKind::Extension);
    }
    // RFC 5280 section 6.1.4 (o), RFC 5280 section 6.1.5 (f)
    if certificate.extensions().unknown_critical.is_some() {
        return Err(PathErrorKind::UnknownCriticalExtension);
    }
    if certificate.extensions().wrongly_critical.is_some() {
        return Err(PathErrorKind::WronglyCritical);
    }
    Ok(())
}

/// RFC 5280 section 4.2.1.12: where the extension is, it names the purpose itself; "any" is for a CA to say, not for a leaf.
fn leaf_purpose(usage: Option<ExtendedKeyUsage<'_>>, purpose: Purpose) -> Result<(), PathErrorKind> {
    match usage {
        Some(usage) if !usage.purposes().any(|oid| oid == purpose.oid()) => Err(PathErrorKind::WrongPurpose),
        _ => Ok(()),
    }
}
