//! The contents of a mesh's folder: the tree of its certificates with their ends, its links and its denials.

use std::path::Path;

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};
use serde::Serialize;

use super::certificate::{first_certificate, generation};
use super::folder::{self, Signed};
use super::layout::{CHANGING, RETIRED, RETIRED_CA, ROOT, ROOT_PASSWORD, SIGNER, SITES};
use super::links::{Pair, pairs};
use super::mesh::{self, DeniedKey, Gateway, Service};
use super::place::{look, names};
use super::progress::{Progress, all, in_use_and_denied, under_way};
use crate::token::KeyUri;

/// A folder's contents, as shown.
#[derive(Debug, Serialize)]
pub(crate) struct Tree {
    pub(crate) mesh: String,
    pub(crate) sequence: u64,
    pub(crate) not_after: String,
    /// "yes", "outdated", "refused" or "no".
    pub(crate) signed: &'static str,
    pub(crate) roots: Vec<Authority>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) signer: Option<Signer>,
    pub(crate) sites: Vec<Site>,
    pub(crate) services: Vec<Service>,
    pub(crate) links: Vec<Link>,
    pub(crate) denied_keys: Vec<DeniedKey>,
    /// The changes of keys that are under way.
    pub(crate) changes: Vec<Progress>,
    pub(crate) warnings: Vec<String>,
}

/// A CA.
#[derive(Debug, Serialize)]
pub(crate) struct Authority {
    /// Absent where the mesh has the hash of the key alone.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) subject: Option<String>,
    /// Absent where it is the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) issuer: Option<String>,
    pub(crate) key: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) not_after: Option<String>,
    /// Its place in a change of the key: "in use", "next", "before" or "other". Absent where none is under way.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) role: Option<&'static str>,
}

/// The signer of `mesh.json`.
#[derive(Debug, Serialize)]
pub(crate) struct Signer {
    pub(crate) generation: u32,
    pub(crate) key: String,
    pub(crate) not_after: String,
}

/// A site.
#[derive(Debug, Serialize)]
pub(crate) struct Site {
    pub(crate) name: String,
    pub(crate) domains: Vec<String>,
    pub(crate) issuers: Vec<Authority>,
    pub(crate) gateways: Vec<Gateway>,
}

/// A site that reaches another.
#[derive(Debug, Serialize)]
pub(crate) struct Link {
    pub(crate) from: String,
    pub(crate) to: String,
    pub(crate) service: String,
}

/// Reads a mesh's folder. Nothing in it is changed.
///
/// # Errors
/// Fails if there is no mesh in the folder or a file cannot be read.
pub(crate) fn tree(path: &Path, now: UnixTime) -> Result<Tree, String> {
    let (mesh, _) = folder::mesh(path)?;
    let changes = under_way(path, &mesh, now)?;
    let change = |site: Option<&str>| changes.iter().find(|change| change.site() == site);
    let mut sites = Vec::new();
    for site in &mesh.sites {
        sites.push(Site {
            name: site.name.clone(),
            domains: site.domains.clone(),
            issuers: site
                .issuers
                .iter()
                .map(|issuer| authority(issuer, change(Some(&site.name))))
                .collect::<Result<_, _>>()?,
            gateways: site.gateways.clone(),
        });
    }
    let signed = folder::signed(path, now)?;
    let links = pairs(&mesh).into_iter().map(|Pair { from, to, service }| Link { from, to, service });
    let denied = in_use_and_denied(&mesh, all(&mesh), now)?;
    let mut tree = Tree {
        sequence: mesh.sequence,
        not_after: mesh.not_after.clone(),
        signed: signed.word(),
        roots: mesh.roots.iter().map(|root| authority(root, change(None))).collect::<Result<_, _>>()?,
        signer: signer(path)?,
        sites,
        links: links.collect(),
        warnings: Vec::new(),
        changes,
        mesh: mesh.mesh,
        services: mesh.services,
        denied_keys: mesh.denied_keys,
    };
    tree.warnings = warnings(&tree, &signed, path, now)?;
    tree.warnings.extend(denied);
    Ok(tree)
}

/// Returns what to look at.
fn warnings(tree: &Tree, signed: &Signed, path: &Path, now: UnixTime) -> Result<Vec<String>, String> {
    let mut warnings = of_place(path, tree.sites.iter().map(|site| site.name.as_str()), signed);
    let authorities = tree.roots.iter().chain(tree.sites.iter().flat_map(|site| &site.issuers));
    let ends = authorities.filter_map(|one| Some((one.subject.clone()?, one.not_after.clone()?)));
    let signer = tree.signer.iter().map(|signer| ("the signer".to_owned(), signer.not_after.clone()));
    let file = std::iter::once(("mesh.json".to_owned(), tree.not_after.clone()));
    for (what, end) in ends.chain(signer).chain(file) {
        if mesh::time("not_after", &end)? <= now {
            warnings.push(format!("{what} has ended at {end}"));
        }
    }
    Ok(warnings)
}

