//! Reasons for refusing a signed mesh.

use core::fmt;

use super::bounds::MAX_SIGNED_MESH;
use super::error::MeshError;
use crate::path::PathError;
use crate::x509::ParseError;

/// The reason for refusing a signed mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub enum SignedMeshError<'a> {
    /// The text is longer than [`MAX_SIGNED_MESH`], or one of its parts than it may be.
    TooLong {
        /// The octets found.
        octets: usize,
    },
    /// The caller's buffer is too short.
    Scratch {
        /// The octets needed.
        octets: usize,
    },
    /// The text is not a JWS with these members.
    Jws(MeshError<'a>),
    /// The member of this name is not base64url.
    Base64(&'static str),
    /// The protected header does not have the members that it must, or has others.
    Header(MeshError<'a>),
    /// The signature is not 64 octets.
    SignatureLength {
        /// The octets found.
        octets: usize,
    },
    /// A certificate of `x5c` is not in base64 with padding, or too long.
    CertificateBase64 {
        /// Its place in `x5c`.
        place: u8,
    },
    /// A certificate of `x5c` does not parse.
    Certificate {
        /// Its place in `x5c`.
        place: u8,
        /// The reason.
        error: ParseError,
    },
    /// The second certificate of `x5c` is not that of a root which issued the first.
    NotItsRoot,
    /// The signer's certificate is refused.
    Signer(PathError),
    /// The signer's certificate is a pin, or not by a root.
    NotByRoot,
    /// The signer's subject has no serialNumber that is a generation.
    Generation,
    /// The signer's key is not one of P-256, or no algorithm verifies its signatures.
    Key,
    /// The signature is not by the signer.
    BadSignature,
}

impl fmt::Display for SignedMeshError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::TooLong { octets } => {
                write!(f, "found {octets} octets, expected a signed mesh of at most {MAX_SIGNED_MESH}")
            }
            Self::Scratch { octets } => write!(f, "the buffer for decoding is too short: {octets} octets are needed"),
            Self::Jws(error) => write!(f, "not a flattened JWS (RFC 7515 section 7.2.2): {error}"),
            Self::Base64(member) => {
                write!(f, "{member}: expected base64url without padding (RFC 7515 section 2)")
            }
            Self::Header(error) => error.fmt(f),
            Self::SignatureLength { octets } => {
                write!(f, "signature: found {octets} octets, expected 64 (RFC 7518 section 3.4)")
            }
            Self::CertificateBase64 { place } => write!(
                f,
                "protected.x5c[{place}]: expected a certificate in base64 with padding (RFC 7515 section 4.1.6)"
            ),
            Self::Certificate { place, error } => {
                write!(f, "protected.x5c[{place}]: expected a certificate: {error}")
            }
            Self::NotItsRoot => f.write_str(
                "protected.x5c[1]: expected a certificate of the root that issued the first one: a CA with room for CAs below it, for every name and purpose",
            ),
            Self::Signer(PathError { depth: 0, kind }) => write!(f, "the signer's certificate: {kind}"),
            Self::Signer(PathError { depth, kind }) => write!(f, "certificate {depth} above the signer's: {kind}"),
            Self::NotByRoot => f.write_str("the signer's certificate: not issued by a root that is held"),
            Self::Generation => f.write_str(
                "the signer's certificate: expected its generation, a number from 1, as the only serialNumber of its subject",
            ),
            Self::Key => f.write_str("the signer's certificate: expected a key of P-256 (RFC 7518 section 3.4)"),
            Self::BadSignature => f.write_str("the signature was not made by the signer's key"),
        }
    }
}

impl core::error::Error for SignedMeshError<'_> {}
