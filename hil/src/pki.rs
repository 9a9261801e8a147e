//! A root, an intermediate and what they issue, made anew for each run.

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use time::{Duration, OffsetDateTime};

use crate::pem;

/// A chain and the leaf's key.
pub struct Credential {
    /// DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's.
    pub key: KeyPair,
}

impl Credential {
    /// The chain as a file has it.
    pub fn chain_pem(&self) -> String {
        pem::certificates(&self.chain)
    }

    /// The key, PKCS #8, as a file has it.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// What a certificate is to be.
#[derive(Clone, Debug)]
pub struct Wish {
    /// Its common name.
    pub common_name: String,
    /// Its DNS names.
    pub names: Vec<String>,
    /// Its extended key usages; none: no such extension.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    /// From then on.
    pub not_before: OffsetDateTime,
    /// Until then.
    pub not_after: OffsetDateTime,
}

impl Wish {
    /// A server's certificate, of a day.
    pub fn server(name: &str) -> Self {
        Self::new(name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// A device's certificate, of a day; its common name is its DNS name.
    pub fn client(name: &str) -> Self {
        Self::new(name, ExtendedKeyUsagePurpose::ClientAuth)
    }

    fn new(name: &str, purpose: ExtendedKeyUsagePurpose) -> Self {
        let now = OffsetDateTime::now_utc();
        Self {
            common_name: name.to_owned(),
            names: vec![name.to_owned()],
            purposes: vec![purpose],
            not_before: now - Duration::HOUR,
            not_after: now + Duration::days(3),
        }
    }

    /// From and until so many seconds from now.
    #[must_use]
    pub fn valid(self, from: i64, until: i64) -> Self {
        let now = OffsetDateTime::now_utc();
        let [not_before, not_after] = [from, until].map(|seconds| now + Duration::seconds(seconds));
        Self { not_before, not_after, ..self }
    }

    pub(crate) fn params(&self) -> CertificateParams {
        let mut params = CertificateParams::new(self.names.clone()).expect("names of this program are names");
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, &self.common_name);
        params.extended_key_usages.clone_from(&self.purposes);
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.use_authority_key_identifier_extension = true;
        (params.not_before, params.not_after) = (self.not_before, self.not_after);
        params
    }
}

/// One who issues.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// Its certificate.
    pub der: Vec<u8>,
}

impl Authority {
    /// A root.
    pub fn root(name: &str) -> Self {
        let (params, key) = (ca(name, None), p256());
        let der = params.self_signed(&key).expect("a root can be signed").der().to_vec();
        Self { params, key, der }
    }

    /// One below this one; `change` makes it another than it should be.
    pub fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca(name, Some(0)), p256());
        change(&mut params);
        let der = self.sign(&params, &key);
        Self { params, key, der }
    }

    /// Signs a certificate for a key.
    pub fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Vec<u8> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).expect("a certificate can be signed").der().to_vec()
    }

    /// A certificate for a new key, alone.
    pub fn issue(&self, wish: &Wish) -> Credential {
        let key = p256();
        Credential { chain: vec![self.sign(&wish.params(), &key)], key }
    }

    /// PEM.
    pub fn pem(&self) -> String {
        pem::certificates([&self.der])
    }

    /// Its key, PKCS #8, PEM.
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// A new key.
pub fn p256() -> KeyPair {
    KeyPair::generate().expect("the system has random numbers")
}

fn ca(name: &str, path_len: Option<u8>) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(path_len.map_or(BasicConstraints::Unconstrained, BasicConstraints::Constrained));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params.use_authority_key_identifier_extension = true;
    let now = OffsetDateTime::now_utc();
    (params.not_before, params.not_after) = (now - Duration::DAY, now + Duration::days(3650));
    params
}

/// A mesh of one location, and a stranger beside it.
pub struct Pki {
    /// The one that everybody believes.
    pub root: Authority,
    /// The location's.
    pub intermediate: Authority,
    /// One that nobody believes.
    pub stranger: Authority,
}

impl Pki {
    /// New keys for all of them.
    pub fn new() -> Self {
        let root = Authority::root("Mesh Root");
        let intermediate = root.below("Mesh CA A", |_| {});
        Self { root, intermediate, stranger: Authority::root("Stranger Root") }
    }

    /// A certificate of the location, with the intermediate behind it.
    pub fn issue(&self, wish: &Wish) -> Credential {
        let mut credential = self.intermediate.issue(wish);
        credential.chain.push(self.intermediate.der.clone());
        credential
    }

    /// A device's: right below the root, since devices send no intermediates.
    pub fn device(&self, wish: &Wish) -> Credential {
        self.root.issue(wish)
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}
