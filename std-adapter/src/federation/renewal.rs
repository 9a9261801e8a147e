//! A new key for a site's CA: the key that comes, and its change to the key in use. `key_change` has the steps.

use std::path::{Path, PathBuf};

use edgetrust_core::x509::KeyHash;
use pki_types::{CertificateDer, UnixTime};

use super::certificate::{first_certificate, key_hash};
use super::change::Change;
use super::changing::NextKey;
use super::edit::Edit;
use super::folder::{Folder, Passwords};
use super::key::{self, Password};
use super::layout::{PASSWORDS, SITES, key_file, later_password, site_password};
use super::mesh::{self, Site};
use super::requested::RequestedKey;
use super::stage::{Stage, Whose, unrecorded};
use super::step::Step;

/// Returns whether a key of a site's CA lies in this folder, and not at the site alone.
pub(crate) fn is_here(folder: &Path, site: &str, key: &KeyHash) -> bool {
    let kept = Whose::Site(site).folder(folder).join(key_file(key));
    let [certificate, in_place] = ["ca.pem", "ca.key"].map(|name| folder.join(SITES).join(site).join(name));
    let is_in_place =
        || first_certificate(&certificate).and_then(|found| key_hash(&found)).is_ok_and(|found| found == *key);
    kept.exists() || in_place.exists() && is_in_place()
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
        Stage::Unrecorded { present, other, fault } => {
            return Err(unrecorded(folder.path(), whose, (&present, &other), &fault));
        }
        Stage::Started { next, .. } | Stage::Committed { present: next, .. } => {
            if requested.is_some_and(|requested| key::hash(requested) != next) {
                return Err(format!(
                    "--request: found another key, and a renewal to {next} is under way: abort it first"
                ));
            }
            return Ok(Step::of(edit.worked_out()?));
        }
    }
    let present = in_use(folder.path(), entry)?;
    let present_key = key_hash(&present)?;
    if requested.is_some_and(|requested| key::hash(requested) == present_key) {
        return Err(format!(
            "--request: found the key that is in use, {present_key}, expected a new one: make another request, in a folder \
             of its own"
        ));
    }
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
    edit.next = Some(NextKey { whose, key, encrypted, password });
    Ok(Step::of(edit.worked_out()?))
}

/// Checks that the next key of a site's CA lies here and opens: it goes to the folder of the site.
///
/// # Errors
/// Names the file of the key, what was found, and what was expected.
pub(super) fn check_key(
    folder: &Folder,
    site: &str,
    wanted: &KeyHash,
    (passwords, option): (&Passwords<'_>, Option<&Path>),
) -> Result<(), String> {
    let whose = Whose::Site(site);
    let mut file = whose.folder(folder.path()).join(key_file(wanted));
    let [in_place, key] = ["ca.pem", "ca.key"].map(|name| folder.path().join(SITES).join(site).join(name));
    // Somebody may have put it in its place already.
    if !file.exists() && in_place.exists() && key_hash(&first_certificate(&in_place)?)? == *wanted {
        file = key;
    }
    if !file.exists() {
        return Err(format!(
            "{}: not here, expected the next key of {whose}: bring it back, or `{}` and start again",
            file.display(),
            whose.command(folder.path(), "abort")
        ));
    }
    let kept = later_password(&site_password(site), wanted);
    let found = key::hash(&folder.open_key(&file, &kept, option, passwords)?);
    if found != *wanted {
        return Err(format!(
            "{}: found the key {found}, expected {wanted}, that of the next certificate of {whose}",
            file.display()
        ));
    }
    Ok(())
}

/// Puts a key of a site's CA that the mesh has before the other one.
pub(super) fn put_in_use<'a>(mut edit: Edit<'a>, site: &str, key: &KeyHash) -> Result<Edit<'a>, String> {
    issuers(&mut edit, site)?.sort_by_key(|issuer| !mesh::is_of(issuer, key));
    edit.changes.push(Change::of(site, format!("its CA uses the key {key} from now on")));
    Ok(edit)
}

pub(super) fn issuers<'e>(edit: &'e mut Edit<'_>, site: &str) -> Result<&'e mut Vec<String>, String> {
    let site = edit.after.sites.iter_mut().find(|known| known.name == site);
    site.map(|site| &mut site.issuers).ok_or_else(|| "found no such site".to_owned())
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
