//! A new key for a site's CA, in steps: both keys count, the new one is used, the old one counts no more.
//!
//! | step | `mesh.json` has | the site's CA uses | goes back by |
//! |---|---|---|---|
//! | `start` | the key in use, and after it the next one | the key in use | `abort` |
//! | `commit` | the next key, and after it the one before | the next key | `abort`, to what `start` made |
//! | `finish` | the next key alone | the next key | another renewal |

use std::path::{Path, PathBuf};

use edgetrust_core::x509::KeyHash;
use pki_types::{CertificateDer, UnixTime};

use super::certificate::{first_certificate, key_hash};
use super::change::Change;
use super::changing::{Leaving, Next, Stage, Whose};
use super::edit::Edit;
use super::folder::{self, Folder, Passwords};
use super::key::{self, Password};
use super::layout::{CHANGING, PASSWORDS, SITES, key_file, later_password, site_password};
use super::lifetime;
use super::mesh::{self, Site};
use super::requested::RequestedKey;
use super::step::{Doubt, Progress, Step};

/// Returns how far the renewal of a site's CA has come, for people.
///
/// # Errors
/// Fails if there is no such site.
pub(crate) fn progress(folder: &Path, site: &str) -> Result<Progress, String> {
    let (mesh, _) = folder::mesh(folder)?;
    mesh.known_site("SITE", site)?;
    Ok(Progress::of(&Stage::of(folder, &mesh, Whose::Site(site))?))
}

/// Returns whether a key of a site's CA was made in this folder, and not at the site.
pub(crate) fn is_here(folder: &Path, site: &str, key: &KeyHash) -> bool {
    let kept = folder.join(CHANGING).join(site_password(site)).join(key_file(key));
    kept.exists() || folder.join(PASSWORDS).join(later_password(&site_password(site), key)).exists()
}

/// Returns the file that has the password of a key of a site's CA, where it was made.
pub(crate) fn password(folder: &Path, site: &str, key: &KeyHash) -> PathBuf {
    let (passwords, first) = (folder.join(PASSWORDS), site_password(site));
    let later = passwords.join(later_password(&first, key));
    if later.exists() { later } else { passwords.join(first) }
}

/// Certifies another key for a site's CA: a new one, or that of a request. From then on certificates of both CAs count.
/// Opens the root's key.
///
/// # Errors
/// Fails if there is no such site, or the root's key cannot be opened.
pub(crate) fn start<'a>(
    folder: &Folder,
    site: &'a str,
    requested: Option<&RequestedKey>,
    passwords: &Passwords<'_>,
    now: UnixTime,
) -> Result<Step<'a>, String> {
    let mut edit = Edit::begin(folder)?;
    let whose = Whose::Site(site);
    let entry = edit.before.known_site("SITE", site)?;
    match Stage::of(folder.path(), &edit.before, whose)? {
        Stage::Settled => {}
        Stage::Started { next, .. } | Stage::Committed { present: next, .. } => {
            if requested.is_some_and(|requested| requested.hash() != next) {
                return Err(format!(
                    "--request: found another key, and a renewal to {next} is under way: abort it first"
                ));
            }
            return Ok(Step::of(edit.worked_out()?));
        }
    }
    let present = in_use(folder.path(), entry)?;
    let root = folder.root(passwords)?;
    let (certificate, encrypted, password) = match requested {
        Some(key) => (root.site_again(&present, key, now)?, None, None),
        None => {
            let (key, password) = (key::generate()?, Password::random()?);
            let encrypted = key::encrypt(&key, &password)?;
            (root.site_again(&present, &key, now)?, Some(encrypted), Some(password))
        }
    };
    let key = key_hash(&certificate)?;
    let issuer = mesh::base64(&certificate);
    issuers(&mut edit, site)?.push(issuer);
    edit.changes.push(Change::of(site, format!("certificates of its next CA are accepted too, with the key {key}")));
    edit.next = Some(Next { whose, key, encrypted, password });
    Ok(Step::of(edit.worked_out()?))
}

/// Puts the next key of a site's CA in use.
///
/// # Errors
/// Fails if no renewal has begun, or the mesh denies the next key.
pub(crate) fn commit<'a>(folder: &Folder, site: &'a str, now: UnixTime) -> Result<Step<'a>, String> {
    let mut edit = Edit::begin(folder)?;
    let whose = Whose::Site(site);
    match Stage::of(folder.path(), &edit.before, whose)? {
        Stage::Settled => {
            Err(format!("{site}: found no next key for its CA, expected one: `renew DIR {site} start` makes it"))
        }
        Stage::Committed { .. } => Ok(Step::of(edit.worked_out()?)),
        Stage::Started { present, next, .. } => {
            if edit.before.denies(&next, now) {
                return Err(format!(
                    "{site}: the mesh denies the next key {next}: `renew DIR {site} abort`, and start again"
                ));
            }
            put_first(issuers(&mut edit, site)?, &next);
            edit.changes.push(Change::of(site, format!("its CA uses the key {next} from now on")));
            edit.leaving = Some(Leaving { whose, key: present });
            Ok(Step { doubts: vec![Doubt::Acknowledged], ..Step::of(edit.worked_out()?) })
        }
    }
}

