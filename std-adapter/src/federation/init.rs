//! Makes a mesh from nothing, and the parts of which it is made: CAs of sites, and signers.

use std::path::{Path, PathBuf};

use pki_types::{CertificateDer, UnixTime};

use super::certificate::{Root, Uris, pem};
use super::folder::lock;
use super::key::{self, Password};
use super::layout::{MESH, PASSWORDS, ROOT, SIGNED, SIGNER, SITES, signer_password, site_password, unfinished};
use super::links::{self, Pair};
use super::mesh::{self, DEFAULT_SERVICE, Gateway, Mesh, Service, Site};
use super::place::{PUBLIC, PUBLIC_FOLDER, SECRET, SECRET_FOLDER, make, make_new, move_to, remove_all, replace};
use super::requested::RequestedKey;
use super::root_key::RootKey;
use super::signature::{self, Signer};
use super::{name, site};

/// The time for which a mesh file can be taken.
const MESH_LIFE: u64 = 365 * 86_400;

/// A site that is to be made.
#[derive(Clone, Debug)]
pub(crate) struct NewSite {
    pub(crate) name: String,
    pub(crate) domain: String,
    pub(crate) address: Option<String>,
    /// True if its CA may issue URIs of the domain, as SPIFFE has them.
    pub(crate) spiffe: bool,
}

/// A mesh that is to be made.
#[derive(Debug)]
pub(crate) struct Init {
    pub(crate) name: String,
    /// True if there are no sites yet.
    pub(crate) root_only: bool,
    pub(crate) sites: Vec<NewSite>,
    /// Names and ports; none stands for one of the default.
    pub(crate) services: Vec<(String, u16)>,
    /// None stands for every ordered pair, for the first service.
    pub(crate) links: Vec<Pair>,
    /// The root's key, if it is in a token; without one it is made.
    pub(crate) root_key: Option<RootKey>,
    /// The password of the key that is made; without one it is generated.
    pub(crate) password: Option<Password>,
}

/// A mesh that was made.
#[derive(Debug)]
pub(crate) struct Made {
    pub(crate) mesh: Mesh,
    pub(crate) links: Vec<Pair>,
    /// True if nobody named a link.
    pub(crate) linked_by_default: bool,
    /// The end of the root.
    pub(crate) root_not_after: UnixTime,
}

/// Makes the folder of a mesh as a whole or not at all.
///
/// # Errors
/// Fails if the folder exists, an option is not valid, or the files cannot be written.
pub(crate) fn init(folder: &Path, mut init: Init, now: UnixTime) -> Result<Made, String> {
    init.check()?;
    if folder.symlink_metadata().is_ok() {
        return Err(format!("{}: exists already, expected a folder that is still to be made", folder.display()));
    }
    let name = folder.file_name().ok_or_else(|| format!("{}: expected the name of a folder", folder.display()))?;
    let staged = folder.with_file_name(unfinished(&name.to_string_lossy()));
    let parent = folder.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    if !parent.is_dir() {
        return Err(format!("{}: found no folder, expected one to make {} in", parent.display(), folder.display()));
    }
    // Two commands that make the same folder: one of them fails here, and neither harms the other's.
    let _lock = lock(parent)?;
    remove_all(&staged)?;
    let made = init.write(&staged, now).and_then(|made| {
        move_to(&staged, folder)?;
        Ok(made)
    });
    if made.is_err() {
        // The error before says more, and the next command removes it.
        let _ = remove_all(&staged);
    }
    made
}

