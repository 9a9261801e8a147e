//! Makes chains of any shape with rcgen: the anchor first, the leaf last.

use std::net::IpAddr;
use std::sync::OnceLock;

use edgetrust_core::x509::{Certificate, KeyHash, ParseError};
use pki_types::CertificateDer;
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints, SanType,
};
use time::{Duration, OffsetDateTime};

/// The shape of one certificate of a chain.
#[derive(Clone, Debug)]
pub struct Shape {
    /// The start and end of validity, in days from the time of the verdict.
    pub days: (i64, i64),
    /// The CA's path length. `None`: no CA. `Some(None)`: a CA without a path length.
    pub ca: Option<Option<u8>>,
    /// The key usages; if empty, the extension is absent.
    pub key_usages: Vec<KeyUsagePurpose>,
    /// The extended key usages; if empty, the extension is absent.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    /// The DNS names.
    pub names: Vec<String>,
    /// The IP addresses.
    pub addresses: Vec<IpAddr>,
    /// The permitted DNS subtrees; empty: none.
    pub permitted: Vec<String>,
    /// The excluded DNS subtrees; empty: none.
    pub excluded: Vec<String>,
    /// True if the signature is by a key other than the issuer's.
    pub forged: bool,
}

impl Shape {
    /// Returns the shape of a valid CA.
    pub fn ca() -> Self {
        let key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        Self { ca: Some(None), key_usages, ..Self::leaf(&[]) }
    }

    /// Returns the shape of a valid leaf.
    pub fn leaf(names: &[&str]) -> Self {
        Self {
            days: (-1, 1),
            ca: None,
            key_usages: Vec::new(),
            purposes: Vec::new(),
            names: names.iter().map(|name| (*name).to_owned()).collect(),
            addresses: Vec::new(),
            permitted: Vec::new(),
            excluded: Vec::new(),
            forged: false,
        }
    }

    fn params(&self, place: usize, now: OffsetDateTime) -> CertificateParams {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, format!("Certificate {place}"));
        params.not_before = now + Duration::days(self.days.0);
        params.not_after = now + Duration::days(self.days.1);
        params.is_ca = match self.ca {
            None => IsCa::NoCa,
            Some(None) => IsCa::Ca(BasicConstraints::Unconstrained),
            Some(Some(below)) => IsCa::Ca(BasicConstraints::Constrained(below)),
        };
        params.key_usages.clone_from(&self.key_usages);
        params.extended_key_usages.clone_from(&self.purposes);
        let names = self.names.iter().map(|name| SanType::DnsName(name.as_str().try_into().expect("ASCII")));
        params.subject_alt_names = names.chain(self.addresses.iter().copied().map(SanType::IpAddress)).collect();
        let subtrees =
            |names: &[String]| names.iter().cloned().map(GeneralSubtree::DnsName).collect::<Vec<GeneralSubtree>>();
        if !self.permitted.is_empty() || !self.excluded.is_empty() {
            params.name_constraints = Some(NameConstraints {
                permitted_subtrees: subtrees(&self.permitted),
                excluded_subtrees: subtrees(&self.excluded),
            });
        }
        params
    }
}

/// Returns more keys than any chain has certificates; the last key belongs to no certificate.
fn keys() -> &'static [KeyPair] {
    static KEYS: OnceLock<Vec<KeyPair>> = OnceLock::new();
    KEYS.get_or_init(|| (0..18).map(|_| KeyPair::generate().expect("a key")).collect())
}

/// Issues a chain at `now`, in seconds since 1970.
pub fn issue(shapes: &[Shape], now: i64) -> Vec<CertificateDer<'static>> {
    let now = OffsetDateTime::from_unix_timestamp(now).expect("a time");
    let all: Vec<CertificateParams> =
        shapes.iter().enumerate().map(|(place, shape)| shape.params(place, now)).collect();
    let keys = keys();
    let issued = all.iter().zip(shapes).enumerate().map(|(place, (params, shape))| {
        let above = place.saturating_sub(1);
        let key = if shape.forged { keys.last() } else { keys.get(above) }.expect("a key");
        let issuer = Issuer::from_params(all.get(above).expect("an issuer"), key);
        let signed = params.signed_by(keys.get(place).expect("a key"), &issuer);
        signed.expect("a certificate").der().clone()
    });
    issued.collect()
}

/// Returns the key at a place of every chain, in PKCS #8.
pub fn key(place: usize) -> Vec<u8> {
    keys().get(place).map(KeyPair::serialize_der).unwrap_or_default()
}

/// Returns the hash of a certificate's key.
///
/// # Errors
/// Fails if the certificate cannot be parsed.
pub fn key_hash(certificate: &CertificateDer<'_>) -> Result<KeyHash, ParseError> {
    Certificate::from_der(certificate).map(|parsed| KeyHash::of(&parsed.subject_public_key_info()))
}
