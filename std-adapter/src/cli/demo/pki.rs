//! Makes a root, an intermediate for each location, and certificates valid for a day.

use std::fs;
use std::path::{Path, PathBuf};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, GeneralSubtree, IsCa,
    Issuer, KeyPair, KeyUsagePurpose, NameConstraints,
};
use time::{Duration, OffsetDateTime};

use crate::cli::Failure;

/// A CA, with the chain from its certificate to below the root.
pub(super) struct Ca {
    issuer: Issuer<'static, KeyPair>,
    pem: String,
}

fn named(cn: &str, life: Duration) -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, "EdgeTrust demo");
    params.distinguished_name.push(DnType::CommonName, cn);
    // Other machines' clocks may be a little behind.
    params.not_before = OffsetDateTime::now_utc() - Duration::minutes(5);
    params.not_after = OffsetDateTime::now_utc() + life;
    params
}

fn ca(cn: &str, life: Duration, below: u8) -> CertificateParams {
    let mut params = named(cn, life);
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    params
}

impl Ca {
    pub(super) fn root(cn: &str) -> Result<Self, Failure> {
        let key = KeyPair::generate()?;
        let params = ca(cn, Duration::days(3650), 1);
        let pem = params.self_signed(&key)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    /// Issues a location's own CA, which can only issue names of the location (RFC 5280 section 4.2.1.10).
    pub(super) fn intermediate(&self, cn: &str, domain: &str) -> Result<Self, Failure> {
        let key = KeyPair::generate()?;
        let mut params = ca(cn, Duration::days(365), 0);
        params.name_constraints = Some(NameConstraints {
            permitted_subtrees: vec![GeneralSubtree::DnsName(domain.to_owned())],
            excluded_subtrees: Vec::new(),
        });
        let pem = params.signed_by(&key, &self.issuer)?.pem();
        Ok(Self { issuer: Issuer::new(params, key), pem })
    }

    pub(super) fn write(&self, file: &Path) -> Result<(), Failure> {
        write(file, &self.pem)
    }

    /// Writes a gateway's `cert.pem` and `key.pem`, valid for a day, each atomically.
    pub(super) fn issue(&self, folder: &Path, cn: &str, host: &str) -> Result<(PathBuf, PathBuf), Failure> {
        let key = KeyPair::generate()?;
        let mut params = named(cn, Duration::hours(24));
        params.subject_alt_names = vec![rcgen::SanType::DnsName(host.try_into()?)];
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let leaf = params.signed_by(&key, &self.issuer)?.pem();
        let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
        write(&key_file, &key.serialize_pem())?;
        write(&cert_file, &format!("{leaf}{}", self.pem))?;
        Ok((cert_file, key_file))
    }
}

/// Writes a new file and renames it, so that no reader sees half a file.
fn write(file: &Path, contents: &str) -> Result<(), Failure> {
    use std::io::Write;
    use std::os::unix::fs::OpenOptionsExt;
    let failed = |error: std::io::Error| format!("{}: {error}", file.display());
    let beside = file.with_extension("new");
    let mut opened =
        fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&beside).map_err(failed)?;
    opened.write_all(contents.as_bytes()).map_err(failed)?;
    Ok(fs::rename(&beside, file).map_err(failed)?)
}
