//! Checks a certificate for its place in the chain (RFC 5280 section 6.1), apart from names and signatures.

use core::ops::RangeInclusive;

use pki_types::{AlgorithmIdentifier, SignatureVerificationAlgorithm, UnixTime, alg_id};

use super::Purpose;
use super::error::PathErrorKind;
use crate::x509::{Certificate, ExtendedKeyUsage, KeyUsage, ObjectIdentifier};

/// anyExtendedKeyUsage (RFC 5280 section 4.2.1.12)
const ANY_EXTENDED_KEY_USAGE: [u8; 4] = [0x55, 0x1d, 0x25, 0x00];

/// The uses that a server makes of its key: signing (RFC 8446 section 4.4.2.2) or, in TLS 1.2, key establishment
/// (RFC 5246 section 7.4.2).
const SERVER_KEY_USAGE: KeyUsage =
    KeyUsage(KeyUsage::DIGITAL_SIGNATURE.0 | KeyUsage::KEY_ENCIPHERMENT.0 | KeyUsage::KEY_AGREEMENT.0);

/// Keys that are points on a curve.
const CURVES: [AlgorithmIdentifier; 3] = [alg_id::ECDSA_P256, alg_id::ECDSA_P384, alg_id::ECDSA_P521];

/// The first octet of an uncompressed point (RFC 5480 section 2.2).
const UNCOMPRESSED: u8 = 0x04;

/// Octets of an RSA modulus: 2048 to 8192 bits, as verifiers of signatures count them.
const RSA_OCTETS: RangeInclusive<u32> = 256..=1024;

/// The purpose, time and algorithms to check certificates for.
#[derive(Clone, Copy)]
pub(super) struct Asked<'t> {
    pub(super) purpose: Purpose,
    pub(super) now: UnixTime,
    pub(super) algorithms: &'t [&'t dyn SignatureVerificationAlgorithm],
    /// The revocation lists to check certificates by.
    #[cfg(feature = "crl")]
    pub(super) revocation: Option<&'t super::Revocation<'t>>,
}

impl<'t> Asked<'t> {
    /// Asks without revocation lists.
    pub(super) fn new(
        purpose: Purpose,
        now: UnixTime,
        algorithms: &'t [&'t dyn SignatureVerificationAlgorithm],
    ) -> Self {
        Self {
            purpose,
            now,
            algorithms,
            #[cfg(feature = "crl")]
            revocation: None,
        }
    }
}

/// Checks a peer's own certificate that is not pinned. Faults that do not depend on the time come before the dates.
pub(super) fn leaf(leaf: &Certificate<'_>, asked: &Asked<'_>) -> Result<(), PathErrorKind> {
    anywhere(leaf)?;
    serial_number(leaf)?;
    let extensions = leaf.extensions();
    // A leaf's pathLenConstraint is ignored: RFC 5280 section 6.1.4 (m) applies to CAs
    if extensions.basic_constraints.is_some_and(|constraints| constraints.ca) {
        return Err(PathErrorKind::LeafIsCa);
    }
    leaf_key_usage(extensions.key_usage, asked.purpose)?;
    // RFC 5280 section 4.2.1.10: name constraints only in a CA certificate
    if extensions.name_constraints.is_some() {
        return Err(PathErrorKind::NameConstraintsInLeaf);
    }
    // RFC 5280 section 4.2.1.6: an empty subject needs a critical subjectAltName; beside a subject, a subjectAltName
    // SHOULD NOT be critical, but may be
    if leaf.subject().is_empty() && !extensions.subject_alt_name_critical {
        return Err(PathErrorKind::Nameless);
    }
    leaf_purpose(extensions.extended_key_usage, asked.purpose)?;
    signature_algorithm(leaf, asked)?;
    key(leaf, asked)?;
    dates(leaf, asked.now)
}

/// Checks a peer's own certificate that is a pin, byte for byte. A pin may be a CA; its signature proves nothing.
pub(super) fn pinned(leaf: &Certificate<'_>, asked: &Asked<'_>) -> Result<(), PathErrorKind> {
    anywhere(leaf)?;
    leaf_purpose(leaf.extensions().extended_key_usage, asked.purpose)?;
    key(leaf, asked)?;
    dates(leaf, asked.now)
}

