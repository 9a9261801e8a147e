//! Certificates and keys as a mesh's text has them.

use super::base64::{Alphabet, decode, decoded_length};
use super::bounds::MAX_CERTIFICATE;
use super::error::MeshError;
use super::read::{Element, Reader};
use crate::json::Token;
use crate::text::contains;
use crate::x509::{Certificate, KeyHash};

/// A certificate in base64, padded (RFC 4648 section 4).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct EncodedCertificate<'a>(&'a str);

impl<'a> EncodedCertificate<'a> {
    /// Returns the base64.
    pub fn as_str(&self) -> &'a str {
        self.0
    }

    /// Returns the octets of the certificate's DER.
    pub(super) fn length(&self) -> usize {
        decoded_length(self.0.trim_end_matches('=').len())
    }

    /// Decodes the certificate to `out`, for which [`MAX_CERTIFICATE`] octets suffice, and returns its DER; `None` if
    /// `out` is too short.
    pub fn decode<'o>(&self, out: &'o mut [u8]) -> Option<&'o [u8]> {
        decode(self.0.as_bytes(), Alphabet::Standard, out)
    }

    /// Returns the hash of the certificate's key; `None` if the certificate does not parse.
    pub(super) fn key_hash(&self) -> Option<KeyHash> {
        let mut out = [0; MAX_CERTIFICATE];
        let certificate = Certificate::from_der(self.decode(&mut out)?).ok()?;
        Some(KeyHash::of(&certificate.subject_public_key_info()))
    }
}

impl<'a> Element<'a> for EncodedCertificate<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        reader.text("a certificate in base64", |text| Some(Self(text)))
    }
}

/// The key of a site's CA, by a certificate or by its hash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SiteIssuer<'a> {
    /// A certificate of the CA.
    Certificate(EncodedCertificate<'a>),
    /// The hash of its key.
    Key(KeyHash),
}

impl SiteIssuer<'_> {
    /// Returns the hash of the key; `None` if it is that of a certificate that does not parse.
    pub(super) fn key_hash(&self) -> Option<KeyHash> {
        match self {
            Self::Certificate(certificate) => certificate.key_hash(),
            Self::Key(hash) => Some(*hash),
        }
    }
}

/// A site's issuer with its place in the text.
#[derive(Clone, Copy, Debug)]
pub(super) struct IssuerAt<'a> {
    pub(super) issuer: SiteIssuer<'a>,
    pub(super) offset: usize,
}

impl<'a> Element<'a> for IssuerAt<'a> {
    fn read(reader: &mut Reader<'a>) -> Result<Self, MeshError<'a>> {
        let issuer =
            reader.value("a certificate in base64, or sha256: and 64 hexadecimal digits", |token| match token {
                Token::Text(text) if contains(text, b':') => KeyHash::parse(text).map(SiteIssuer::Key),
                Token::Text(text) => Some(SiteIssuer::Certificate(EncodedCertificate(text))),
                _ => None,
            })?;
        Ok(Self { issuer, offset: reader.token_offset() })
    }
}
