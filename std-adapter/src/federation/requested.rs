//! The certification request of a site's CA (PKCS #10, RFC 2986): made at the site, read where the root's key is.

use std::path::Path;

use edgetrust_core::request::CertificationRequest;
use edgetrust_core::x509::SubjectPublicKeyInfo;
use pki_types::alg_id;
use rcgen::{
    CertificateParams, DistinguishedName, DnType, KeyPair, PKCS_ECDSA_P256_SHA256, PKCS_ECDSA_P384_SHA384,
    PublicKeyData, SignatureAlgorithm,
};

use super::certificate::site_ca;
use super::key::{self, read_pem};
use super::mesh::issuer_key;
use crate::tls::provider;

/// The label of a request in PEM (RFC 7468 section 7).
const LABEL: &str = "CERTIFICATE REQUEST";

/// id-at-commonName
const COMMON_NAME: [u8; 3] = [0x55, 4, 3];

/// The public key of a site's CA, whose holder has signed the request.
pub(crate) struct RequestedKey {
    algorithm: &'static SignatureAlgorithm,
    point: Vec<u8>,
}

impl PublicKeyData for RequestedKey {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        self.algorithm
    }
}

/// Returns a request for a site's CA in PEM. What the CA may issue is decided where it is signed.
pub(super) fn write(site: &str, key: &KeyPair) -> Result<String, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, site_ca(site));
    let failed = |error: rcgen::Error| format!("the request cannot be made: {error}");
    params.serialize_request(key).map_err(failed)?.pem().map_err(failed)
}

impl RequestedKey {
    /// Reads the request of a site.
    ///
    /// # Errors
    /// Fails if the file is no request, or that of another site, or its signature or its kind of key is not accepted.
    pub(crate) fn read(file: &Path, site: &str) -> Result<Self, String> {
        let der = read_pem(file, LABEL)?;
        Self::judge(&der, site).map_err(|error| format!("{}: {error}", file.display()))
    }

    /// Returns whether an issuer of a mesh has this key.
    pub(super) fn is_of(&self, issuer: &str) -> bool {
        issuer_key("issuers", issuer).is_ok_and(|known| known == key::hash(self))
    }

    /// Takes the key of a certificate.
    ///
    /// # Errors
    /// Fails if its kind of key is not accepted.
    pub(super) fn of(spki: &SubjectPublicKeyInfo<'_>) -> Result<Self, String> {
        let algorithm = match spki.algorithm {
            algorithm if algorithm == alg_id::ECDSA_P256.as_ref() => &PKCS_ECDSA_P256_SHA256,
            algorithm if algorithm == alg_id::ECDSA_P384.as_ref() => &PKCS_ECDSA_P384_SHA384,
            _ => return Err("found a key of another kind, expected P-256 or P-384".to_owned()),
        };
        Ok(Self { algorithm, point: spki.public_key.to_vec() })
    }

    fn judge(der: &[u8], site: &str) -> Result<Self, String> {
        let request = CertificationRequest::from_der(der).map_err(|error| error.to_string())?;
        // RFC 2986 section 4.2: whoever requests has the key
        request.verify(provider().signature_verification_algorithms.all).map_err(|error| error.to_string())?;
        let (subject, expected) = (request.subject(), site_ca(site));
        let named = subject.attributes().find(|attribute| attribute.oid == COMMON_NAME);
        if named.is_none_or(|name| name.value != expected.as_bytes()) {
            return Err(format!("found a request of {subject}, expected one of CN={expected}"));
        }
        Self::of(&request.subject_public_key_info())
    }
}

/// Returns the key of a request as a certificate has it, if the file is one.
pub(super) fn key_of(file: &Path) -> Result<Vec<u8>, String> {
    let der = read_pem(file, LABEL)?;
    let request = CertificationRequest::from_der(&der).map_err(|error| format!("{}: {error}", file.display()))?;
    Ok(request.subject_public_key_info().der.to_vec())
}
