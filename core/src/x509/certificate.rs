//! Parses certificates (RFC 5280 section 4.1).

use pki_types::{UnixTime, alg_id};

use super::error::{ParseError, ParseErrorKind};
use super::reader::{DerReader, is_minimal_integer, tag};
use super::time::time;
use super::{Extensions, Name};

/// A borrowed certificate: every field is a slice of the DER that was parsed.
#[derive(Clone, Copy, Debug)]
pub struct Certificate<'a> {
    der: &'a [u8],
    tbs: &'a [u8],
    version: u8,
    serial: &'a [u8],
    issuer: Name<'a>,
    subject: Name<'a>,
    validity: Validity,
    spki: SubjectPublicKeyInfo<'a>,
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
    extensions: Extensions<'a>,
}

/// The validity period (RFC 5280 section 4.1.2.5), both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Validity {
    /// The first second of validity.
    pub not_before: UnixTime,
    /// The last second of validity.
    pub not_after: UnixTime,
}

/// The subject's key (RFC 5280 section 4.1.2.7).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SubjectPublicKeyInfo<'a> {
    /// Contents of the AlgorithmIdentifier SEQUENCE, as `pki_types::AlgorithmIdentifier` compares them.
    pub algorithm: &'a [u8],
    /// The bits of the key, without the unused-bits octet.
    pub public_key: &'a [u8],
    /// The whole SubjectPublicKeyInfo, header included.
    pub der: &'a [u8],
}

impl<'a> Certificate<'a> {
    /// Parses one certificate; nothing may follow it.
    ///
    /// # Errors
    /// A field that is malformed or not as RFC 5280 section 4 demands, with its byte offset.
    pub fn from_der(der: &'a [u8]) -> Result<Self, ParseError> {
        let mut input = DerReader::new(der);
        let mut certificate = input.enter(tag::SEQUENCE)?;
        input.end()?;
        let tbs = certificate.require(tag::SEQUENCE)?;
        let mut fields = certificate.inside(&tbs)?;
        let at_algorithm = certificate.fault(ParseErrorKind::AlgorithmMismatch);
        let signature_algorithm = algorithm(&mut certificate)?;
        let signature = certificate.bits()?;
        certificate.end()?;

        let at_version = fields.fault(ParseErrorKind::UnsupportedVersion);
        let version = version(&mut fields)?;
        let serial = serial(&mut fields)?;
        // RFC 5280 section 4.1.1.2
        if algorithm(&mut fields)? != signature_algorithm {
            return Err(at_algorithm);
        }
        let issuer = Name::read(&mut fields)?;
        let mut dates = fields.enter(tag::SEQUENCE)?;
        let validity = Validity { not_before: time(&mut dates)?, not_after: time(&mut dates)? };
        dates.end()?;
        let subject = Name::read(&mut fields)?;
        let spki = SubjectPublicKeyInfo::read(&mut fields)?;
        // RFC 5280 section 4.1.2.8: unique identifiers are read past; nothing here compares them
        for number in [1, 2] {
            fields.optional(tag::context(number))?;
        }
        let extensions = match fields.optional(tag::context_constructed(3))? {
            // RFC 5280 section 4.1.2.9: only version 3 has extensions
            Some(_) if version != 3 => return Err(at_version),
            Some(explicit) => Extensions::read(&mut fields.inside(&explicit)?)?,
            None => Extensions::default(),
        };
        fields.end()?;
        Ok(Self {
            der,
            tbs: tbs.whole,
            version,
            serial,
            issuer,
            subject,
            validity,
            spki,
            signature_algorithm,
            signature,
            extensions,
        })
    }