/// Checks an issuer, intermediate or anchor, with `cas_below` CAs between issuer and leaf that are not self-issued.
pub(super) fn issuer(issuer: &Certificate<'_>, asked: &Asked<'_>, cas_below: usize) -> Result<(), PathErrorKind> {
    let extensions = issuer.extensions();
    version(issuer)?;
    // RFC 5280 section 6.1.4 (k)
    let Some(constraints) = extensions.basic_constraints.filter(|constraints| constraints.ca) else {
        return Err(PathErrorKind::NotACa);
    };
    // RFC 5280 section 6.1.4 (n)
    if extensions.key_usage.is_some_and(|usage| !usage.contains(KeyUsage::KEY_CERT_SIGN)) {
        return Err(PathErrorKind::NoKeyCertSign);
    }
    anywhere(issuer)?;
    // RFC 5280 section 6.1.4 (l) and (m)
    if let Some(allowed) = constraints.path_len.filter(|allowed| usize::from(*allowed) < cas_below) {
        return Err(PathErrorKind::PathTooLong { allowed });
    }
    // RFC 5280 section 4.1.2.6: a CA has a name
    if issuer.subject().is_empty() {
        return Err(PathErrorKind::EmptySubject);
    }
    // A CA's extended key usage limits the certificates below, as in all major validators
    purpose(extensions.extended_key_usage, asked.purpose)?;
    key(issuer, asked)?;
    dates(issuer, asked.now)
}

/// Checks an issuer that is not an anchor; an anchor's serial number and signature decide nothing.
pub(super) fn intermediate(issuer: &Certificate<'_>, asked: &Asked<'_>) -> Result<(), PathErrorKind> {
    serial_number(issuer)?;
    signature_algorithm(issuer, asked)
}

/// Checks that the serial number is positive and has at most 20 octets (RFC 5280 section 4.1.2.2).
fn serial_number(certificate: &Certificate<'_>) -> Result<(), PathErrorKind> {
    match certificate.serial() {
        [0] => Err(PathErrorKind::SerialNumber),
        [first, ..] if first & 0x80 == 0 && certificate.serial().len() <= 20 => Ok(()),
        _ => Err(PathErrorKind::SerialNumber),
    }
}

/// Makes the checks that apply at every place and at every time.
fn anywhere(certificate: &Certificate<'_>) -> Result<(), PathErrorKind> {
    let extensions = certificate.extensions();
    version(certificate)?;
    // RFC 5280 section 4.1.2.4
    if certificate.issuer().is_empty() {
        return Err(PathErrorKind::EmptyIssuer);
    }
    // RFC 5280 section 4.2.1.6: at least one name
    if extensions.subject_alt_name.is_some_and(|names| names.is_empty()) {
        return Err(PathErrorKind::EmptySubjectAltName);
    }
    // RFC 5280 section 4.2.1.1: where there is an authority key identifier, it has the keyIdentifier
    if extensions.authority_key_identifier.is_some_and(|identifier| identifier.key_identifier.is_none()) {
        return Err(PathErrorKind::NoKeyIdentifier);
    }
    // RFC 5280 section 6.1.4 (o), RFC 5280 section 6.1.5 (f)
    if let Some(oid) = extensions.unknown_critical {
        return Err(PathErrorKind::UnknownCriticalExtension(ObjectIdentifier::new(oid)));
    }
    match extensions.wrongly_critical {
        Some(oid) => Err(PathErrorKind::WronglyCritical(ObjectIdentifier::new(oid))),
        None => Ok(()),
    }
}

/// Checks that the version is 3, since every decision here rests on extensions (RFC 5280 section 4.1.2.1).
fn version(certificate: &Certificate<'_>) -> Result<(), PathErrorKind> {
    if certificate.version() == 3 { Ok(()) } else { Err(PathErrorKind::Version(certificate.version())) }
}

/// Checks the dates (RFC 5280 section 6.1.3 (a) (2)), both ends inclusive (RFC 5280 section 4.1.2.5).
fn dates(certificate: &Certificate<'_>, now: UnixTime) -> Result<(), PathErrorKind> {
    let validity = certificate.validity();
    if now < validity.not_before {
        return Err(PathErrorKind::NotYetValid { not_before: validity.not_before, now });
    }
    if now > validity.not_after {
        return Err(PathErrorKind::Expired { not_after: validity.not_after, now });
    }
    Ok(())
}

