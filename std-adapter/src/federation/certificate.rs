//! Certificates of a mesh: the root, the CA of a site, and the signer of `mesh.json`.

use std::path::Path;

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};
use rcgen::{
    BasicConstraints, CertificateParams, CustomExtension, DistinguishedName, DnType, DnValue, ExtendedKeyUsagePurpose,
    IsCa, Issuer, KeyIdMethod, KeyUsagePurpose, PublicKeyData, SerialNumber,
};
use time::OffsetDateTime;

use super::der;
use super::key::{belongs, random};
use super::root_key::RootKey;
use crate::pem;
use crate::tls::provider;

const DAY: u64 = 86_400;
pub(super) const ROOT_LIFE: u64 = 20 * 365 * DAY;
pub(super) const SITE_LIFE: u64 = 5 * 365 * DAY;
const SIGNER_LIFE: u64 = 2 * 365 * DAY;

/// Clocks of other machines may be a little behind.
const BACKDATED: u64 = 5 * 60;

/// Certificates below a root: the root's successor, a site's CA, a leaf.
const ROOT_PATH_LENGTH: u8 = 2;

/// The longest common name, in characters (RFC 5280 appendix A.1, ub-common-name).
const MAX_COMMON_NAME: usize = 64;

/// id-ce-nameConstraints (RFC 5280 section 4.2.1.10)
pub(super) const NAME_CONSTRAINTS: [u64; 4] = [2, 5, 29, 30];

/// The purpose of a certificate that signs `mesh.json`, and nothing else: `MESH_SIGNING` of core.
const MESH_SIGNING: [u64; 9] = [1, 3, 6, 1, 4, 1, 32_473, 6_984, 1];

/// id-at-serialNumber, in a signer's subject: its generation.
const SERIAL_NUMBER: [u64; 4] = [2, 5, 4, 5];

/// [`SERIAL_NUMBER`] as contents octets.
const SERIAL_NUMBER_OCTETS: [u8; 3] = [0x55, 4, 5];

/// The names in URIs that a site's CA may issue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Uris {
    /// None.
    None,
    /// Those of the site's own domain, as SPIFFE has them.
    OfDomain,
}

/// A root with its opened key.
pub(super) struct Root {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, RootKey>,
    not_after: UnixTime,
}

impl Root {
    /// Makes a root for a mesh.
    pub(super) fn make(mesh: &str, key: impl Into<RootKey>, now: UnixTime) -> Result<Self, String> {
        Self::named(mesh, &format!("{mesh} Root"), key, now)
    }

    /// Makes a root with this common name.
    pub(super) fn named(mesh: &str, name: &str, key: impl Into<RootKey>, now: UnixTime) -> Result<Self, String> {
        let (key, mut params) = (key.into(), authority(mesh, name, ROOT_PATH_LENGTH)?);
        valid(&mut params, now, ROOT_LIFE, None)?;
        let certificate = params.self_signed(&key).map_err(|error| key.failed(error))?.der().clone();
        Self::open(certificate, key)
    }

    /// Takes a root's certificate and its key.
    ///
    /// # Errors
    /// Fails if the key is another one, or the certificate is not that of a root.
    pub(super) fn open(certificate: CertificateDer<'static>, key: impl Into<RootKey>) -> Result<Self, String> {
        let key = key.into();
        let parsed = Certificate::from_der(&certificate).map_err(|error| error.to_string())?;
        belongs(&key, &parsed)?;
        let mut params = CertificateParams::default();
        params.distinguished_name = subject(&parsed)?;
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let identifier = parsed.extensions().subject_key_identifier.ok_or("found no subject key identifier")?;
        params.key_identifier_method = KeyIdMethod::PreSpecified(identifier.to_vec());
        let not_after = parsed.validity().not_after;
        Ok(Self { issuer: Issuer::new(params, key), not_after, certificate })
    }

