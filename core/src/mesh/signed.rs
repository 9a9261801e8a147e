//! A mesh with the signature of its signer.

use pki_types::UnixTime;

use super::base64::{Alphabet, decode, decoded_length};
use super::bounds::{MAX_MESH, MAX_PROTECTED, MAX_SIGNED_MESH};
use super::certificate::EncodedCertificate;
use super::edition::{Digest, Edition};
use super::error::MeshError;
use super::mesh::Mesh;
use super::offer::Offer;
use super::read::{List, Reader};
use super::signed_error::SignedMeshError;
use super::signer::Signer;
use crate::crypto::write_ecdsa_signature;
use crate::json::{Found, Token};
use crate::path::Trust;
use crate::x509::Certificate;

/// Proof that a held root's signer signed a mesh. Only [`SignedMesh::verify`] makes one.
///
/// A signed mesh is a JWS in the flattened JSON serialization (RFC 7515 section 7.2.2), with the members `payload`,
/// `protected` and `signature` and no others. The payload is the text of a [`Mesh`] with `not_after`. The protected
/// header has these members and no others:
///
/// | member | value | source |
/// |---|---|---|
/// | `alg` | `ES256` | RFC 7518 section 3.4 |
/// | `typ` | `edgetrust-mesh+jws` | RFC 7515 section 4.1.9 |
/// | `x5c` | the signer's certificate; after it, one by a held root for the key of the root that issued the first, if that root is not held | RFC 7515 section 4.1.6 |
///
/// The signer's certificate is issued by a root and by no CA below one. Its extended key usage is
/// [`MESH_SIGNING`](crate::path::MESH_SIGNING) alone. The serialNumber of its subject is the signer's generation: a number
/// from 1 in decimal digits, which the root raises with each new signer.
#[derive(Clone, Debug)]
pub struct SignedMesh<'a> {
    payload: &'a [u8],
    signer: Signer<'a>,
}

/// The members of a JWS, encoded.
#[derive(Default)]
struct Jws<'a> {
    payload: &'a str,
    protected: &'a str,
    signature: &'a str,
}

/// The octets of buffer that decoding a signed mesh of this length takes.
pub const fn scratch_length(text: usize) -> usize {
    let header = if text < MAX_PROTECTED { text } else { MAX_PROTECTED };
    text.saturating_add(header.saturating_mul(2))
}

impl<'a> SignedMesh<'a> {
    /// Verifies a signed mesh. The anchors of `trust` are the roots that are held, its denied keys those of the mesh in
    /// force; known intermediates are not looked at. `scratch` has at least [`scratch_length`] octets.
    ///
    /// A mesh that was taken may be verified again as of the time when it was taken: its signer may have expired since.
    ///
    /// # Errors
    /// The first error, in this order: sizes, members, protected header, signer, signature. The payload is decoded after
    /// all of these, and parsed by [`SignedMesh::offer`].
    pub fn verify(
        text: &'a [u8],
        scratch: &'a mut [u8],
        trust: &Trust<'_>,
        now: UnixTime,
    ) -> Result<Self, SignedMeshError<'a>> {
        if text.len() > MAX_SIGNED_MESH {
            return Err(SignedMeshError::TooLong { octets: text.len() });
        }
        let needed = scratch_length(text.len());
        if scratch.len() < needed {
            return Err(SignedMeshError::Scratch { octets: needed });
        }
        let jws = Jws::read(text).map_err(SignedMeshError::Jws)?;
        for (part, most) in [(jws.payload, MAX_MESH), (jws.protected, decoded_length(MAX_PROTECTED))] {
            if decoded_length(part.len()) > most {
                return Err(SignedMeshError::TooLong { octets: text.len() });
            }
        }
        let signature = jws.signature()?;
        let mut scratch = Scratch(scratch);
        let header = scratch.decode(jws.protected, Alphabet::Url).ok_or(SignedMeshError::Base64("protected"))?;
        let x5c = read_header(header).map_err(SignedMeshError::Header)?;
        let signer = signer(&x5c, &mut scratch, trust, now)?;
        // RFC 7515 section 5.1: the JWS Signing Input
        let Scratch(scratch) = scratch;
        let signed = write_signing_input(&jws, scratch).ok_or(SignedMeshError::Scratch { octets: needed })?;
        signer.verify_signature(signed, &signature, trust.algorithms)?;
        let payload = decode(jws.payload.as_bytes(), Alphabet::Url, scratch);
        Ok(Self { payload: payload.ok_or(SignedMeshError::Base64("payload"))?, signer })
    }

    /// Returns the octets that were signed: the text of the mesh.
    pub fn payload(&self) -> &'a [u8] {
        self.payload
    }

    /// Returns the signer's certificate.
    pub fn signer(&self) -> &Certificate<'a> {
        &self.signer.certificate
    }

    /// Returns the generation of the signer.
    pub fn generation(&self) -> u32 {
        self.signer.generation
    }

    /// Parses the mesh.
    ///
    /// # Errors
    /// As [`Mesh::parse`], and if the mesh has no `not_after`.
    pub fn offer(&self) -> Result<Offer<'a>, MeshError<'a>> {
        let mesh = Mesh::parse(self.payload)?;
        if mesh.not_after().is_none() {
            let reader = Reader::new(self.payload);
            return Err(reader.refuse_member("not_after", 0, Found::Nothing, "this key in a mesh that is signed"));
        }
        let (generation, sequence) = (self.signer.generation, mesh.sequence());
        let edition = Edition { generation, sequence, digest: Digest::of(self.payload) };
        Ok(Offer { mesh, edition, signer: Some(self.signer.keys()) })
    }
}