impl Init {
    /// Checks what can be checked before keys are made, by the names of the options.
    fn check(&self) -> Result<(), String> {
        name::mesh("--name", &self.name)?;
        if self.sites.is_empty() && !self.root_only {
            return Err("--site: found none, expected one or more".to_owned());
        }
        let mut domains: Vec<(&str, &str)> = Vec::new();
        for site in &self.sites {
            check_site(site, &domains)?;
            domains.push((&site.domain, &site.name));
        }
        for (number, (service, port)) in self.services.iter().enumerate() {
            name::label("--service", service)?;
            if *port == 0 {
                return Err(format!("--service: found port 0 for {service}, expected 1 to 65535"));
            }
            let mut others = self.services.iter().take(number);
            if let Some((other, _)) = others.find(|(other, of_other)| other == service || of_other == port) {
                return Err(match other == service {
                    true => format!("--service: found {service} twice, expected each service once"),
                    false => format!("--service: found port {port} for {other} and {service}, expected one port each"),
                });
            }
            if site::RESERVED.contains(port) {
                let reserved = site::RESERVED.map(|port| port.to_string()).join(", ");
                return Err(format!(
                    "--service: found port {port} for {service}, expected another than {reserved}, which the site itself \
                     needs"
                ));
            }
        }
        let mesh = self.mesh(Vec::new(), Vec::new(), UnixTime::since_unix_epoch(std::time::Duration::ZERO));
        self.links.iter().try_for_each(|pair| pair.check("--link", &mesh))?;
        site::check(&mesh)
    }

    fn linked_by_default(&self) -> bool {
        self.links.is_empty() && !self.root_only
    }

    /// Returns the mesh with these roots, and an issuer for each site in order, or none for any.
    fn mesh(&self, roots: Vec<String>, issuers: Vec<String>, not_after: UnixTime) -> Mesh {
        let (service, port) = DEFAULT_SERVICE;
        let default = [(service.to_owned(), port)];
        let services = if self.services.is_empty() { &default[..] } else { &self.services };
        let issuers = issuers.into_iter().map(Some).chain(std::iter::repeat(None));
        let sites = self.sites.iter().zip(issuers).map(|(site, issuer)| site.entry(issuer));
        let mut mesh = Mesh {
            mesh: self.name.clone(),
            sequence: 1,
            previous: None,
            not_after: mesh::shown(not_after),
            roots,
            sites: sites.collect(),
            services: services.iter().map(|(name, port)| Service { name: name.clone(), port: *port }).collect(),
            links: Vec::new(),
            denied_keys: Vec::new(),
        };
        mesh.sites.sort_by(|one, other| one.name.cmp(&other.name));
        if self.linked_by_default() {
            let names: Vec<&str> = mesh.site_names().collect();
            let first = mesh.services.first().map_or(service, |first| &first.name);
            mesh.links = links::every_pair(&names, first);
        }
        self.links.iter().for_each(|pair| links::add(&mut mesh, pair));
        mesh
    }

    fn write(&mut self, folder: &Path, now: UnixTime) -> Result<Made, String> {
        make_new(folder, SECRET_FOLDER)?;
        for name in [PASSWORDS, "root", "signer"] {
            make(&folder.join(name), SECRET_FOLDER)?;
        }
        make(&folder.join(SITES), PUBLIC_FOLDER)?;
        let root = self.write_root(folder, now)?;
        let signer = write_signer(folder, &root, &self.name, now)?;
        let root_not_after = super::certificate::not_after(root.certificate())?;
        let signer_end = super::certificate::not_after(&signer.certificate)?;
        let authorities: Vec<_> =
            self.sites.iter().map(|site| NewAuthority::make(&root, &self.name, site, now)).collect::<Result<_, _>>()?;
        let issuers = authorities.iter().map(|authority| mesh::base64(&authority.certificate)).collect();
        let mesh = self.mesh(vec![mesh::base64(root.certificate())], issuers, mesh_end(now, Some(signer_end)));
        let text = mesh.text()?;
        let signed = signature::sign(text.as_bytes(), &signer, now)?;
        for authority in &authorities {
            let there = folder.join(SITES).join(&authority.site);
            let password = folder.join(PASSWORDS).join(site_password(&authority.site));
            authority.write(&there, &password, &mesh, root.certificate())?;
            replace(&there.join(SIGNED), signed.as_bytes(), PUBLIC)?;
        }
        replace(&folder.join(MESH), text.as_bytes(), PUBLIC)?;
        replace(&folder.join(SIGNED), signed.as_bytes(), PUBLIC)?;
        let (links, linked_by_default) = (links::pairs(&mesh).into_iter().collect(), self.linked_by_default());
        Ok(Made { mesh, links, linked_by_default, root_not_after })
    }

