//! Signs handshakes with a key in a token.

use std::sync::Arc;

use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, SubjectPublicKeyInfoDer};
use rustls::sign::{CertifiedKey, Signer, SigningKey};
use rustls::{SignatureAlgorithm, SignatureScheme};

use super::provider;
use crate::token::{Hash, KeyKind, Scheme, TokenError, TokenKey};

/// The schemes of TLS that keys of a kind sign with, the preferred one first (RFC 8446 section 4.2.3).
fn schemes(kind: KeyKind) -> &'static [(SignatureScheme, Scheme)] {
    match kind {
        KeyKind::P256 => &[(SignatureScheme::ECDSA_NISTP256_SHA256, Scheme::Ecdsa)],
        KeyKind::P384 => &[(SignatureScheme::ECDSA_NISTP384_SHA384, Scheme::Ecdsa)],
        KeyKind::Rsa => &[
            (SignatureScheme::RSA_PSS_SHA256, Scheme::RsaPss(Hash::Sha256)),
            (SignatureScheme::RSA_PSS_SHA384, Scheme::RsaPss(Hash::Sha384)),
            (SignatureScheme::RSA_PSS_SHA512, Scheme::RsaPss(Hash::Sha512)),
            (SignatureScheme::RSA_PKCS1_SHA256, Scheme::RsaPkcs1(Hash::Sha256)),
            (SignatureScheme::RSA_PKCS1_SHA384, Scheme::RsaPkcs1(Hash::Sha384)),
            (SignatureScheme::RSA_PKCS1_SHA512, Scheme::RsaPkcs1(Hash::Sha512)),
        ],
    }
}

/// A key in a token with the certificate that it belongs to.
#[derive(Clone, Debug)]
struct Certified {
    key: TokenKey,
    certificate: CertificateDer<'static>,
}

/// Returns a chain with its key in a token, which signs once to show that it belongs to the chain's first certificate.
///
/// # Errors
/// Returns the token's error, or that the key is another one's.
pub(super) fn certify(chain: Vec<CertificateDer<'static>>, key: TokenKey) -> Result<CertifiedKey, TokenError> {
    let Some(certificate) = chain.first().cloned() else {
        return Err(TokenError::Key(format!("{key}: found no certificate for the key, expected one")));
    };
    let certified = Certified { certificate, key };
    let (scheme, signed_by) = *schemes(certified.key.kind()).first().ok_or_else(|| certified.foreign())?;
    // The message is of no use elsewhere: handshakes sign other ones (RFC 8446 section 4.4.3).
    certified.sign(scheme, signed_by, b"edgetrust: the key belongs to its certificate")?;
    Ok(CertifiedKey::new(chain, Arc::new(certified)))
}

impl Certified {
    fn foreign(&self) -> TokenError {
        TokenError::Key(format!("{}: the key does not belong to the first certificate", self.key))
    }

    /// Signs, and verifies the signature by the certificate: the token may have another key under the same name by now,
    /// and a faulty signature can tell an RSA key.
    fn sign(&self, scheme: SignatureScheme, signed_by: Scheme, message: &[u8]) -> Result<Vec<u8>, TokenError> {
        let signature = self.key.sign(signed_by, message)?;
        let certificate = Certificate::from_der(&self.certificate).map_err(|_| self.foreign())?;
        let public = certificate.subject_public_key_info();
        let algorithms = provider().signature_verification_algorithms;
        let mut fitting = algorithms.mapping.iter().filter(|(name, _)| *name == scheme).flat_map(|(_, all)| all.iter());
        let verifies = fitting.any(|algorithm| {
            algorithm.public_key_alg_id().as_ref() == public.algorithm
                && algorithm.verify_signature(public.public_key, message, &signature).is_ok()
        });
        if verifies { Ok(signature) } else { Err(self.foreign()) }
    }
}

impl SigningKey for Certified {
    fn choose_scheme(&self, offered: &[SignatureScheme]) -> Option<Box<dyn Signer>> {
        let (scheme, signed_by) = *schemes(self.key.kind()).iter().find(|(scheme, _)| offered.contains(scheme))?;
        Some(Box::new(TokenSigner { certified: self.clone(), scheme, signed_by }))
    }

    fn public_key(&self) -> Option<SubjectPublicKeyInfoDer<'_>> {
        let certificate = Certificate::from_der(&self.certificate).ok()?;
        Some(certificate.subject_public_key_info().der.to_vec().into())
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        match self.key.kind() {
            KeyKind::P256 | KeyKind::P384 => SignatureAlgorithm::ECDSA,
            KeyKind::Rsa => SignatureAlgorithm::RSA,
        }
    }
}

/// A key in a token with the scheme that a handshake agreed on.
#[derive(Debug)]
struct TokenSigner {
    certified: Certified,
    scheme: SignatureScheme,
    signed_by: Scheme,
}

impl Signer for TokenSigner {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rustls::Error> {
        let signed = self.certified.sign(self.scheme, self.signed_by, message);
        signed.map_err(|error| rustls::Error::General(error.to_string()))
    }

    fn scheme(&self) -> SignatureScheme {
        self.scheme
    }
}