    /// Returns the certificate.
    pub(super) fn certificate(&self) -> &CertificateDer<'static> {
        &self.certificate
    }

    /// Returns the key.
    pub(super) fn key(&self) -> &RootKey {
        self.issuer.key()
    }

    /// Returns when the certificate ends.
    pub(super) fn not_after(&self) -> UnixTime {
        self.not_after
    }

    /// Issues the certificate of a site's CA, which can issue names of the site's domain alone.
    pub(super) fn site(
        &self,
        mesh: &str,
        (site, domain): (&str, &str),
        uris: Uris,
        key: &impl PublicKeyData,
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, String> {
        let mut params = authority(mesh, &site_ca(site), 0)?;
        valid(&mut params, now, SITE_LIFE, Some(self.not_after))?;
        // So no site can make a signer of the mesh (RFC 5280 section 4.2.1.12).
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let mut constraints = CustomExtension::from_oid_content(&NAME_CONSTRAINTS, name_constraints(domain, uris));
        constraints.set_criticality(true);
        params.custom_extensions.push(constraints);
        self.issue(params, key)
    }

    /// Issues the certificate of a signer.
    pub(super) fn signer(
        &self,
        mesh: &str,
        generation: u32,
        key: &impl PublicKeyData,
        now: UnixTime,
    ) -> Result<CertificateDer<'static>, String> {
        let mut params = named(mesh, &format!("{mesh} Signer"))?;
        valid(&mut params, now, SIGNER_LIFE, Some(self.not_after))?;
        params.is_ca = IsCa::ExplicitNoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::Other(MESH_SIGNING.to_vec())];
        let number = DnValue::PrintableString(generation.to_string().as_str().try_into().map_err(failed)?);
        params.distinguished_name.push(DnType::CustomDnType(SERIAL_NUMBER.to_vec()), number);
        self.issue(params, key)
    }

    /// Signs, and checks that the certificate names this root as peers compare it.
    pub(super) fn issue(
        &self,
        mut params: CertificateParams,
        key: &impl PublicKeyData,
    ) -> Result<CertificateDer<'static>, String> {
        params.use_authority_key_identifier_extension = true;
        let issued = params.signed_by(key, &self.issuer).map_err(|error| self.key().failed(error))?.der().clone();
        let child = Certificate::from_der(&issued).map_err(|error| error.to_string())?;
        let root = Certificate::from_der(&self.certificate).map_err(|error| error.to_string())?;
        if child.issuer() != root.subject() {
            return Err(format!("the root's name cannot be written as it is: {}", root.subject()));
        }
        Ok(issued)
    }
}

/// Returns the generation of a signer's certificate.
///
/// # Errors
/// Fails if the certificate has none.
pub(super) fn generation(signer: &CertificateDer<'_>) -> Result<u32, String> {
    let signer = Certificate::from_der(signer).map_err(|error| error.to_string())?;
    let number = signer.subject().attributes().find(|attribute| attribute.oid == SERIAL_NUMBER_OCTETS);
    let text = number.and_then(|number| std::str::from_utf8(number.value).ok()).unwrap_or_default();
    match text.parse() {
        Ok(generation) if generation > 0 => Ok(generation),
        _ => Err(format!("found serialNumber {text:?}, expected a signer's certificate with its generation")),
    }
}

/// Returns when a certificate ends.
pub(super) fn not_after(certificate: &CertificateDer<'_>) -> Result<UnixTime, String> {
    Ok(Certificate::from_der(certificate).map_err(|error| error.to_string())?.validity().not_after)
}

/// Returns the hash of a certificate's key.
pub(super) fn key_hash(certificate: &CertificateDer<'_>) -> Result<KeyHash, String> {
    let certificate = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    Ok(KeyHash::of(&certificate.subject_public_key_info()))
}

/// Returns the first certificate of a file.
pub(super) fn first_certificate(file: &Path) -> Result<CertificateDer<'static>, String> {
    let all = pem::read_certificates(file).map_err(|error| error.to_string())?;
    all.into_iter().next().ok_or_else(|| format!("{}: found no certificate", file.display()))
}