    fn write_root(&mut self, folder: &Path, now: UnixTime) -> Result<Root, String> {
        let in_token = self.root_key.take();
        let generated = if self.password.is_none() && in_token.is_none() { Some(Password::random()?) } else { None };
        if let Some(password) = &generated {
            replace(&folder.join(PASSWORDS).join("root"), password.file().as_bytes(), SECRET)?;
        }
        let key = in_token.map_or_else(|| key::generate().map(RootKey::from), Ok)?;
        let text = key.file(self.password.as_ref().or(generated.as_ref()))?;
        replace(&folder.join(ROOT[1]), text.as_bytes(), SECRET)?;
        let root = Root::make(&self.name, key, now)?;
        replace(&folder.join(ROOT[0]), pem(root.certificate()).as_bytes(), PUBLIC)?;
        Ok(root)
    }
}

impl NewSite {
    fn uris(&self) -> Uris {
        if self.spiffe { Uris::OfDomain } else { Uris::None }
    }

    /// Returns the site's entry of the mesh.
    pub(super) fn entry(&self, issuer: Option<String>) -> Site {
        Site {
            name: self.name.clone(),
            domains: vec![self.domain.clone()],
            issuers: issuer.into_iter().collect(),
            gateways: vec![Gateway {
                host: format!("gateway.{}", self.domain),
                address: self.address.clone(),
                ports: None,
            }],
        }
    }
}

/// Checks a site by the names of the options, against domains with the names of their sites.
pub(super) fn check_site(site: &NewSite, others: &[(&str, &str)]) -> Result<(), String> {
    name::label("--site", &site.name)?;
    if others.iter().any(|(_, other)| *other == site.name) {
        return Err(format!("--site: found {} twice, expected each site once", site.name));
    }
    name::domain("--site", &site.domain)?;
    mesh::apart("--site", &site.domain, others)?;
    site.address.as_deref().map_or(Ok(()), |address| name::address("--address", address))
}

/// Returns when a mesh file that is written now ends: before its signer does, so that none is signed by an expired one.
pub(super) fn mesh_end(now: UnixTime, signer: Option<UnixTime>) -> UnixTime {
    let end = UnixTime::since_unix_epoch(std::time::Duration::from_secs(now.as_secs().saturating_add(MESH_LIFE)));
    signer.map_or(end, |signer| signer.min(end))
}

/// The CA of a site that is to be written.
pub(super) struct NewAuthority {
    pub(super) site: String,
    pub(super) certificate: CertificateDer<'static>,
    /// The encrypted key and its password; none if the key is at the site.
    key: Option<(String, Password)>,
}

impl NewAuthority {
    /// Makes the CA of a site under a root.
    pub(super) fn make(root: &Root, mesh: &str, site: &NewSite, now: UnixTime) -> Result<Self, String> {
        let (key, password) = (key::generate()?, Password::random()?);
        let certificate = root.site(mesh, (&site.name, &site.domain), site.uris(), &key, now)?;
        let encrypted = key::encrypt(&key, &password)?;
        Ok(Self { site: site.name.clone(), certificate, key: Some((encrypted, password)) })
    }

    /// Certifies the CA of a site whose key was made there.
    pub(super) fn certify(
        root: &Root,
        mesh: &str,
        site: &NewSite,
        key: &RequestedKey,
        now: UnixTime,
    ) -> Result<Self, String> {
        let certificate = root.site(mesh, (&site.name, &site.domain), site.uris(), key, now)?;
        Ok(Self { site: site.name.clone(), certificate, key: None })
    }

