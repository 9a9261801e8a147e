//! A new root, in steps: both roots count, the next one signs and certifies, the one before counts no more.
//!
//! | step | `roots` of `mesh.json` | signer and CAs of sites are certified by | goes back by |
//! |---|---|---|---|
//! | `start` | the root in use, the next one, the next one's certificate by the root in use | the root in use | `abort` |
//! | `commit` | the next one, its certificate by the one before, the one before | the next root | `abort`, to what `start` made |
//! | `finish` | the next one, its certificate by the one before | the next root | another rollover |
//!
//! The certificate by the one before stays: by it come gateways that were off all the time, and whoever holds the one
//! before alone.

use std::path::Path;

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};

use super::certificate::{Root, first_certificate, issued_by, key_hash};
use super::change::Change;
use super::changing::{Leaving, Next, Stage, Whose};
use super::edit::{Edit, NewSigner};
use super::folder::{self, Folder, Passwords};
use super::key::{self, Password};
use super::layout::{CHANGING, ROOT, ROOT_PASSWORD, SIGNER, SITES, key_file};
use super::lifetime;
use super::mesh::{self, Mesh};
use super::renewal::is_of;
use super::requested::RequestedKey;
use super::step::{Doubt, Progress, Step};

/// Returns how far the rollover of the root has come, for people.
///
/// # Errors
/// Fails if there is no mesh in the folder.
pub(crate) fn progress(folder: &Path) -> Result<Progress, String> {
    let (mesh, _) = folder::mesh(folder)?;
    Ok(Progress::of(&Stage::of(folder, &mesh, Whose::Root)?))
}

/// Makes the next root, which counts from then on beside the one in use. Opens the root's key.
///
/// # Errors
/// Fails if the root's key cannot be opened.
pub(crate) fn start(
    folder: &Folder,
    chosen: Option<&Password>,
    passwords: &Passwords<'_>,
    now: UnixTime,
) -> Result<Step<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    if Stage::of(folder.path(), &edit.before, Whose::Root)? != Stage::Settled {
        return Ok(Step::of(edit.worked_out()?));
    }
    let root = folder.root(passwords)?;
    let generated = if chosen.is_none() { Some(Password::random()?) } else { None };
    let secret = chosen.or(generated.as_ref()).ok_or("found no password")?;
    let new = key::generate()?;
    let encrypted = key::encrypt(&new, secret)?;
    let next = root.next(&edit.before.mesh, new, now)?;
    let cross = root.cross(&next, now)?;
    let key = key_hash(next.certificate())?;
    edit.after.roots.extend([next.certificate(), &cross].map(|one| mesh::base64(one)));
    edit.changes.push(Change::of_all(format!("certificates under the next root are accepted too, with the key {key}")));
    edit.next = Some(Next { whose: Whose::Root, key, encrypted: Some(encrypted), password: generated });
    Ok(Step::of(edit.worked_out()?))
}

/// Puts the next root in use: it certifies a signer of the next generation and the keys of all sites' CAs. Opens the next
/// root's key.
///
/// # Errors
/// Fails if no rollover has begun, the key cannot be opened, or the hash of a CA's key stands in the mesh for its
/// certificate.
pub(crate) fn commit<'p>(folder: &'p Folder, passwords: &'p Passwords<'_>, now: UnixTime) -> Result<Step<'p>, String> {
    let edit = Edit::begin(folder)?;
    match Stage::of(folder.path(), &edit.before, Whose::Root)? {
        Stage::Settled => {
            Err("found no next root, expected one: `edgetrust federation rollover DIR start` makes it".to_owned())
        }
        Stage::Committed { .. } => Ok(Step::of(edit.worked_out()?)),
        Stage::Started { present, next, .. } => {
            let root = opened(folder, &edit.before, &next, passwords)?;
            use_root(edit, folder, &root, (present, next), now)
        }
    }
}

/// Puts the root from before in use again, or takes the next one out. The first needs the key of the root before.
///
/// # Errors
/// Fails if the key of the root before cannot be opened.
pub(crate) fn abort<'p>(
    folder: &'p Folder,
    longest: Option<u64>,
    passwords: &'p Passwords<'_>,
    now: UnixTime,
) -> Result<Step<'p>, String> {
    let mut edit = Edit::begin(folder)?;
    match Stage::of(folder.path(), &edit.before, Whose::Root)? {
        Stage::Settled => Ok(Step::of(edit.worked_out()?)),
        Stage::Committed { before, present, .. } => {
            let root = opened(folder, &edit.before, &before, passwords)?;
            let step = use_root(edit, folder, &root, (present, before), now)?;
            // Every gateway accepts what the root before has issued.
            Ok(Step { doubts: Vec::new(), ..step })
        }
        Stage::Started { next, left, .. } => {
            let doubts = match left {
                None => Vec::new(),
                since => doubts(folder.path(), &edit.before, since, longest, now)?,
            };
            edit.after.roots.retain(|root| !is_of(root, &next));
            edit.changes.push(Change::of_all(format!("certificates under the root {next} are not accepted any more")));
            Ok(Step { doubts, ..Step::of(edit.worked_out()?) })
        }
    }
}