/// Returns a certificate in PEM (RFC 7468 section 5).
pub(super) fn pem(certificate: &CertificateDer<'_>) -> String {
    let base64 = BASE64_STANDARD.encode(certificate);
    let mut lines = vec!["-----BEGIN CERTIFICATE-----"];
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(rest.len().min(64)).filter(|(line, _)| !line.is_empty()) {
        lines.push(line);
        rest = after;
    }
    lines.push("-----END CERTIFICATE-----\n");
    lines.join("\n")
}

/// Returns the common name of a site's CA. The name of a site alone is always short enough.
pub(super) fn site_ca(site: &str) -> String {
    let name = format!("Site {site} CA");
    if name.len() > MAX_COMMON_NAME { site.to_owned() } else { name }
}

pub(super) fn failed(error: rcgen::Error) -> String {
    format!("the certificate cannot be made: {error}")
}

fn named(organization: &str, name: &str) -> Result<CertificateParams, String> {
    let mut params = CertificateParams::default();
    params.distinguished_name = DistinguishedName::new();
    params.distinguished_name.push(DnType::OrganizationName, organization);
    params.distinguished_name.push(DnType::CommonName, name);
    // Positive, and of 16 octets (RFC 5280 section 4.1.2.2).
    let [first, rest @ ..] = random::<16>()?;
    let number: Vec<u8> = [&[(first & 0x7f) | 0x40][..], &rest].concat();
    params.serial_number = Some(SerialNumber::from(number));
    Ok(params)
}

pub(super) fn authority(organization: &str, name: &str, below: u8) -> Result<CertificateParams, String> {
    let mut params = named(organization, name)?;
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(below));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    Ok(params)
}

/// Sets the dates; a certificate does not outlive its issuer's.
pub(super) fn valid(
    params: &mut CertificateParams,
    now: UnixTime,
    life: u64,
    parent: Option<UnixTime>,
) -> Result<(), String> {
    let end = now.as_secs().saturating_add(life);
    let end = parent.map_or(end, |parent| end.min(parent.as_secs()));
    let begin = now.as_secs().saturating_sub(BACKDATED);
    if end <= now.as_secs() {
        return Err("the root has ended".to_owned());
    }
    params.not_before = date(begin)?;
    params.not_after = date(end)?;
    Ok(())
}

fn date(seconds: u64) -> Result<OffsetDateTime, String> {
    let seconds = i64::try_from(seconds).map_err(|error| error.to_string())?;
    OffsetDateTime::from_unix_timestamp(seconds).map_err(|error| error.to_string())
}

/// Returns a certificate's subject, to be written as an issuer.
pub(super) fn subject(certificate: &Certificate<'_>) -> Result<DistinguishedName, String> {
    let mut name = DistinguishedName::new();
    for attribute in certificate.subject().attributes() {
        let unknown = || format!("the root's name cannot be written: {}", certificate.subject());
        let kind = match attribute.oid {
            [0x55, 0x04, 3] => DnType::CommonName,
            [0x55, 0x04, 6] => DnType::CountryName,
            [0x55, 0x04, 10] => DnType::OrganizationName,
            [0x55, 0x04, 11] => DnType::OrganizationalUnitName,
            _ => return Err(unknown()),
        };
        let text = std::str::from_utf8(attribute.value).map_err(|_| unknown())?;
        let value = match attribute.tag {
            0x0c => DnValue::Utf8String(text.to_owned()),
            0x13 => DnValue::PrintableString(text.try_into().map_err(failed)?),
            _ => return Err(unknown()),
        };
        name.push(kind, value);
    }
    Ok(name)
}

/// A host that cannot exist (RFC 2606 section 2).
pub(super) const NO_HOST: &str = "invalid";

