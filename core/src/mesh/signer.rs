//! Verifies the signer of a mesh: a certificate that a held root issued for nothing else.

use pki_types::{SignatureVerificationAlgorithm, UnixTime, alg_id};

use super::signed_error::SignedMeshError;
use crate::path::{Budget, Limits, Place, Purpose, Trust, VerifiedPath};
use crate::x509::{Certificate, KeyHash, Name, Work};

/// id-at-serialNumber
const SERIAL_NUMBER: [u8; 3] = [0x55, 0x04, 0x05];

/// A verified signer.
#[derive(Clone, Copy, Debug)]
pub(super) struct Signer<'a> {
    pub(super) certificate: Certificate<'a>,
    pub(super) generation: u32,
    pub(super) key: KeyHash,
    /// The key that issued the certificate.
    pub(super) root: KeyHash,
    /// The key of the held root, if that one certified the other.
    pub(super) held_root: KeyHash,
}

impl<'a> Signer<'a> {
    /// Verifies a signer's certificate, which a held root issued itself, or another root whose certificate by a held one is
    /// `cross`.
    pub(super) fn verify(
        certificate: Certificate<'a>,
        cross: Option<&Certificate<'a>>,
        trust: &Trust<'_>,
        now: UnixTime,
    ) -> Result<Self, SignedMeshError<'a>> {
        if cross.is_some_and(|cross| !is_root(cross) || !is_issuer(cross, &certificate)) {
            return Err(SignedMeshError::NotItsRoot);
        }
        let trust = Trust { known_intermediates: &[], ..*trust };
        let mut budget = Budget::new(Limits { intermediates: 1, ..Limits::SERVER });
        let sent = cross.map_or(&[][..], core::slice::from_ref);
        let path = trust.verify(&certificate, sent, Purpose::MeshSigning, now, &mut budget);
        let path = path.map_err(SignedMeshError::Signer)?;
        let held_root = held_root(&path, &trust).ok_or(SignedMeshError::NotByRoot)?;
        let generation = generation(&certificate.subject()).ok_or(SignedMeshError::Generation)?;
        let root = path.issuer_key().map_or(held_root, KeyHash::of);
        let key = KeyHash::of(&certificate.subject_public_key_info());
        Ok(Self { certificate, generation, key, root, held_root })
    }

    /// Returns all keys on which the signature rests.
    pub(super) fn keys(&self) -> [KeyHash; 3] {
        [self.key, self.root, self.held_root]
    }

    /// Verifies a signature of ECDSA with P-256 and SHA-256 (RFC 7518 section 3.4).
    pub(super) fn verify_signature(
        &self,
        message: &[u8],
        signature: &[u8],
        algorithms: &[&dyn SignatureVerificationAlgorithm],
    ) -> Result<(), SignedMeshError<'a>> {
        let key = self.certificate.subject_public_key_info();
        if key.algorithm != alg_id::ECDSA_P256.as_ref() {
            return Err(SignedMeshError::Key);
        }
        let es256 = algorithms.iter().find(|algorithm| {
            algorithm.public_key_alg_id() == alg_id::ECDSA_P256 && algorithm.signature_alg_id() == alg_id::ECDSA_SHA256
        });
        let es256 = es256.ok_or(SignedMeshError::Key)?;
        let verified = es256.verify_signature(key.public_key, message, signature);
        verified.map_err(|_| SignedMeshError::BadSignature)
    }
}

/// Returns the key of the path's anchor, if nothing stands between it and the signer but the certificate of another root,
/// or `None` for a pin.
fn held_root(path: &VerifiedPath<'_>, trust: &Trust<'_>) -> Option<KeyHash> {
    let anchor = match path.issuers() {
        [Place::Anchor(anchor)] | [Place::Sent(0), Place::Anchor(anchor)] if !path.is_pinned() => anchor,
        _ => return None,
    };
    let anchor = trust.anchors.get(usize::from(*anchor))?;
    Some(KeyHash::of(&anchor.certificate().subject_public_key_info()))
}

/// Returns whether the name of a certificate's issuer is another certificate's subject. The signature is checked with the
/// path, unless a held root has the same key.
fn is_issuer(issuer: &Certificate<'_>, certificate: &Certificate<'_>) -> bool {
    let mut work = Work::new(Limits::SERVER.work);
    issuer.subject().matches_within(&certificate.issuer(), &mut work) == Ok(true)
}

/// Returns whether a certificate counts as that of a root: a CA with room for CAs below it, for every name and every
/// purpose. So a CA that a root issued without any of these limits can make signers too; that of a site has them.
pub(super) fn is_root(certificate: &Certificate<'_>) -> bool {
    let extensions = certificate.extensions();
    extensions.basic_constraints.is_some_and(|constraints| constraints.ca && constraints.path_len != Some(0))
        && extensions.name_constraints.is_none()
        && extensions.extended_key_usage.is_none()
}

/// Returns the generation of a signer: the only serialNumber of its subject, a number from 1 in decimal digits.
fn generation(subject: &Name<'_>) -> Option<u32> {
    let mut numbers = subject.attributes().filter(|attribute| attribute.oid == SERIAL_NUMBER);
    let number = numbers.next()?;
    if numbers.next().is_some() {
        return None;
    }
    let mut generation = 0_u32;
    for character in number.chars() {
        generation = generation.checked_mul(10)?.checked_add(character.ok()?.to_digit(10)?)?;
        // The first digit is not zero.
        if generation == 0 {
            return None;
        }
    }
    Some(generation).filter(|generation| *generation > 0)
}
