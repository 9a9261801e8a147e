//! Writes a request. A length is known only once its contents are written, so a request is written from its end.

use super::RequestError;
use super::read::EXTENSION_REQUEST;
use crate::x509::reader::{DerReader, tag};
use crate::x509::{Certificate, GeneralNames, Name};

/// The length of an uncompressed point of P-256, in octets (RFC 5480 section 2.2).
pub const P256_POINT: usize = 65;
/// The greatest length of an ECDSA-Sig-Value of P-256, in octets: a SEQUENCE of two INTEGERs of up to 33 octets
/// (RFC 5480 appendix A).
pub const P256_SIGNATURE: usize = 72;

/// The SubjectPublicKeyInfo of P-256 up to the point (RFC 5480 section 2): id-ecPublicKey, secp256r1, a BIT STRING
/// without unused bits.
const P256_KEY: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce,
    0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];
/// ecdsa-with-SHA256 (RFC 5758 section 3.2)
const ECDSA_SHA256: [u8; 12] = [0x30, 0x0a, 0x06, 0x08, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x04, 0x03, 0x02];
/// The object identifier subjectAltName (RFC 5280 section 4.2.1.6)
const SUBJECT_ALT_NAME: [u8; 5] = [0x06, 0x03, 0x55, 0x1d, 17];
/// critical TRUE (RFC 5280 section 4.2)
const CRITICAL: [u8; 3] = [0x01, 0x01, 0xff];

/// A device's request for a P-256 key of its own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NewRequest<'a> {
    /// The subject, a whole Name in DER.
    pub subject: &'a [u8],
    /// The alternative names, whole GeneralNames in DER as in the value of the subjectAltName extension.
    pub subject_alt_name: Option<&'a [u8]>,
    /// The key: an uncompressed point of P-256, [`P256_POINT`] octets.
    pub public_key: &'a [u8],
}

impl<'a> NewRequest<'a> {
    /// Creates a request that may replace `current` (RFC 7030 section 4.2.2).
    pub fn like(current: &Certificate<'a>, public_key: &'a [u8]) -> Self {
        Self {
            subject: current.subject_der(),
            subject_alt_name: current.extensions().subject_alt_name.map(|names| names.der()),
            public_key,
        }
    }

    /// Writes the request into `out`; `sign` returns the ECDSA-Sig-Value over the SHA-256 of its argument, made with
    /// the request's key. The request may begin after the start of `out`.
    ///
    /// # Errors
    /// If a field is malformed, `sign` returns none, or `out` is too small: 256 octets beside subject and names are
    /// enough.
    pub fn write<'b>(
        &self,
        out: &'b mut [u8],
        sign: impl FnOnce(&[u8]) -> Option<heapless::Vec<u8, P256_SIGNATURE>>,
    ) -> Result<&'b [u8], RequestError> {
        self.check()?;
        // The signature follows the octets that it covers, and its length is known last.
        let tail = ECDSA_SHA256.len().saturating_add(3).saturating_add(P256_SIGNATURE);
        let middle = out.len().checked_sub(tail).ok_or(RequestError::Space)?;
        let (before, after) = out.split_at_mut_checked(middle).ok_or(RequestError::Space)?;
        let mut info = Backward::new(before);
        self.info(&mut info)?;
        let signature = sign(info.written()).ok_or(RequestError::NotSigned)?;
        let start = info.start;

        let mut at = 0_usize;
        // The BIT STRING is short enough for a length of one octet (X.690 section 8.1.3.4), and has no unused bits.
        let bits = u8::try_from(signature.len().saturating_add(1)).map_err(|_| RequestError::Space)?;
        for octet in ECDSA_SHA256.iter().chain(&[tag::BIT_STRING, bits, 0]).chain(&signature) {
            *after.get_mut(at).ok_or(RequestError::Space)? = *octet;
            at = at.saturating_add(1);
        }
        let end = middle.saturating_add(at);
        let mut request = Backward { out, start };
        request.header(tag::SEQUENCE, end)?;
        let start = request.start;
        out.get(start..end).ok_or(RequestError::Space)
    }

    fn check(&self) -> Result<(), RequestError> {
        let mut subject = DerReader::new(self.subject);
        Name::read(&mut subject)?;
        subject.end()?;
        if let Some(names) = self.subject_alt_name {
            let mut names = DerReader::new(names);
            GeneralNames::read(&mut names)?;
            names.end()?;
        }
        match self.public_key {
            [0x04, ..] if self.public_key.len() == P256_POINT => Ok(()),
            _ => Err(RequestError::PublicKey),
        }
    }

    /// Writes CertificationRequestInfo (RFC 2986 section 4.1), last field first.
    fn info(&self, out: &mut Backward<'_>) -> Result<(), RequestError> {
        let end = out.start;
        if let Some(names) = self.subject_alt_name {
            out.prepend(names)?;
            out.header(tag::OCTET_STRING, end)?;
            // RFC 5280 section 4.2.1.6: critical where the subject is empty
            if self.subject == [tag::SEQUENCE, 0] {
                out.prepend(&CRITICAL)?;
            }
            out.prepend(&SUBJECT_ALT_NAME)?;
            // Extension, Extensions, and the values of the attribute
            out.header(tag::SEQUENCE, end)?;
            out.header(tag::SEQUENCE, end)?;
            out.header(tag::SET, end)?;
            out.prepend(&EXTENSION_REQUEST)?;
            let oid = out.start.saturating_add(EXTENSION_REQUEST.len());
            out.header(tag::OBJECT_IDENTIFIER, oid)?;
            out.header(tag::SEQUENCE, end)?;
        }
        out.header(tag::context_constructed(0), end)?;
        out.prepend(self.public_key)?;
        out.prepend(&P256_KEY)?;
        out.prepend(self.subject)?;
        out.prepend(&[tag::INTEGER, 1, 0])?;
        out.header(tag::SEQUENCE, end)
    }
}

/// A buffer that is filled from its end.
pub(super) struct Backward<'b> {
    pub(super) out: &'b mut [u8],
    /// The start of the written octets.
    pub(super) start: usize,
}

impl<'b> Backward<'b> {
    pub(super) fn new(out: &'b mut [u8]) -> Self {
        let start = out.len();
        Self { out, start }
    }

    pub(super) fn written(&self) -> &[u8] {
        self.out.get(self.start..).unwrap_or(&[])
    }

    pub(super) fn prepend(&mut self, octets: &[u8]) -> Result<(), RequestError> {
        let start = self.start.checked_sub(octets.len()).ok_or(RequestError::Space)?;
        let place = self.out.get_mut(start..self.start).ok_or(RequestError::Space)?;
        for (to, from) in place.iter_mut().zip(octets) {
            *to = *from;
        }
        self.start = start;
        Ok(())
    }

    /// Writes tag and length before the octets up to `end` (X.690 section 8.1.3).
    pub(super) fn header(&mut self, tag: u8, end: usize) -> Result<(), RequestError> {
        let length = end.saturating_sub(self.start);
        let [.., high, middle, low] = u32::try_from(length).map_err(|_| RequestError::Space)?.to_be_bytes();
        match length {
            0..=0x7f => self.prepend(&[tag, low]),
            0x80..=0xff => self.prepend(&[tag, 0x81, low]),
            0x100..=0xffff => self.prepend(&[tag, 0x82, middle, low]),
            0x1_0000..=0xff_ffff => self.prepend(&[tag, 0x83, high, middle, low]),
            _ => Err(RequestError::Space),
        }
    }
}