/// Takes the key of a site's CA that is not in use any more out of the mesh.
///
/// # Errors
/// Fails if the next key is not in use yet, or the mesh denies it.
pub(crate) fn finish<'a>(
    folder: &Folder,
    site: &'a str,
    longest: Option<u64>,
    now: UnixTime,
) -> Result<Step<'a>, String> {
    let mut edit = Edit::begin(folder)?;
    match Stage::of(folder.path(), &edit.before, Whose::Site(site))? {
        Stage::Settled => Ok(Step::of(edit.worked_out()?)),
        Stage::Started { next, .. } => {
            Err(format!("{site}: found the key {next} not in use yet, expected `renew DIR {site} commit` before"))
        }
        Stage::Committed { present, before, since } => {
            if edit.before.denies(&present, now) {
                return Err(format!(
                    "{site}: the mesh denies the key in use, {present}: `renew DIR {site} abort`, or allow the key"
                ));
            }
            let doubts = vec![
                Doubt::Acknowledged,
                Doubt::Shown(vec![site.to_owned()]),
                lifetime::doubt(folder.path(), &[site], since, longest, now)?,
            ];
            issuers(&mut edit, site)?.retain(|issuer| !is_of(issuer, &before));
            edit.changes.push(Change::of(
                site,
                format!("certificates by the key {before} are no longer accepted, those by {present} are"),
            ));
            Ok(Step { doubts, ..Step::of(edit.worked_out()?) })
        }
    }
}

/// Takes the last step of a renewal back.
///
/// # Errors
/// Fails if there is no such site, or the mesh denies the key that would be used again.
pub(crate) fn abort<'a>(
    folder: &Folder,
    site: &'a str,
    longest: Option<u64>,
    now: UnixTime,
) -> Result<Step<'a>, String> {
    let mut edit = Edit::begin(folder)?;
    let whose = Whose::Site(site);
    match Stage::of(folder.path(), &edit.before, whose)? {
        Stage::Settled => Ok(Step::of(edit.worked_out()?)),
        Stage::Committed { present, before, .. } => {
            if edit.before.denies(&before, now) {
                return Err(format!(
                    "{site}: the mesh denies the key {before}, which its CA would use again: `renew DIR {site} finish`, \
                     or allow the key"
                ));
            }
            put_first(issuers(&mut edit, site)?, &before);
            edit.changes.push(Change::of(site, format!("its CA uses the key {before} again")));
            edit.leaving = Some(Leaving { whose, key: present });
            // Every gateway accepts the key from before, whatever mesh it has.
            Ok(Step::of(edit.worked_out()?))
        }
        Stage::Started { next, left, .. } => {
            let doubts = match left {
                None => Vec::new(),
                // Certificates of the next key were issued.
                since => vec![
                    Doubt::Acknowledged,
                    Doubt::Shown(vec![site.to_owned()]),
                    lifetime::doubt(folder.path(), &[site], since, longest, now)?,
                ],
            };
            issuers(&mut edit, site)?.retain(|issuer| !is_of(issuer, &next));
            edit.changes.push(Change::of(site, format!("certificates by the key {next} are not accepted any more")));
            Ok(Step { doubts, ..Step::of(edit.worked_out()?) })
        }
    }
}

fn issuers<'e>(edit: &'e mut Edit<'_>, site: &str) -> Result<&'e mut Vec<String>, String> {
    let site = edit.after.sites.iter_mut().find(|known| known.name == site);
    site.map(|site| &mut site.issuers).ok_or_else(|| "found no such site".to_owned())
}

/// Puts the issuers of one key before the others.
pub(super) fn put_first(issuers: &mut [String], key: &KeyHash) {
    issuers.sort_by_key(|issuer| !is_of(issuer, key));
}

pub(super) fn is_of(issuer: &str, key: &KeyHash) -> bool {
    mesh::issuer_key("", issuer).is_ok_and(|known| known == *key)
}

/// Returns the certificate of the CA that a site uses.
fn in_use(folder: &Path, site: &Site) -> Result<CertificateDer<'static>, String> {
    let issuer = site.issuers.first().map(String::as_str).unwrap_or_default();
    if !issuer.starts_with("sha256:") {
        return Ok(CertificateDer::from(mesh::certificate("issuers", issuer)?));
    }
    let file = folder.join(SITES).join(&site.name).join("ca.pem");
    let found = first_certificate(&file)?;
    match key_hash(&found)?.to_string() == issuer {
        true => Err(format!(
            "mesh.json: found the hash alone of the CA of site {}, expected its certificate in issuers, as {} has it",
            site.name,
            file.display()
        )),
        false => Err(format!("{}: found another key, expected {issuer} as in mesh.json", file.display())),
    }
}
