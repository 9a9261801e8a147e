//! Makes meshes of any size for the simulation: certificates, texts and signatures are those of the commands.
//!
//! The keys of the sites' CAs stay in memory, as those of sites that made their own: encrypting a thousand keys takes
//! minutes. The signer's key lies in the folder, so that the commands work there.

use std::path::{Path, PathBuf};
use std::{fmt, fs};

use edgetrust_core::x509::KeyHash;
use pki_types::{CertificateDer, UnixTime};
use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, KeyUsagePurpose, SanType};

use super::certificate::{Root, Uris, key_hash, not_after, pem, valid};
use super::check::check;
use super::edit::{Denial, deny};
use super::folder::{Folder, Passwords};
use super::init::{make_signer, mesh_end};
use super::layout::{MESH, PASSWORDS, ROOT, SIGNED, SIGNER, SITES, signer_password};
use super::mesh::{self, DEFAULT_SERVICE, Gateway, Link, Mesh, Service, Site};
use super::place::{PUBLIC, PUBLIC_FOLDER, SECRET, SECRET_FOLDER, make, make_new, replace};
use super::{key, signature};

/// The name of the mesh.
const NAME: &str = "Simulated Mesh";
/// The lifetime of a gateway's certificate, in seconds.
const LEAF_LIFE: u64 = 86_400;

/// A mesh with the keys of all its CAs.
pub struct Fleet {
    folder: PathBuf,
    now: UnixTime,
    sites: Vec<(String, Root)>,
}

/// The reason of a refusal, as commands show it and gateways log it.
#[derive(Clone, Debug)]
pub struct RehearsalError(String);

impl fmt::Display for RehearsalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl std::error::Error for RehearsalError {}

impl From<String> for RehearsalError {
    fn from(reason: String) -> Self {
        Self(reason)
    }
}

/// The form in which the mesh names the CAs of sites.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Listed {
    /// By their certificates, as the commands write it.
    Certificates,
    /// By the hashes of their keys: gateways then send the certificates of their CAs.
    Keys,
}

/// The result of a check.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Checked {
    /// The links that were wanted.
    pub wanted: usize,
    /// Those of them that hold.
    pub hold: usize,
}

/// A gateway's certificate with that of its CA, and its key in PEM.
pub struct Leaf {
    /// The certificates, the gateway's own first.
    pub chain: Vec<CertificateDer<'static>>,
    /// The key.
    pub key: String,
}

impl Fleet {
    /// Makes the folder of a mesh: one gateway a site, and for each site of `to` those sites that reach it.
    ///
    /// # Errors
    /// Fails if no gateway would take the mesh, or it cannot be written.
    pub fn make(
        folder: &Path,
        sites: usize,
        to: &[(usize, Vec<usize>)],
        listed: Listed,
        now: UnixTime,
    ) -> Result<Self, RehearsalError> {
        make_new(folder, SECRET_FOLDER)?;
        for name in [PASSWORDS, "root", "signer", SITES] {
            make(&folder.join(name), SECRET_FOLDER)?;
        }
        let root = Root::make(NAME, key::generate()?, now)?;
        replace(&folder.join(ROOT[0]), pem(root.certificate()).as_bytes(), PUBLIC)?;
        let (signer, encrypted, password) = make_signer(&root, NAME, 1, now)?;
        replace(&folder.join(PASSWORDS).join(signer_password(1)), password.file().as_bytes(), SECRET)?;
        replace(&folder.join(SIGNER[1]), encrypted.as_bytes(), SECRET)?;
        replace(&folder.join(SIGNER[0]), pem(&signer.certificate).as_bytes(), PUBLIC)?;
        let made: Vec<(String, Root)> =
            (0..sites).map(|number| authority(&root, number, now)).collect::<Result<_, _>>()?;
        if listed == Listed::Keys {
            for (name, authority) in &made {
                let there = folder.join(SITES).join(name);
                make(&there, PUBLIC_FOLDER)?;
                replace(&there.join("ca.pem"), pem(authority.certificate()).as_bytes(), PUBLIC)?;
            }
        }
        let mesh = Mesh {
            mesh: NAME.to_owned(),
            sequence: 1,
            previous: None,
            not_after: mesh::shown(mesh_end(now, Some(not_after(&signer.certificate)?))),
            roots: vec![mesh::base64(root.certificate())],
            sites: made.iter().map(|(name, authority)| entry(name, authority, listed)).collect::<Result<_, _>>()?,
            services: vec![Service { name: DEFAULT_SERVICE.0.to_owned(), port: DEFAULT_SERVICE.1 }],
            links: to.iter().map(|(to, from)| link(*to, from)).collect(),
            denied_keys: Vec::new(),
        };
        let text = mesh.text()?;
        let signed = signature::sign(text.as_bytes(), &signer, now)?;
        replace(&folder.join(MESH), text.as_bytes(), PUBLIC)?;
        replace(&folder.join(SIGNED), signed.as_bytes(), PUBLIC)?;
        Ok(Self { folder: folder.to_owned(), now, sites: made })
    }

