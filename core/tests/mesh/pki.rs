//! Certificates and texts for the tests.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use edgetrust_core::crypto::{ECDSA_P256_SHA256, read_ecdsa_signature};
use edgetrust_core::mesh::{MeshError, Offer, SignedMesh, SignedMeshError, scratch_length};
use edgetrust_core::path::{Anchor, DeniedKey, Trust};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::time::Utc;
use edgetrust_core::x509::{Certificate, KeyHash};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, SigningKey, date_time_ymd,
};

/// A CA with its key.
pub struct Ca {
    pub params: CertificateParams,
    pub key: KeyPair,
    pub der: Vec<u8>,
}

/// Returns what certificates of CAs have in common.
pub fn ca_params(name: &str, path_length: Option<u8>) -> CertificateParams {
    let mut params = leaf_params(name);
    params.is_ca = IsCa::Ca(path_length.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

/// Returns what certificates have in common: they are valid from 2026 to 2046.
pub fn leaf_params(name: &str) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.not_before = date_time_ymd(2026, 1, 1);
    params.not_after = date_time_ymd(2046, 1, 1);
    params
}

impl Ca {
    /// Makes a root, or another certificate that its own key signed.
    pub fn root(params: CertificateParams) -> Self {
        let key = KeyPair::generate().unwrap();
        let der = params.self_signed(&key).unwrap().der().to_vec();
        Self { params, key, der }
    }

    /// Issues a certificate.
    pub fn issue(&self, params: &CertificateParams, key: &KeyPair) -> Vec<u8> {
        params.signed_by(key, &Issuer::from_params(&self.params, &self.key)).unwrap().der().to_vec()
    }
}

/// The time of the verdicts.
pub const NOW: &str = "2027-01-01T00:00:00Z";

pub fn time(text: &str) -> UnixTime {
    Utc::parse(text).unwrap().0
}

pub fn key_of(der: &[u8]) -> KeyHash {
    KeyHash::of(&Certificate::from_der(der).unwrap().subject_public_key_info())
}

/// A signer of meshes: its certificates and its key.
pub struct Signer {
    pub x5c: Vec<Vec<u8>>,
    pub key: KeyPair,
}

/// Returns what certificates of signers of a generation have in common.
pub fn signer_params(generation: &str) -> CertificateParams {
    let mut params = leaf_params("Example Mesh signer");
    params.distinguished_name.push(DnType::CustomDnType(vec![2, 5, 4, 5]), generation);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 32_473, 6_984, 1])];
    params
}

impl Ca {
    /// Issues a certificate to a signer.
    pub fn signer(&self, params: &CertificateParams) -> Signer {
        let key = KeyPair::generate().unwrap();
        Signer { x5c: vec![self.issue(params, &key)], key }
    }
}

impl Signer {
    /// Returns the protected header.
    pub fn header(&self) -> String {
        let x5c: Vec<_> = self.x5c.iter().map(|der| format!("\"{}\"", base64(der))).collect();
        format!(r#"{{"alg":"ES256","typ":"edgetrust-mesh+jws","x5c":[{}]}}"#, x5c.join(","))
    }

    /// Signs a payload.
    pub fn sign(&self, payload: &str) -> String {
        self.sign_with_header(payload, &self.header())
    }

    /// Signs a payload with another header.
    pub fn sign_with_header(&self, payload: &str, header: &str) -> String {
        let (payload, protected) = (base64url(payload.as_bytes()), base64url(header.as_bytes()));
        let der = self.key.sign(format!("{protected}.{payload}").as_bytes()).unwrap();
        let (r, s) = read_ecdsa_signature(&der).unwrap();
        let signature = base64url(&[r, s].concat());
        format!(r#"{{"payload":"{payload}","protected":"{protected}","signature":"{signature}"}}"#)
    }
}

pub fn base64url(octets: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(octets)
}

/// Calls `judge` with roots that are held and keys that are denied.
pub fn with_trust<T>(roots: &[&[u8]], denied: &[KeyHash], judge: impl FnOnce(&Trust<'_>) -> T) -> T {
    let anchors: Vec<_> = roots.iter().map(|der| Anchor::new(Certificate::from_der(der).unwrap())).collect();
    let denied_keys: Vec<_> = denied.iter().copied().map(DeniedKey::from).collect();
    let algorithms = &[ECDSA_P256_SHA256];
    judge(&Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &denied_keys, algorithms })
}

/// Verifies a signed mesh where one root is held.
pub fn verified<T>(text: &str, judge: impl FnOnce(Result<SignedMesh<'_>, SignedMeshError<'_>>) -> T) -> T {
    let mut scratch = vec![0; scratch_length(text.len())];
    with_trust(&[&root().der], &[], |trust| judge(SignedMesh::verify(text.as_bytes(), &mut scratch, trust, time(NOW))))
}

/// Returns the error of a signed mesh where one root is held.
pub fn refusal(text: &str) -> String {
    verified(text, |signed| signed.map(|_| ()).expect_err("a refusal").to_string())
}

/// Calls `judge` with a signed mesh that is offered.
pub fn offered<T>(text: &str, trust: &Trust<'_>, judge: impl FnOnce(Result<Offer<'_>, MeshError<'_>>) -> T) -> T {
    let mut scratch = vec![0; scratch_length(text.len())];
    let signed = SignedMesh::verify(text.as_bytes(), &mut scratch, trust, time(NOW));
    judge(signed.unwrap_or_else(|error| panic!("{error}")).offer())
}

/// Returns one root, made once.
pub fn root() -> &'static Ca {
    static ROOT: OnceLock<Ca> = OnceLock::new();
    ROOT.get_or_init(|| Ca::root(ca_params("Root", Some(2))))
}

pub fn base64(octets: &[u8]) -> String {
    STANDARD.encode(octets)
}

/// Returns a hash of a key that nobody has, another one for each number.
pub fn hash(number: u32) -> String {
    format!("sha256:{number:08x}{number:056x}")
}

/// The text of a mesh of three sites. `@root` stands for the certificate of the root, `@hash1` for a hash.
const TEXT: &str = include_str!("../data/mesh.json");

/// Returns the text of a mesh of three sites, changed by replacing texts.
pub fn text(changes: &[(&str, &str)]) -> String {
    let mut text = TEXT.to_owned();
    for (from, to) in changes {
        assert_eq!(text.matches(from).count(), 1, "{from}");
        text = text.replace(from, to);
    }
    filled(&text)
}

/// Fills in certificates and hashes.
pub fn filled(text: &str) -> String {
    let mut text = text.replace("@root", &base64(&root().der));
    for number in 0..10 {
        text = text.replace(&format!("@hash{number}"), &hash(number));
    }
    text
}
