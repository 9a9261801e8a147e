//! Reads and writes the answer to a request: CMS SignedData without a signer or content, which only carries
//! certificates (RFC 7030 section 4.1.3, RFC 5652 section 5.1).

use super::RequestError;
use super::write::Backward;
use crate::x509::reader::{DerReader, tag};
use crate::x509::{ParseError, ParseErrorKind};

/// id-signedData (RFC 5652 section 5.1)
const SIGNED_DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x02];
/// id-data (RFC 5652 section 4)
const DATA: [u8; 9] = [0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];
/// The start of SignedData, before the certificates: version 1, no digest algorithm, id-data without content.
const BEFORE: [u8; 18] =
    [0x02, 0x01, 0x01, 0x31, 0x00, 0x30, 0x0b, 0x06, 0x09, 0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x07, 0x01];

/// The certificates of a bag, in an order without meaning; each is DER that looks like a certificate and was not
/// parsed.
#[derive(Clone, Debug)]
pub struct CertsOnly<'a>(DerReader<'a>);

impl<'a> Iterator for CertsOnly<'a> {
    type Item = &'a [u8];

    fn next(&mut self) -> Option<&'a [u8]> {
        self.0.require(tag::SEQUENCE).ok().map(|certificate| certificate.whole)
    }
}

/// Reads a bag of certificates; no octets may follow the bag.
///
/// # Errors
/// If the bag is malformed, or holds more than certificates: content, a signer, or certificates of another kind than
/// X.509.
pub fn certs_only(der: &[u8]) -> Result<CertsOnly<'_>, ParseError> {
    let mut input = DerReader::new(der);
    let mut info = input.enter(tag::SEQUENCE)?;
    input.end()?;
    let other = info.fault(ParseErrorKind::CertsOnly);
    if info.oid()? != SIGNED_DATA {
        return Err(other);
    }
    let mut explicit = info.enter(tag::context_constructed(0))?;
    info.end()?;
    let mut data = explicit.enter(tag::SEQUENCE)?;
    explicit.end()?;

    data.require(tag::INTEGER)?;
    data.require(tag::SET)?;
    let mut content = data.enter(tag::SEQUENCE)?;
    let other = content.fault(ParseErrorKind::CertsOnly);
    if content.oid()? != DATA || !content.is_empty() {
        return Err(other);
    }
    let certificates = match data.optional(tag::context_constructed(0))? {
        Some(set) => data.inside(&set)?,
        None => return Err(data.fault(ParseErrorKind::CertsOnly)),
    };
    // RFC 5652 section 5.1: revocation lists are allowed
    data.optional(tag::context_constructed(1))?;
    let other = data.fault(ParseErrorKind::CertsOnly);
    if !data.require(tag::SET)?.value.is_empty() {
        return Err(other);
    }
    data.end()?;

    let mut each = certificates.clone();
    while !each.is_empty() {
        // RFC 5652 section 10.2.2: all other choices are obsolete or no X.509 certificate
        each.require(tag::SEQUENCE).map_err(|error| ParseError { kind: ParseErrorKind::CertsOnly, ..error })?;
    }
    Ok(CertsOnly(certificates))
}

/// Writes a bag of certificates, each whole DER, into `out`. The bag may begin after the start of `out`.
///
/// # Errors
/// If a certificate is not one whole SEQUENCE in DER, or `out` is too small: 64 octets beside the certificates are
/// enough.
pub fn write_certs_only<'b>(certificates: &[&[u8]], out: &'b mut [u8]) -> Result<&'b [u8], RequestError> {
    let mut bag = Backward::new(out);
    let end = bag.start;
    // No signer.
    bag.prepend(&[tag::SET, 0])?;
    let certificates_end = bag.start;
    for certificate in certificates.iter().rev() {
        let mut reader = DerReader::new(certificate);
        reader.require(tag::SEQUENCE)?;
        reader.end()?;
        bag.prepend(certificate)?;
    }
    bag.header(tag::context_constructed(0), certificates_end)?;
    bag.prepend(&BEFORE)?;
    bag.header(tag::SEQUENCE, end)?;
    bag.header(tag::context_constructed(0), end)?;
    bag.prepend(&SIGNED_DATA)?;
    let oid_end = bag.start.saturating_add(SIGNED_DATA.len());
    bag.header(tag::OBJECT_IDENTIFIER, oid_end)?;
    bag.header(tag::SEQUENCE, end)?;
    let Backward { out, start } = bag;
    out.get(start..).ok_or(RequestError::Space)
}
