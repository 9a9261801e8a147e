//! Certificates and texts for the tests.

use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
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

/// The text of a mesh of three sites. `@root` stands for the certificate of the root.
const TEXT: &str = r#"{
  "mesh": "Example Mesh", "sequence": 7, "previous": "@hash9", "not_after": "2027-06-01T00:00:00Z",
  "roots": ["@root"],
  "sites": [
    {"name": "c", "domains": ["c.example"], "issuers": ["@hash3"], "gateways": []},
    {"name": "a", "domains": ["a.example", "a.test"], "issuers": ["@hash1"], "gateways": [
      {"host": "gateway.a.example", "address": "192.0.2.7", "ports": {"feed": 9443}},
      {"host": "a.test"}
    ]},
    {"name": "b", "domains": ["b.example"], "issuers": ["@hash2", "@root"], "gateways": [
      {"host": "gateway.b.example"}
    ]}
  ],
  "services": [{"name": "feed", "port": 8443}, {"name": "nats", "port": 7443}],
  "links": [
    {"service": "feed", "from": ["a"], "to": ["b", "c"]},
    {"service": "nats", "from": ["*"], "to": ["a"]}
  ],
  "denied_keys": [{"key": "@hash8", "reason": "laptop stolen", "until": "2027-01-01T00:00:00Z"}]
}"#;

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