/// Returns the contents of nameConstraints (RFC 5280 section 4.2.1.10): names of the domain alone, and no addresses.
///
/// URIs are taken away by permitting those of a host that cannot exist (RFC 2606 section 2): an excluded subtree for
/// all URIs has no valid form, and OpenSSL ignores the empty one. There is no directoryName: Go refuses such chains.
fn name_constraints(domain: &str, uris: Uris) -> Vec<u8> {
    let subtree = |tag: u8, base: &[u8]| der::value(0x30, &der::value(tag, base));
    let mut permitted = subtree(0x82, domain.as_bytes());
    match uris {
        Uris::None => permitted.extend(subtree(0x86, NO_HOST.as_bytes())),
        Uris::OfDomain => {
            permitted.extend(subtree(0x86, domain.as_bytes()));
            permitted.extend(subtree(0x86, format!(".{domain}").as_bytes()));
        }
    }
    let excluded = [subtree(0x87, &[0; 8]), subtree(0x87, &[0; 32])].concat();
    der::value(0x30, &[der::value(0xa0, &permitted), der::value(0xa1, &excluded)].concat())
}

/// Returns whether a root has issued a certificate, by name and signature (RFC 5280 section 6.1.3).
pub(super) fn issued_by(certificate: &Certificate<'_>, root: &Certificate<'_>) -> bool {
    let key = root.subject_public_key_info();
    let provider = provider();
    let mut algorithms = provider.signature_verification_algorithms.all.iter().filter(|algorithm| {
        algorithm.public_key_alg_id().as_ref() == key.algorithm
            && algorithm.signature_alg_id().as_ref() == certificate.signature_algorithm()
    });
    let signed = algorithms.any(|algorithm| {
        algorithm.verify_signature(key.public_key, certificate.tbs(), certificate.signature()).is_ok()
    });
    signed && certificate.issuer() == root.subject()
}

#[cfg(test)]
mod tests {
    use rcgen::KeyPair;

    use super::super::key;
    use super::*;
    use std::time::Duration;

    const NOW: UnixTime = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));

    fn root() -> Root {
        Root::make("Example Mesh", key::generate().unwrap(), NOW).unwrap()
    }

    #[test]
    fn a_child_never_outlives_its_parent() {
        let root = root();
        let late = UnixTime::since_unix_epoch(Duration::from_secs(NOW.as_secs() + ROOT_LIFE - 3 * DAY));
        let key = key::generate().unwrap();
        let site = root.site("Example Mesh", ("a", "a.example"), Uris::None, &key, late).unwrap();
        assert_eq!(not_after(&site), not_after(root.certificate()));
        let after = UnixTime::since_unix_epoch(Duration::from_secs(NOW.as_secs() + ROOT_LIFE));
        assert!(root.site("Example Mesh", ("a", "a.example"), Uris::None, &key, after).is_err());
    }

    #[test]
    fn a_root_read_again_issues_under_the_same_name() {
        let (first, key) = (root(), key::generate().unwrap());
        let RootKey::Opened(opened) = first.issuer.key() else { panic!("the key is here") };
        let copy = KeyPair::try_from(opened.serialized_der()).unwrap();
        let second = Root::open(first.certificate().clone(), copy).unwrap();
        let site = second.site("Example Mesh", (&"s".repeat(63), "a.example"), Uris::OfDomain, &key, NOW).unwrap();
        let (site, root) = (Certificate::from_der(&site).unwrap(), Certificate::from_der(first.certificate()).unwrap());
        assert_eq!(site.issuer(), root.subject());
        let authority = site.extensions().authority_key_identifier.unwrap().key_identifier;
        assert_eq!(authority, root.extensions().subject_key_identifier);
        assert!(Root::open(first.certificate().clone(), key).is_err());
    }

    #[test]
    fn a_signer_has_its_generation() {
        let (root, key) = (root(), key::generate().unwrap());
        for number in [1, 2, 200, 70_000] {
            let signer = root.signer("Example Mesh", number, &key, NOW).unwrap();
            assert_eq!(generation(&signer), Ok(number));
        }
        assert!(generation(root.certificate()).is_err());
    }
}
