//! Makes a root, an intermediate and the certificates below them, anew for each run.

use edgetrust_core::x509::{Certificate, KeyHash};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair,
    KeyUsagePurpose, PublicKeyData,
};
use time::{Duration, OffsetDateTime};

use crate::pem;

/// A certificate chain and the leaf's private key.
pub struct Credential {
    /// The certificates in DER, leaf first.
    pub chain: Vec<Vec<u8>>,
    /// The leaf's private key.
    pub key: KeyPair,
}

impl Credential {
    /// Returns the chain as PEM.
    pub fn chain_pem(&self) -> String {
        pem::certificates(&self.chain)
    }

    /// Returns the key as PEM (PKCS #8).
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// The contents of a certificate to issue.
#[derive(Clone, Debug)]
pub struct Wish {
    /// The subject's common name.
    pub common_name: String,
    /// The DNS names in the subjectAltName.
    pub names: Vec<String>,
    /// The extended key usages; if empty, the certificate has no such extension.
    pub purposes: Vec<ExtendedKeyUsagePurpose>,
    /// The start of the validity period.
    pub not_before: OffsetDateTime,
    /// The end of the validity period.
    pub not_after: OffsetDateTime,
}

impl Wish {
    /// Describes a server certificate that is valid for three days.
    pub fn server(name: &str) -> Self {
        Self::new(name, ExtendedKeyUsagePurpose::ServerAuth)
    }

    /// Describes a device certificate that is valid for three days; its common name is its DNS name.
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

    /// Sets the validity period, in seconds from now.
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

/// A certificate authority with its key.
pub struct Authority {
    params: CertificateParams,
    key: KeyPair,
    /// The authority's certificate in DER.
    pub der: Vec<u8>,
}

impl Authority {
    /// Creates a root.
    pub fn root(name: &str) -> Self {
        let (params, key) = (ca(name, None), p256());
        let der = params.self_signed(&key).expect("a root can be signed").der().to_vec();
        Self { params, key, der }
    }

    /// Creates an authority below this one; `change` alters its certificate's parameters.
    pub fn below(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let (mut params, key) = (ca(name, Some(0)), p256());
        change(&mut params);
        let der = self.sign(&params, &key);
        Self { params, key, der }
    }

    /// Signs a certificate for a key, and returns its DER.
    pub fn sign(&self, params: &CertificateParams, key: &impl PublicKeyData) -> Vec<u8> {
        let issuer = Issuer::from_params(&self.params, &self.key);
        params.signed_by(key, &issuer).expect("a certificate can be signed").der().to_vec()
    }

    /// Issues a certificate for a new key, without intermediates.
    pub fn issue(&self, wish: &Wish) -> Credential {
        let key = p256();
        Credential { chain: vec![self.sign(&wish.params(), &key)], key }
    }

    /// Issues a certificate for a new key, followed by this authority's own.
    pub fn issue_chain(&self, wish: &Wish) -> Credential {
        let mut credential = self.issue(wish);
        credential.chain.push(self.der.clone());
        credential
    }

    /// Returns the hash that names the authority's key.
    pub fn key_hash(&self) -> KeyHash {
        let certificate = Certificate::from_der(&self.der).expect("an authority's certificate");
        KeyHash::of(&certificate.subject_public_key_info())
    }

    /// Returns the authority's certificate as PEM.
    pub fn pem(&self) -> String {
        pem::certificates([&self.der])
    }

    /// Returns the authority's key as PEM (PKCS #8).
    pub fn key_pem(&self) -> String {
        self.key.serialize_pem()
    }
}

/// Generates a P-256 key.
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

/// The authorities of a mesh with one location, and one outside the mesh.
pub struct Pki {
    /// The trust anchor of all peers.
    pub root: Authority,
    /// The location's intermediate.
    pub intermediate: Authority,
    /// The intermediate of another location.
    pub sister: Authority,
    /// A root that no peer trusts.
    pub stranger: Authority,
}

impl Pki {
    /// Creates all authorities with new keys.
    pub fn new() -> Self {
        let root = Authority::root("Mesh Root");
        let intermediate = root.below("Mesh CA A", |_| {});
        let sister = root.below("Mesh CA B", |_| {});
        Self { root, intermediate, sister, stranger: Authority::root("Stranger Root") }
    }

    /// Issues a certificate of the location, followed by the intermediate.
    pub fn issue(&self, wish: &Wish) -> Credential {
        self.intermediate.issue_chain(wish)
    }

    /// Issues a device certificate directly below the root, since devices send no intermediates.
    pub fn device(&self, wish: &Wish) -> Credential {
        self.root.issue(wish)
    }
}

impl Default for Pki {
    fn default() -> Self {
        Self::new()
    }
}
