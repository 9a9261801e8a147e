//! Keys and certificate signing requests (RFC 2986), challenge certificates (RFC 8737 section 3).

use edgetrust_core::config::KeyType;
use pki_types::{CertificateDer, PrivatePkcs8KeyDer};
use rcgen::{CertificateParams, CustomExtension, DistinguishedName, DnType, KeyPair};

/// RFC 5280 appendix A.1, ub-common-name
const LONGEST_COMMON_NAME: usize = 64;

/// A new private key, PKCS #8 in DER.
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

/// A request for all names, signed with the key. The first name is the common name, unless it is longer than one may be.
pub(super) fn request(key: &[u8], domains: &[String]) -> Result<Vec<u8>, rcgen::Error> {
    let key = KeyPair::try_from(&PrivatePkcs8KeyDer::from(key))?;
    let mut params = CertificateParams::new(domains.to_vec())?;
    params.distinguished_name = DistinguishedName::new();
    if let Some(first) = domains.first().filter(|name| name.len() <= LONGEST_COMMON_NAME) {
        params.distinguished_name.push(DnType::CommonName, first.as_str());
    }
    Ok(params.serialize_request(&key)?.der().to_vec())
}

/// A self-signed certificate with the digest of a key authorization, and its key.
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