fn leaf_key_usage(usage: Option<KeyUsage>, purpose: Purpose) -> Result<(), PathErrorKind> {
    let Some(usage) = usage else { return Ok(()) };
    // RFC 5280 section 4.2.1.9: without cA there is no keyCertSign
    if usage.contains(KeyUsage::KEY_CERT_SIGN) {
        return Err(PathErrorKind::KeyCertSignInLeaf);
    }
    match purpose {
        // RFC 8446 section 4.4.2.2, RFC 5246 section 7.4.6: a client signs in every version of TLS
        Purpose::ClientAuth if !usage.contains(KeyUsage::DIGITAL_SIGNATURE) => Err(PathErrorKind::NoDigitalSignature),
        Purpose::ServerAuth if !usage.intersects(SERVER_KEY_USAGE) => Err(PathErrorKind::KeyUsage),
        // RFC 7515 section 2: who makes a JWS signs
        #[cfg(feature = "mesh")]
        Purpose::MeshSigning if !usage.contains(KeyUsage::DIGITAL_SIGNATURE) => Err(PathErrorKind::NoDigitalSignature),
        _ => Ok(()),
    }
}

/// Checks a leaf's extended key usage: of a purpose that is exclusive, it is present and names that purpose alone.
fn leaf_purpose(usage: Option<ExtendedKeyUsage<'_>>, wanted: Purpose) -> Result<(), PathErrorKind> {
    if wanted.is_exclusive() && !usage.is_some_and(|usage| usage.purposes().eq([wanted.oid()])) {
        return Err(PathErrorKind::WrongPurpose);
    }
    purpose(usage, wanted)
}

/// Checks that the extension, if present, names the purpose or every purpose (RFC 5280 section 4.2.1.12).
fn purpose(usage: Option<ExtendedKeyUsage<'_>>, purpose: Purpose) -> Result<(), PathErrorKind> {
    match usage {
        Some(usage) if !usage.purposes().any(|oid| oid == ANY_EXTENDED_KEY_USAGE || oid == purpose.oid()) => {
            Err(PathErrorKind::WrongPurpose)
        }
        _ => Ok(()),
    }
}

/// Checks that the signature algorithm is in the list, with the parameters of its standard (RFC 5280 section 4.1.1.2).
fn signature_algorithm(certificate: &Certificate<'_>, asked: &Asked<'_>) -> Result<(), PathErrorKind> {
    let found = certificate.signature_algorithm();
    if asked.algorithms.iter().any(|algorithm| algorithm.signature_alg_id().as_ref() == found) {
        return Ok(());
    }
    // The object identifier with its header, which begins an AlgorithmIdentifier
    let oid = found.get(..found.get(1).map_or(0, |length| usize::from(*length).saturating_add(2))).unwrap_or(found);
    let known = asked.algorithms.iter().any(|algorithm| algorithm.signature_alg_id().as_ref().starts_with(oid));
    let oid = ObjectIdentifier::algorithm(found);
    Err(if known {
        PathErrorKind::SignatureAlgorithmParameters(oid)
    } else {
        PathErrorKind::UnsupportedSignatureAlgorithm(oid)
    })
}

/// Checks that an algorithm in the list takes the certificate's key, which signs certificates below or the handshake.
fn key(certificate: &Certificate<'_>, asked: &Asked<'_>) -> Result<(), PathErrorKind> {
    let key = certificate.subject_public_key_info();
    if !asked.algorithms.iter().any(|algorithm| algorithm.public_key_alg_id().as_ref() == key.algorithm) {
        return Err(PathErrorKind::UnsupportedKey(ObjectIdentifier::of_key(key.algorithm)));
    }
    // RFC 5480 section 2.2: a reader may leave out compressed points. A key that had several forms would have several
    // hashes, and one of them could be denied while another is accepted.
    if CURVES.iter().any(|curve| curve.as_ref() == key.algorithm) && key.public_key.first() != Some(&UNCOMPRESSED) {
        return Err(PathErrorKind::CompressedPoint);
    }
    match key.rsa_modulus_bits() {
        Some(bits) if !RSA_OCTETS.contains(&bits.div_ceil(8)) => Err(PathErrorKind::KeySize { bits }),
        _ => Ok(()),
    }
}