impl<'a> Jws<'a> {
    const KEYS: &'static [&'static str] = &["payload", "protected", "signature"];

    fn read(text: &'a [u8]) -> Result<Self, MeshError<'a>> {
        let mut jws = Self::default();
        let mut reader = Reader::new(text);
        reader.object(Self::KEYS, 3, |reader, key| {
            let member = reader.text("text in quotes", Some)?;
            match key {
                "payload" => jws.payload = member,
                "protected" => jws.protected = member,
                _ => jws.signature = member,
            }
            Ok(())
        })?;
        reader.require(Token::End, "nothing after the last }")?;
        Ok(jws)
    }

    /// Returns the signature as the verifiers of X.509 take it: as ECDSA-Sig-Value (RFC 3279 section 2.2.3). A JWS has
    /// both numbers in 32 octets each (RFC 7518 section 3.4).
    fn signature(&self) -> Result<crate::crypto::EcdsaSignature, SignedMeshError<'a>> {
        let octets = decoded_length(self.signature.len());
        if octets != 64 {
            return Err(SignedMeshError::SignatureLength { octets });
        }
        let mut out = [0; 64];
        decode(self.signature.as_bytes(), Alphabet::Url, &mut out).ok_or(SignedMeshError::Base64("signature"))?;
        let numbers = out.split_first_chunk().and_then(|(r, s)| write_ecdsa_signature(r, s.first_chunk()?));
        numbers.ok_or(SignedMeshError::BadSignature)
    }
}

/// Reads the protected header and returns `x5c`.
fn read_header(header: &[u8]) -> Result<List<'_, EncodedCertificate<'_>>, MeshError<'_>> {
    const KEYS: &[&str] = &["alg", "typ", "x5c"];
    const ONE_OR_TWO: &str = "one certificate or two";
    let mut reader = Reader::of_member("protected", header);
    let mut x5c = List::absent();
    reader.object(KEYS, KEYS.len(), |reader, key| {
        match key {
            // RFC 7515 section 4.1.1
            "alg" => reader.text("\"ES256\"", |text| (text == "ES256").then_some(()))?,
            "typ" => reader.text("\"edgetrust-mesh+jws\"", |text| (text == "edgetrust-mesh+jws").then_some(()))?,
            _ => {
                x5c = reader.list(2, ONE_OR_TWO)?;
                if x5c.iter().next().is_none() {
                    return Err(reader.refuse(Found::Nothing, ONE_OR_TWO));
                }
            }
        }
        Ok(())
    })?;
    reader.require(Token::End, "nothing after the last }")?;
    Ok(x5c)
}

/// Decodes the certificates of `x5c`, the signer's first, and verifies the signer.
fn signer<'a>(
    x5c: &List<'a, EncodedCertificate<'a>>,
    scratch: &mut Scratch<'a>,
    trust: &Trust<'_>,
    now: UnixTime,
) -> Result<Signer<'a>, SignedMeshError<'a>> {
    let mut certificates = heapless::Vec::<Certificate<'a>, 2>::new();
    for (place, encoded) in (0_u8..).zip(x5c.iter()) {
        let der = scratch.decode(encoded.as_str(), Alphabet::Standard);
        let der = der.ok_or(SignedMeshError::CertificateBase64 { place })?;
        let certificate = Certificate::from_der(der);
        let certificate = certificate.map_err(|error| SignedMeshError::Certificate { place, error })?;
        let pushed = certificates.push(certificate).is_ok();
        debug_assert!(pushed, "the list has at most two");
    }
    let signer = certificates.first().ok_or(SignedMeshError::NotByRoot)?;
    Signer::verify(*signer, certificates.get(1), trust, now)
}

/// Writes what is signed (RFC 7515 section 5.1) to `scratch`.
fn write_signing_input<'s>(jws: &Jws<'_>, scratch: &'s mut [u8]) -> Option<&'s [u8]> {
    let (protected, rest) = scratch.split_at_mut_checked(jws.protected.len())?;
    protected.copy_from_slice(jws.protected.as_bytes());
    let (dot, rest) = rest.split_first_mut()?;
    *dot = b'.';
    rest.get_mut(..jws.payload.len())?.copy_from_slice(jws.payload.as_bytes());
    scratch.get(..jws.protected.len().checked_add(1)?.checked_add(jws.payload.len())?)
}

/// A buffer from whose front decoded octets are taken.
struct Scratch<'a>(&'a mut [u8]);

impl<'a> Scratch<'a> {
    fn decode(&mut self, encoded: &str, alphabet: Alphabet) -> Option<&'a [u8]> {
        let (out, rest) = core::mem::take(&mut self.0).split_at_mut_checked(decoded_length(encoded.len()))?;
        self.0 = rest;
        decode(encoded.as_bytes(), alphabet, out)
    }
}