    /// Returns the name of a site.
    pub fn site(number: usize) -> String {
        format!("s{number}")
    }

    /// Returns the file that gateways hold as the first root, and the signed mesh.
    pub fn files(folder: &Path) -> (PathBuf, PathBuf) {
        (folder.join(ROOT[0]), folder.join(SIGNED))
    }

    /// Issues a certificate for the gateway of a site, as the site's CA does.
    ///
    /// # Errors
    /// Fails if the certificate cannot be made.
    pub fn leaf(&self, site: usize) -> Result<Leaf, RehearsalError> {
        let (name, authority) = self.sites.get(site).ok_or_else(|| "found no such site".to_owned())?;
        let (key, mut params) = (key::generate()?, CertificateParams::default());
        let host = format!("gateway.{}", domain(name));
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::CommonName, host.as_str());
        let host = host.as_str().try_into().map_err(|error| format!("{host}: {error}"))?;
        params.subject_alt_names = vec![SanType::DnsName(host)];
        params.is_ca = IsCa::NoCa;
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        valid(&mut params, self.now, LEAF_LIFE, Some(not_after(authority.certificate())?))?;
        let certificate = authority.issue(params, &key)?;
        Ok(Leaf { chain: vec![certificate, authority.certificate().clone()], key: key.serialize_pem() })
    }

    /// Copies what the commands need, without the sites, so that two can change the same mesh.
    ///
    /// # Errors
    /// Fails if a file cannot be copied.
    pub fn copy(from: &Path, to: &Path) -> Result<(), RehearsalError> {
        make_new(to, SECRET_FOLDER)?;
        for name in [PASSWORDS, "root", "signer", SITES] {
            make(&to.join(name), SECRET_FOLDER)?;
        }
        let password = Path::new(PASSWORDS).join(signer_password(1));
        for name in
            [Path::new(ROOT[0]), Path::new(SIGNER[0]), Path::new(SIGNER[1]), &password, MESH.as_ref(), SIGNED.as_ref()]
        {
            fs::copy(from.join(name), to.join(name)).map_err(|error| format!("{}: {error}", name.display()))?;
        }
        Ok(())
    }

    /// Denies a key as `edgetrust federation deny` does, and signs the mesh.
    ///
    /// # Errors
    /// Fails as the command does.
    pub fn deny(folder: &Path, key: KeyHash, now: UnixTime) -> Result<(), RehearsalError> {
        let opened = Folder::open(folder)?;
        let denial = Denial { key, reason: Some("simulated".to_owned()), until: None };
        let passwords = Passwords { root: None, signer: None, ask: &|_| Ok(None) };
        deny(&opened, &denial, now)?.apply(&opened, &passwords, now)?;
        Ok(())
    }

    /// Judges all links as `edgetrust federation check` does.
    ///
    /// # Errors
    /// Fails as the command does.
    pub fn check(&self) -> Result<Checked, RehearsalError> {
        let report = check(&self.folder, std::time::Duration::ZERO, self.now)?;
        let wanted = report.links.iter().filter(|link| link.wanted);
        Ok(Checked { wanted: wanted.clone().count(), hold: wanted.filter(|link| link.holds == Some(true)).count() })
    }
}

/// Makes the CA of a site.
fn authority(root: &Root, number: usize, now: UnixTime) -> Result<(String, Root), String> {
    let (name, key) = (Fleet::site(number), key::generate()?);
    let certificate = root.site(NAME, (&name, &domain(&name)), Uris::None, &key, now)?;
    Ok((name, Root::open(certificate, key)?))
}

fn domain(site: &str) -> String {
    format!("{site}.example")
}

fn entry(name: &str, authority: &Root, listed: Listed) -> Result<Site, String> {
    let issuer = match listed {
        Listed::Certificates => mesh::base64(authority.certificate()),
        Listed::Keys => key_hash(authority.certificate())?.to_string(),
    };
    let host = format!("gateway.{}", domain(name));
    Ok(Site {
        name: name.to_owned(),
        domains: vec![domain(name)],
        issuers: vec![issuer],
        gateways: vec![Gateway { host, address: None, ports: None }],
    })
}

fn link(to: usize, from: &[usize]) -> Link {
    let from = from.iter().map(|from| Fleet::site(*from)).collect();
    Link { service: DEFAULT_SERVICE.0.to_owned(), from, to: vec![Fleet::site(to)] }
}
