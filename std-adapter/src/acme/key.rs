//! Makes keys, certificate signing requests (RFC 2986) and challenge certificates (RFC 8737 section 3).

use edgetrust_core::config::KeyType;
use pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair};

use crate::token::{IssuingKey, KeyUri};

/// The limit ub-common-name of RFC 5280 appendix A.1.
const LONGEST_COMMON_NAME: usize = 64;

/// Generates a private key, PKCS #8 in DER.
pub(super) fn generate(kind: KeyType) -> Result<Vec<u8>, rcgen::Error> {
    let key = match kind {
        KeyType::P256 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256)?,
        KeyType::P384 => KeyPair::generate_for(&rcgen::PKCS_ECDSA_P384_SHA384)?,
        #[cfg(feature = "aws-lc-rs")]
        KeyType::Rsa2048 => KeyPair::generate_rsa_for(&rcgen::PKCS_RSA_SHA256, rcgen::RsaKeySize::_2048)?,
        #[cfg(not(feature = "aws-lc-rs"))]
        KeyType::Rsa2048 => return Err(rcgen::Error::KeyGenerationUnavailable),
    };
    Ok(key.serialize_der())
}

/// Returns a request for all names, signed with the key, or with the key in a token that it names. The first name is the
/// common name, unless too long for one.
pub(super) fn request(key: &[u8], domains: &[String]) -> Result<Vec<u8>, String> {
    let said = |error: rcgen::Error| error.to_string();
    let mut params = CertificateParams::new(domains.to_vec()).map_err(said)?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(first) = domains.first().filter(|name| name.len() <= LONGEST_COMMON_NAME) {
        params.distinguished_name.push(DnType::CommonName, first.as_str());
    }
    let request = match KeyUri::in_place_of(key) {
        Some(uri) => {
            let key = IssuingKey::find(uri).map_err(|error| error.to_string())?;
            let failed = |error| key.reason().map_or_else(|| said(error), |reason| reason.to_string());
            params.serialize_request(&key).map_err(failed)?
        }
        None => {
            let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key)).map_err(said)?;
            params.serialize_request(&key).map_err(said)?
        }
    };
    Ok(request.der().to_vec())
}

/// Returns a self-signed certificate with the digest of a key authorization, and the certificate's key.
pub(super) fn challenge_certificate(
    name: String,
    digest: &[u8],
) -> Result<(CertificateDer<'static>, PrivatePkcs8KeyDer<'static>), rcgen::Error> {
    let mut params = CertificateParams::new(vec![name])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    Ok((certificate.der().clone(), PrivatePkcs8KeyDer::from(key.serialize_der())))
}
