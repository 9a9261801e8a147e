//! A small PKI in its own folder.

use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, CertificateRevocationListParams, DistinguishedName, DnType, IsCa, Issuer,
    KeyIdMethod, KeyPair, KeyUsagePurpose, SerialNumber,
};
use tempfile::TempDir;

/// A CA with its folder; files are named by common name.
pub struct Pki {
    folder: TempDir,
    issuer: Issuer<'static, KeyPair>,
}

fn named(cn: &str, dns: &[&str]) -> CertificateParams {
    let mut params = CertificateParams::new(dns.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::CommonName, cn);
    params
}

impl Pki {
    pub fn new(root: &str) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = named(root, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
        let certificate = params.self_signed(&key).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Writes a revocation list that revokes nothing for a day, and returns its file.
    pub fn revocation_list(&self) -> PathBuf {
        let now = time::OffsetDateTime::now_utc();
        let params = CertificateRevocationListParams {
            this_update: now,
            next_update: now + std::time::Duration::from_secs(24 * 3600),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: Vec::new(),
            key_identifier_method: KeyIdMethod::Sha256,
        };
        std::fs::write(self.path("ca.crl"), params.signed_by(&self.issuer).unwrap().pem().unwrap()).unwrap();
        self.path("ca.crl")
    }

    pub fn ca(&self) -> PathBuf {
        self.path("ca.pem")
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// Issues `CN.pem` and `CN.key`.
    pub fn issue(&self, cn: &str, dns: &[&str]) -> (PathBuf, PathBuf) {
        self.issue_with(cn, dns, |_| {})
    }

    pub fn issue_with(
        &self,
        cn: &str,
        dns: &[&str],
        change: impl FnOnce(&mut CertificateParams),
    ) -> (PathBuf, PathBuf) {
        let key = KeyPair::generate().unwrap();
        let mut params = named(cn, dns);
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let (cert_file, key_file) = (self.path(&format!("{cn}.pem")), self.path(&format!("{cn}.key")));
        std::fs::write(&cert_file, certificate.pem()).unwrap();
        std::fs::write(&key_file, key.serialize_pem()).unwrap();
        (cert_file, key_file)
    }

    /// Issues a certificate for a key of any kind; returns it as PEM.
    pub fn sign(&self, cn: &str, dns: &[&str], key: &KeyPair) -> String {
        named(cn, dns).signed_by(key, &self.issuer).unwrap().pem()
    }

    /// Creates an intermediate CA in its own folder; `issue_chain` appends it to leaves.
    pub fn intermediate(&self, cn: &str) -> Self {
        self.intermediate_with(cn, |_| {})
    }

    pub fn intermediate_with(&self, cn: &str, change: impl FnOnce(&mut CertificateParams)) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let key = KeyPair::generate().unwrap();
        let mut params = named(cn, &[]);
        params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        change(&mut params);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        std::fs::write(folder.path().join("ca.pem"), certificate.pem()).unwrap();
        Self { folder, issuer: Issuer::new(params, key) }
    }

    /// Issues `CN.pem` with this CA's certificate after the leaf.
    pub fn issue_chain(&self, cn: &str, dns: &[&str]) -> (PathBuf, PathBuf) {
        let (cert, key) = self.issue(cn, dns);
        let chain = [&cert, &self.ca()].map(|file| std::fs::read_to_string(file).unwrap()).concat();
        std::fs::write(&cert, chain).unwrap();
        (cert, key)
    }
}

/// Creates a self-signed CA certificate by `openssl req -x509`.
pub fn self_signed(folder: &Path, cn: &str) -> (PathBuf, PathBuf) {
    let (cert, key) = (folder.join(format!("{cn}.pem")), folder.join(format!("{cn}.key")));
    let status = std::process::Command::new("openssl")
        .args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"])
        .args(["-subj", &format!("/CN={cn}"), "-addext", &format!("subjectAltName=DNS:{cn}")])
        .arg("-keyout")
        .arg(&key)
        .arg("-out")
        .arg(&cert)
        .stderr(std::process::Stdio::null())
        .status()
        .unwrap();
    assert!(status.success());
    (cert, key)
}

pub fn arg(path: &Path) -> String {
    path.display().to_string()
}