    /// Writes the folder of the site, and the password of its key.
    pub(super) fn write(
        &self,
        folder: &Path,
        password: &Path,
        mesh: &Mesh,
        root: &CertificateDer<'_>,
    ) -> Result<(), String> {
        let entry = mesh.known_site("--site", &self.site)?;
        make(folder, PUBLIC_FOLDER)?;
        let (root_pem, ca_pem) = (pem(root), pem(&self.certificate));
        let key_pem = self.key.as_ref().map(|(key, _)| key.as_str());
        let authority = site::Authority { root_pem: &root_pem, ca_pem: &ca_pem, key_pem };
        site::write(folder, mesh, entry, &authority)?;
        match &self.key {
            Some((_, chosen)) => replace(password, chosen.file().as_bytes(), SECRET),
            None => Ok(()),
        }
    }
}

/// Makes a signer of a generation: its certificate and its encrypted key as PEM, and its password.
pub(super) fn make_signer(
    root: &Root,
    mesh: &str,
    generation: u32,
    now: UnixTime,
) -> Result<(Signer, String, Password), String> {
    let (key, password) = (key::generate()?, Password::random()?);
    let certificate = root.signer(mesh, generation, &key, now)?;
    let encrypted = key::encrypt(&key, &password)?;
    Ok((Signer { certificate, key }, encrypted, password))
}

fn write_signer(folder: &Path, root: &Root, mesh: &str, now: UnixTime) -> Result<Signer, String> {
    let (signer, encrypted, password) = make_signer(root, mesh, 1, now)?;
    let [certificate, key]: [PathBuf; 2] = SIGNER.map(|name| folder.join(name));
    replace(&folder.join(PASSWORDS).join(signer_password(1)), password.file().as_bytes(), SECRET)?;
    replace(&key, encrypted.as_bytes(), SECRET)?;
    replace(&certificate, pem(&signer.certificate).as_bytes(), PUBLIC)?;
    Ok(signer)
}

#[cfg(test)]
mod tests {
    use edgetrust_core::mesh::{self, SignedMesh, scratch_length};
    use edgetrust_core::path::{Anchor, Trust};
    use edgetrust_core::x509::Certificate;

    use super::*;
    use crate::clock;
    use crate::tls::provider;

    /// The core takes what is made, by the root that is made with it.
    #[test]
    fn a_gateway_takes_the_signed_mesh() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("mesh");
        let site = |name: &str, domain: &str| NewSite {
            name: name.to_owned(),
            domain: domain.to_owned(),
            address: Some("192.0.2.7".to_owned()),
            spiffe: false,
        };
        let sites = vec![site("b", "b.example"), site("a", "a.example")];
        let name = "Exämple Mesh".to_owned();
        let init = Init {
            name,
            root_only: false,
            sites,
            services: Vec::new(),
            links: Vec::new(),
            root_key: None,
            password: None,
        };
        super::init(&folder, init, clock::now()).unwrap();
        let text = std::fs::read(folder.join(MESH)).unwrap();
        assert_eq!(mesh::Mesh::parse(&text).unwrap().sequence(), 1);
        let root = super::super::certificate::first_certificate(&folder.join(ROOT[0])).unwrap();
        let anchors = [Anchor::ca(Certificate::from_der(&root).unwrap())];
        let provider = provider();
        let algorithms = provider.signature_verification_algorithms.all;
        let trust = Trust { anchors: &anchors, known_intermediates: &[], denied_keys: &[], algorithms };
        let signed = std::fs::read(folder.join(SIGNED)).unwrap();
        let mut scratch = vec![0; scratch_length(signed.len())];
        let signed = SignedMesh::verify(&signed, &mut scratch, &trust, clock::now()).unwrap();
        assert_eq!((signed.generation(), signed.payload()), (1, text.as_slice()));
        signed.offer().unwrap();
    }
}
