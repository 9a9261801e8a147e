//! Reads a request (RFC 2986 section 4).

use pki_types::SignatureVerificationAlgorithm;

use super::RequestError;
use crate::x509::reader::{DerReader, tag};
use crate::x509::{Extensions, Name, ParseError, ParseErrorKind, SubjectPublicKeyInfo, algorithm};

/// extensionRequest (RFC 2985 section 5.4.2)
pub(super) const EXTENSION_REQUEST: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x09, 0x0e];

/// The largest number of attributes of a request; each is compared with those before it.
const MAX_ATTRIBUTES: usize = 16;

/// A request as a borrowed view: every field is a slice of the parsed DER.
#[derive(Clone, Copy, Debug)]
pub struct CertificationRequest<'a> {
    der: &'a [u8],
    info: &'a [u8],
    subject: Name<'a>,
    spki: SubjectPublicKeyInfo<'a>,
    extensions: Extensions<'a>,
    /// The contents of the Extensions of the extensionRequest.
    requested: &'a [u8],
    signature_algorithm: &'a [u8],
    signature: &'a [u8],
}

/// One extension of a list of extensions.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct Requested<'a> {
    /// The contents octets of the object identifier.
    pub(super) oid: &'a [u8],
    /// The whole DER of the extension.
    whole: &'a [u8],
}

/// Returns the extensions of a list (RFC 5280 section 4.1), up to the first that is malformed.
pub(super) fn each_extension(mut list: DerReader<'_>) -> impl Iterator<Item = Requested<'_>> {
    core::iter::from_fn(move || {
        let one = list.require(tag::SEQUENCE).ok()?;
        let oid = list.inside(&one).ok()?.oid().ok()?;
        Some(Requested { oid, whole: one.whole })
    })
}

impl<'a> CertificationRequest<'a> {
    /// Parses one request; no octets may follow the request.
    ///
    /// # Errors
    /// If the request is malformed or not as RFC 2986 section 4 demands, with the byte offset.
    pub fn from_der(der: &'a [u8]) -> Result<Self, ParseError> {
        let mut input = DerReader::new(der);
        let mut request = input.enter(tag::SEQUENCE)?;
        input.end()?;
        let info = request.require(tag::SEQUENCE)?;
        let mut fields = request.inside(&info)?;
        let signature_algorithm = algorithm(&mut request)?;
        let signature = request.bits()?;
        request.end()?;

        let at_version = fields.fault(ParseErrorKind::RequestVersion);
        if fields.require(tag::INTEGER)?.value != [0] {
            return Err(at_version);
        }
        let subject = Name::read(&mut fields)?;
        let spki = SubjectPublicKeyInfo::read(&mut fields)?;
        // RFC 2986 section 4.1: not optional, though it may be empty
        let attributes = fields.enter(tag::context_constructed(0))?;
        fields.end()?;
        let (extensions, requested) = read_attributes(attributes)?;
        Ok(Self { der, info: info.whole, subject, spki, extensions, requested, signature_algorithm, signature })
    }

    /// The parsed DER.
    pub fn der(&self) -> &'a [u8] {
        self.der
    }

    /// The subject of the requested certificate (RFC 2986 section 4.1).
    pub fn subject(&self) -> Name<'a> {
        self.subject
    }

    /// The key to be certified (RFC 2986 section 4.1).
    pub fn subject_public_key_info(&self) -> SubjectPublicKeyInfo<'a> {
        self.spki
    }

    /// The requested extensions (RFC 2985 section 5.4.2).
    pub fn extensions(&self) -> &Extensions<'a> {
        &self.extensions
    }

    /// The contents octets of the object identifier of each requested extension, in order.
    pub fn requested_extensions(&self) -> impl Iterator<Item = &'a [u8]> + use<'a> {
        self.requested().map(|extension| extension.oid)
    }

    /// The requested extensions, in order.
    pub(super) fn requested(&self) -> impl Iterator<Item = Requested<'a>> + use<'a> {
        each_extension(DerReader::new(self.requested))
    }

    /// Verifies that the requester has the key: the key signed the request (RFC 2986 section 4.2).
    ///
    /// # Errors
    /// [`RequestError::UnsupportedAlgorithm`] if none of `algorithms` fits, [`RequestError::BadSignature`] if the
    /// signature is wrong.
    pub fn verify(&self, algorithms: &[&dyn SignatureVerificationAlgorithm]) -> Result<(), RequestError> {
        let mut outcome = Err(RequestError::UnsupportedAlgorithm);
        for algorithm in algorithms {
            if algorithm.signature_alg_id().as_ref() != self.signature_algorithm
                || algorithm.public_key_alg_id().as_ref() != self.spki.algorithm
            {
                continue;
            }
            match algorithm.verify_signature(self.spki.public_key, self.info, self.signature) {
                Ok(()) => return Ok(()),
                Err(_) => outcome = Err(RequestError::BadSignature),
            }
        }
        outcome
    }
}

/// Reads the extensions of the extensionRequest; other attributes are skipped, as PKCS #9 has many that request
/// nothing.
fn read_attributes<'a>(mut attributes: DerReader<'a>) -> Result<(Extensions<'a>, &'a [u8]), ParseError> {
    let mut found = (Extensions::default(), &[][..]);
    let mut seen: heapless::Vec<&'a [u8], MAX_ATTRIBUTES> = heapless::Vec::new();
    while !attributes.is_empty() {
        let mut one = attributes.enter(tag::SEQUENCE)?;
        let malformed = one.fault(ParseErrorKind::RequestAttribute);
        let oid = one.oid()?;
        if seen.contains(&oid) {
            return Err(malformed);
        }
        seen.push(oid).map_err(|_| malformed)?;
        let mut values = one.enter(tag::SET)?;
        one.end()?;
        // RFC 2986 section 4.1: SET SIZE(1..MAX)
        if values.is_empty() {
            return Err(malformed);
        }
        if oid == EXTENSION_REQUEST {
            let requested = values.clone().enter(tag::SEQUENCE)?.rest();
            // RFC 2985 section 5.4.2: single valued
            found = (Extensions::read(&mut values)?, requested);
        }
        while !values.is_empty() {
            values.tlv()?;
        }
    }
    Ok(found)
}