/// Takes the root out that is not in use any more.
///
/// # Errors
/// Fails if the next root is not in use yet.
pub(crate) fn finish(folder: &Folder, longest: Option<u64>, now: UnixTime) -> Result<Step<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    match Stage::of(folder.path(), &edit.before, Whose::Root)? {
        Stage::Settled => Ok(Step::of(edit.worked_out()?)),
        Stage::Started { next, .. } => Err(format!(
            "found the root {next} not in use yet, expected `edgetrust federation rollover DIR commit` before"
        )),
        Stage::Committed { before, present, since } => {
            let doubts = doubts(folder.path(), &edit.before, since, longest, now)?;
            edit.after.roots.retain(|root| !is_of(root, &before));
            edit.changes.push(Change::of_all(format!(
                "certificates under the root {before} are accepted no longer, those under {present} are"
            )));
            Ok(Step { doubts, ..Step::of(edit.worked_out()?) })
        }
    }
}

/// Returns what speaks against the end of a root.
fn doubts(
    folder: &Path,
    mesh: &Mesh,
    since: Option<UnixTime>,
    longest: Option<u64>,
    now: UnixTime,
) -> Result<Vec<Doubt>, String> {
    let sites: Vec<&str> = mesh.site_names().collect();
    let shown = sites.iter().map(|site| (*site).to_owned()).collect();
    Ok(vec![Doubt::Acknowledged, Doubt::Shown(shown), lifetime::doubt(folder, &sites, since, longest, now)?])
}

/// Works out the change to another root that the mesh has.
fn use_root<'a>(
    mut edit: Edit<'a>,
    folder: &Folder,
    root: &Root,
    (leaves, comes): (KeyHash, KeyHash),
    now: UnixTime,
) -> Result<Step<'a>, String> {
    for site in &mut edit.after.sites {
        for issuer in &mut site.issuers {
            if issuer.starts_with("sha256:") {
                return Err(format!(
                    "mesh.json: found the hash alone of the CA of site {}, expected its certificate in issuers, as {} has \
                     it",
                    site.name,
                    folder.path().join(SITES).join(&site.name).join("ca.pem").display()
                ));
            }
            let present = CertificateDer::from(mesh::certificate("issuers", issuer)?);
            let parsed = Certificate::from_der(&present).map_err(|error| error.to_string())?;
            let key = RequestedKey::of(&parsed.subject_public_key_info());
            let key = key.map_err(|error| format!("issuers of site {}: {error}", site.name))?;
            *issuer = mesh::base64(&root.site_again(&present, &key, now)?);
        }
    }
    edit.after.roots.sort_by_key(|one| !is_of(one, &comes));
    edit.changes
        .push(Change::of_all(format!("the root {comes} is in use: it certifies the signer and the CAs of all sites")));
    edit.leaving = Some(Leaving { whose: Whose::Root, key: leaves });
    let signer = folder.path().join(SIGNER[0]);
    let signer = if signer.exists() { Some(first_certificate(&signer)?) } else { None };
    let root_der = Certificate::from_der(root.certificate()).map_err(|error| error.to_string())?;
    let is_by_root =
        |signer: &CertificateDer<'_>| Certificate::from_der(signer).is_ok_and(|signer| issued_by(&signer, &root_der));
    if !signer.as_ref().is_some_and(is_by_root) {
        edit.signer = Some(NewSigner::make(folder, root, &edit.before.mesh, now)?);
    }
    Ok(Step { doubts: vec![Doubt::Acknowledged], ..Step::of(edit.worked_out()?) })
}

/// Opens a root that is not in use, whose key lies in `changing/`.
fn opened(folder: &Folder, mesh: &Mesh, wanted: &KeyHash, passwords: &Passwords<'_>) -> Result<Root, String> {
    let mut file = folder.path().join(CHANGING).join(ROOT_PASSWORD).join(key_file(wanted));
    let [in_place, key] = ROOT.map(|name| folder.path().join(name));
    // Somebody may have put it in its place already.
    if !file.exists() && in_place.exists() && key_hash(&first_certificate(&in_place)?)? == *wanted {
        file = key;
    }
    let certificate = mesh.root_certificates().into_iter().find(|root| is_self_issued(root, wanted));
    let certificate = certificate.ok_or_else(|| format!("mesh.json: found no certificate of the root {wanted}"))?;
    folder.root_of(certificate, &file, passwords)
}

fn is_self_issued(root: &CertificateDer<'_>, key: &KeyHash) -> bool {
    let own = |parsed: Certificate<'_>| parsed.subject() == parsed.issuer();
    key_hash(root).is_ok_and(|found| found == *key) && Certificate::from_der(root).is_ok_and(own)
}