/// Returns which keys lie here that belong elsewhere, and what is wrong with the signature.
pub(super) fn of_place<'s>(path: &Path, sites: impl Iterator<Item = &'s str>, signed: &Signed) -> Vec<String> {
    let mut warnings = Vec::new();
    let key = path.join(ROOT[1]);
    // The name of a key in a token is no secret.
    let in_token = look(&key).ok().flatten().is_some_and(|text| KeyUri::in_place_of(&text).is_some());
    if key.exists() && !in_token {
        warnings.push(format!("{}: the root's key is here: keep it offline, apart from its password", key.display()));
    }
    // A folder that cannot be read has nothing to say here.
    warnings.extend(private_keys_left(path).unwrap_or_default());
    let keys = sites.filter(|site| path.join(SITES).join(site).join("ca.key").exists()).count();
    if keys > 1 {
        warnings.push(format!("the keys of {keys} sites are here: delete each when its site has it"));
    }
    match signed {
        Signed::By(_) => {}
        Signed::Not => warnings.push("mesh.json is not signed: run edgetrust federation sign-mesh".to_owned()),
        Signed::Outdated => {
            warnings.push("mesh.signed.json is not mesh.json as it is: run edgetrust federation sign-mesh".to_owned());
        }
        Signed::Refused(error) => warnings.push(format!("no gateway takes mesh.signed.json: {error}")),
    }
    warnings
}

/// Returns which private keys of CAs lie here although no CA here uses them.
///
/// # Errors
/// Fails if a folder cannot be read.
pub(crate) fn private_keys_left(path: &Path) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    for (folder, prefix) in [(CHANGING, ""), (RETIRED, RETIRED_CA)] {
        let mut entries = names(&path.join(folder))?;
        entries.retain(|name| name.starts_with(prefix) && !name.starts_with('.'));
        entries.sort();
        for entry in entries {
            let there = path.join(folder).join(&entry);
            let mut keys = if there.is_dir() { names(&there)? } else { Vec::new() };
            keys.retain(|name| name.ends_with(".key"));
            keys.sort();
            let what = match (folder, entry == ROOT_PASSWORD) {
                (CHANGING, true) => "a root's key is here: keep it offline, apart from its password",
                (CHANGING, false) => {
                    "a private key of a CA is here, until `finish`: it belongs to its site. `start --request` leaves it there"
                }
                _ => "the private key of a CA that is gone is here: carry it away or destroy it, and its password",
            };
            warnings.extend(keys.iter().map(|name| format!("{}: {what}", there.join(name).display())));
        }
    }
    Ok(warnings)
}

fn authority(issuer: &str, change: Option<&Progress>) -> Result<Authority, String> {
    let key = mesh::issuer_key("issuers", issuer)?.to_string();
    let role = change.and_then(|change| change.role(&key));
    if key == issuer {
        return Ok(Authority { subject: None, issuer: None, role, key, not_after: None });
    }
    let der = mesh::certificate("issuers", issuer)?;
    let certificate = Certificate::from_der(&der).map_err(|error| error.to_string())?;
    let not_after = Some(mesh::shown(certificate.validity().not_after));
    let issuer = (certificate.subject() != certificate.issuer()).then(|| certificate.issuer().to_string());
    Ok(Authority { subject: Some(certificate.subject().to_string()), issuer, key, not_after, role })
}

/// Returns the signer whose certificate lies in a folder, if there is one.
pub(super) fn signer(path: &Path) -> Result<Option<Signer>, String> {
    let file = path.join(SIGNER[0]);
    if !file.exists() {
        return Ok(None);
    }
    let signer = Signer::of(&first_certificate(&file)?);
    signer.map(Some).map_err(|error| format!("{}: {error}", file.display()))
}

impl Signer {
    /// Returns what is shown of a signer's certificate.
    pub(super) fn of(der: &CertificateDer<'_>) -> Result<Self, String> {
        let certificate = Certificate::from_der(der).map_err(|error| error.to_string())?;
        Ok(Self {
            generation: generation(der)?,
            key: KeyHash::of(&certificate.subject_public_key_info()).to_string(),
            not_after: mesh::shown(certificate.validity().not_after),
        })
    }
}
