//! The files of a CA whose key changes: the key in use is in its place, and the other one in a folder of `changing/`.
//! Certificates follow from `mesh.json` alone.

use std::path::Path;

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::CertificateDer;

use super::certificate::{first_certificate, issued_by, key_hash, pem};
use super::key::Password;
use super::layout::{
    CHANGING, PASSWORDS, RETIRED, RETIRED_CA, ROOT, ROOT_PASSWORD, SITES, is_unfinished, key_file, later_password,
    site_password, unfinished,
};
use super::mesh::{self, Mesh, Site};
use super::place::{
    PUBLIC, PUBLIC_FOLDER, SECRET, SECRET_FOLDER, free, look, make, move_to, names, remove_all, replace,
};
use super::stage::{RECORD, Record, Whose};

/// The next key of a CA, which counts once `mesh.json` has it.
pub(super) struct NextKey<'a> {
    pub(super) whose: Whose<'a>,
    pub(super) key: KeyHash,
    /// The encrypted key; none if it is elsewhere.
    pub(super) encrypted: Option<String>,
    /// Its password, if it was generated here.
    pub(super) password: Option<Password>,
}

impl NextKey<'_> {
    /// Writes all of it under names of what is unfinished.
    pub(super) fn write(&self, folder: &Path) -> Result<(), String> {
        let (changing, passwords) = (folder.join(CHANGING), folder.join(PASSWORDS));
        make(&changing, SECRET_FOLDER)?;
        make(&passwords, SECRET_FOLDER)?;
        let name = self.whose.name();
        let staged = changing.join(unfinished(&name));
        remove_all(&staged)?;
        make(&staged, PUBLIC_FOLDER)?;
        if let Some(password) = &self.password {
            let kept = passwords.join(unfinished(&later_password(&name, &self.key)));
            replace(&kept, password.file().as_bytes(), SECRET)?;
        }
        if let Some(encrypted) = &self.encrypted {
            replace(&staged.join(key_file(&self.key)), encrypted.as_bytes(), SECRET)?;
        }
        Record::new(&self.key, self.encrypted.is_none()).write(&staged)
    }
}

/// Gives its name to what `mesh.json` has come to count.
pub(super) fn finish(folder: &Path, mesh: &Mesh) -> Result<(), String> {
    let (changing, passwords) = (folder.join(CHANGING), folder.join(PASSWORDS));
    for name in names(&changing)?.iter().filter(|name| is_unfinished(name)) {
        let Some(whose) = mesh_whose(mesh, name.trim_start_matches('.').trim_end_matches(".new")) else { continue };
        let (staged, there) = (changing.join(name), changing.join(whose.name()));
        let Some(text) = look(&staged.join(RECORD))? else { continue };
        let Ok(record) = Record::parse(&text) else { continue };
        let next = *record.next();
        if there.exists() || !whose.keys(mesh).is_ok_and(|keys| keys.contains(&next)) {
            continue;
        }
        let password = later_password(&whose.name(), &next);
        if passwords.join(unfinished(&password)).exists() {
            move_to(&passwords.join(unfinished(&password)), &passwords.join(password))?;
        }
        move_to(&staged, &there)?;
    }
    Ok(())
}

/// Returns whose CA a folder of `changing/` is for, if the mesh has it.
fn mesh_whose<'m>(mesh: &'m Mesh, name: &str) -> Option<Whose<'m>> {
    if name == ROOT_PASSWORD {
        return Some(Whose::Root);
    }
    let site = mesh.sites.iter().find(|site| site_password(&site.name) == name)?;
    Some(Whose::Site(&site.name))
}

/// Puts away the folders of changes that have ended, and deletes unfinished ones.
pub(super) fn put_away(folder: &Path, mesh: &Mesh) -> Result<(), String> {
    let (changing, passwords) = (folder.join(CHANGING), folder.join(PASSWORDS));
    for name in names(&changing)? {
        let there = changing.join(&name);
        if is_unfinished(&name) {
            remove_all(&there)?;
            continue;
        }
        let whose = mesh_whose(mesh, &name);
        let keys = whose.map(|whose| whose.keys(mesh)).transpose()?.unwrap_or_default();
        // Without a record, a folder of nobody in the mesh is not ours.
        if keys.len() > 1 || (whose.is_none() && !there.join(RECORD).exists()) {
            continue;
        }
        if let (Some(present), Some(whose)) = (keys.first(), whose) {
            // Of the key that stays, no second copy is kept where the first one is in its place.
            let copy = there.join(key_file(present));
            let in_place = match whose {
                Whose::Root => look(&folder.join(ROOT[1]))?,
                Whose::Site(site) => look(&folder.join(SITES).join(site).join("ca.key"))?,
            };
            if in_place.is_some() && in_place == look(&copy)? {
                remove_all(&copy)?;
            }
            // A record that says nothing is no reason to keep its folder.
            let record = Record::read(folder, whose).unwrap_or_default();
            let next_stays = record.is_some_and(|record| record.next() == present);
            retire_passwords(&passwords, &name, (present, next_stays), mesh.sequence)?;
        }
        // A kill may have left half of a file, which nobody looks for there.
        names(&there)?.iter().filter(|name| is_unfinished(name)).try_for_each(|name| remove_all(&there.join(name)))?;
        let retired = folder.join(RETIRED);
        make(&retired, SECRET_FOLDER)?;
        move_to(&there, &free(&retired, &format!("{RETIRED_CA}{name}-{}", mesh.sequence)))?;
    }
    Ok(())
}