    /// Returns the DER that the certificate was parsed from.
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// Returns the TBSCertificate, header included, which the signature covers.
    pub fn tbs(&self) -> &'a [u8] {
        self.tbs
    }

    /// Returns the version: 1, 2 or 3 (RFC 5280 section 4.1.2.1). Paths need version 3, since decisions need
    /// extensions.
    pub fn version(&self) -> u8 {
        self.version
    }

    /// Returns the contents octets of serialNumber (RFC 5280 section 4.1.2.2), which [`Serial`](super::Serial) shows.
    pub fn serial(&self) -> &'a [u8] {
        self.serial
    }

    /// Returns the issuer's name (RFC 5280 section 4.1.2.4).
    pub fn issuer(&self) -> Name<'a> {
        self.issuer
    }

    /// Returns the subject's name (RFC 5280 section 4.1.2.6).
    pub fn subject(&self) -> Name<'a> {
        self.subject
    }

    /// Returns the subject as DER, header included.
    pub fn subject_der(&self) -> &'a [u8] {
        // Read again: a field would cost every certificate two words, and only renewals, hours apart, need the
        // subject.
        let subject = || {
            let mut fields = DerReader::new(self.tbs).enter(tag::SEQUENCE).ok()?;
            fields.optional(tag::context_constructed(0)).ok()?;
            // serialNumber, signature, issuer, validity
            for _ in 0..4 {
                fields.tlv().ok()?;
            }
            fields.tlv().ok()
        };
        subject().map_or(&[], |subject| subject.whole)
    }

    /// Returns the validity period (RFC 5280 section 4.1.2.5).
    pub fn validity(&self) -> Validity {
        self.validity
    }

    /// The subject's key (RFC 5280 section 4.1.2.7).
    pub fn subject_public_key_info(&self) -> SubjectPublicKeyInfo<'a> {
        self.spki
    }

    /// Returns the contents of the signatureAlgorithm SEQUENCE (RFC 5280 section 4.1.1.2).
    pub fn signature_algorithm(&self) -> &'a [u8] {
        self.signature_algorithm
    }

    /// Returns the bits of the signature (RFC 5280 section 4.1.1.3).
    pub fn signature(&self) -> &'a [u8] {
        self.signature
    }

    /// Returns the extensions (RFC 5280 section 4.2).
    pub fn extensions(&self) -> &Extensions<'a> {
        &self.extensions
    }

    /// Returns the value of the extension with this object identifier, whether it is understood or not.
    #[cfg(feature = "crl")]
    pub(crate) fn extension(&self, wanted: &[u8]) -> Option<&'a [u8]> {
        // Read again, as the subject is: few lists need it.
        let mut fields = DerReader::new(self.tbs).enter_again(tag::SEQUENCE)?;
        let explicit = core::iter::from_fn(|| fields.again()).find(|one| one.tag == tag::context_constructed(3))?;
        let mut list = DerReader::new(explicit.value).enter_again(tag::SEQUENCE)?;
        while let Some(mut one) = list.enter_again(tag::SEQUENCE) {
            if one.again()?.value == wanted {
                return core::iter::from_fn(|| one.again()).last().map(|value| value.value);
            }
        }
        None
    }

    /// Returns whether issuer and subject are the same name (RFC 5280 section 6.1).
    pub fn is_self_issued(&self) -> bool {
        self.issuer.matches(&self.subject)
    }
}

impl<'a> SubjectPublicKeyInfo<'a> {
    pub(crate) fn read(reader: &mut DerReader<'a>) -> Result<Self, ParseError> {
        let whole = reader.require(tag::SEQUENCE)?;
        let mut fields = reader.inside(&whole)?;
        let spki = Self { algorithm: algorithm(&mut fields)?, public_key: fields.bits()?, der: whole.whole };
        fields.end()?;
        Ok(spki)
    }

    /// Returns the bits of an RSA key's modulus (RFC 8017 appendix A.1.1), or `None` for other or malformed keys.
    pub fn rsa_modulus_bits(&self) -> Option<u32> {
        if self.algorithm != alg_id::RSA_ENCRYPTION.as_ref() {
            return None;
        }
        let modulus = DerReader::new(self.public_key).enter(tag::SEQUENCE).ok()?.require(tag::INTEGER).ok()?.value;
        let modulus = modulus.strip_prefix(&[0]).unwrap_or(modulus);
        let octets = u32::try_from(modulus.len()).ok()?;
        Some(octets.saturating_mul(8).saturating_sub(modulus.first()?.leading_zeros()))
    }
}

/// Reads the version: 1, 2 or 3 (RFC 5280 section 4.1.2.1).
fn version(reader: &mut DerReader<'_>) -> Result<u8, ParseError> {
    let here = reader.fault(ParseErrorKind::UnsupportedVersion);
    let Some(explicit) = reader.optional(tag::context_constructed(0))? else { return Ok(1) };
    let mut inner = reader.inside(&explicit)?;
    let version = inner.require(tag::INTEGER)?.value;
    inner.end()?;
    // Version 1 is the default, which DER leaves out.
    match version {
        [1] => Ok(2),
        [2] => Ok(3),
        _ => Err(here),
    }
}

/// Reads the serial number (RFC 5280 section 4.1.2.2). Zero, negative and long numbers are read, since old roots have
/// them; a path accepts only positive numbers of at most 20 octets.
fn serial<'a>(reader: &mut DerReader<'a>) -> Result<&'a [u8], ParseError> {
    let here = reader.fault(ParseErrorKind::SerialNumber);
    let serial = reader.require(tag::INTEGER)?.value;
    if !is_minimal_integer(serial) { Err(here) } else { Ok(serial) }
}

/// Reads an AlgorithmIdentifier's contents (RFC 5280 section 4.1.1.2): an object identifier and at most one value.
pub(crate) fn algorithm<'a>(reader: &mut DerReader<'a>) -> Result<&'a [u8], ParseError> {
    let mut fields = reader.enter(tag::SEQUENCE)?;
    let contents = fields.rest();
    fields.oid()?;
    if !fields.is_empty() {
        fields.tlv()?;
    }
    fields.end()?;
    Ok(contents)
}