/// Puts away the passwords of keys that no CA has any more. `next_stays` is true if the key that stays came later than
/// another one.
fn retire_passwords(
    passwords: &Path,
    name: &str,
    (present, next_stays): (&KeyHash, bool),
    sequence: u64,
) -> Result<(), String> {
    let (all, later) = (names(passwords)?, later_password(name, present));
    // The first password may be that of the key that stays, unless this one has one of its own.
    let first_goes = next_stays || all.contains(&later);
    let of_others = format!("{name}.");
    let goes = |other: &&String| **other != later && (other.starts_with(&of_others) || (first_goes && *other == name));
    for password in all.iter().filter(goes) {
        move_to(&passwords.join(password), &free(passwords, &format!("retired-{name}-{sequence}")))?;
    }
    Ok(())
}

/// Returns whether a change is under way. Its folder is enough: the record may be lost.
fn is_under_way(folder: &Path, whose: Whose<'_>) -> bool {
    whose.folder(folder).is_dir()
}

/// Makes the files of the root what `mesh.json` says.
pub(super) fn settle_root(folder: &Path, mesh: &Mesh) -> Result<(), String> {
    let Some(present) = mesh.root_certificates().into_iter().next() else { return Ok(()) };
    let [certificate, key] = ROOT.map(|name| folder.join(name));
    let known = if certificate.exists() { key_hash(&first_certificate(&certificate)?)? } else { return Ok(()) };
    let wanted = key_hash(&present)?;
    // Without a change under way, a root that is not the first one was put there by somebody.
    if known == wanted || !is_under_way(folder, Whose::Root) {
        return clean(folder, Whose::Root, (known, wanted));
    }
    settle([&certificate, &key], folder, Whose::Root, (known, wanted), &pem(&present))
}

/// Makes the certificates and the key of a site's CA what `mesh.json` says.
pub(super) fn settle_site(folder: &Path, mesh: &Mesh, site: &Site) -> Result<(), String> {
    let there = folder.join(SITES).join(&site.name);
    update(&there.join("root.pem"), &bundle(mesh))?;
    let [certificate, key] = ["ca.pem", "ca.key"].map(|name| there.join(name));
    let Some(present) = site.issuers.first().filter(|issuer| !issuer.starts_with("sha256:")) else { return Ok(()) };
    let present = CertificateDer::from(mesh::certificate("issuers", present)?);
    let known = if certificate.exists() { key_hash(&first_certificate(&certificate)?)? } else { return Ok(()) };
    let (wanted, whose) = (key_hash(&present)?, Whose::Site(&site.name));
    let text: String = chain(mesh, &present)?.iter().map(pem).collect();
    if known == wanted {
        update(&certificate, &text)?;
        return clean(folder, whose, (known, wanted));
    }
    match is_under_way(folder, whose) {
        true => settle([&certificate, &key], folder, whose, (known, wanted), &text),
        // Somebody has put it there.
        false => Ok(()),
    }
}

/// Puts the key and the certificate in use in their place. The key that was there goes to `changing/` first, and the
/// certificate comes last: so an interrupted call is made again.
fn settle(
    [certificate, key]: [&Path; 2],
    folder: &Path,
    whose: Whose<'_>,
    (known, wanted): (KeyHash, KeyHash),
    text: &str,
) -> Result<(), String> {
    let changing = whose.folder(folder);
    let next = look(&changing.join(key_file(&wanted)))?;
    if let Some(present) = look(key)?.filter(|present| Some(present) != next.as_ref()) {
        replace(&changing.join(key_file(&known)), &present, SECRET)?;
    }
    match next {
        Some(next) => replace(key, &next, SECRET)?,
        None => remove_all(key)?,
    }
    replace(certificate, text.as_bytes(), PUBLIC)?;
    clean(folder, whose, (wanted, wanted))
}

/// Removes the second copy of a key that is in its place.
fn clean(folder: &Path, whose: Whose<'_>, (known, wanted): (KeyHash, KeyHash)) -> Result<(), String> {
    if known != wanted {
        return Ok(());
    }
    remove_all(&whose.folder(folder).join(key_file(&wanted)))
}

fn update(file: &Path, text: &str) -> Result<(), String> {
    match look(file)? {
        Some(found) if found != text.as_bytes() => replace(file, text.as_bytes(), PUBLIC),
        _ => Ok(()),
    }
}

/// Returns all roots of a mesh in PEM: by them a gateway that has no mesh yet takes this one.
pub(super) fn bundle(mesh: &Mesh) -> String {
    mesh.root_certificates().iter().map(pem).collect()
}

/// Returns a certificate, and after it what another root says of the root that issued it: whoever holds that one alone
/// verifies both.
pub(super) fn chain(
    mesh: &Mesh,
    certificate: &CertificateDer<'static>,
) -> Result<Vec<CertificateDer<'static>>, String> {
    let mut chain = vec![certificate.clone()];
    let parsed = Certificate::from_der(certificate).map_err(|error| error.to_string())?;
    for root in mesh.root_certificates() {
        let issuer = Certificate::from_der(&root).map_err(|error| format!("roots: {error}"))?;
        if issuer.subject() != issuer.issuer() && issued_by(&parsed, &issuer) {
            chain.push(root);
            break;
        }
    }
    Ok(chain)
}
