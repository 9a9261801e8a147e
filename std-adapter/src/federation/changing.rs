//! A CA on its way: which key comes, which one goes, and the files of both.
//!
//! `mesh.json` says which CA is in use: the first of `roots`, and the first of a site's `issuers`. A folder of
//! `changing/` says which of two keys is the next one, and keeps the key that is not in use. Certificates follow from
//! `mesh.json` alone.

use std::fmt;
use std::path::Path;

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::{CertificateDer, UnixTime};
use serde::{Deserialize, Serialize};

use super::certificate::{first_certificate, issued_by, key_hash, pem};
use super::key::Password;
use super::layout::{
    CHANGING, PASSWORDS, RETIRED, ROOT, ROOT_PASSWORD, SITES, is_unfinished, key_file, later_password, site_password,
    unfinished,
};
use super::mesh::{self, Mesh, Site};
use super::place::{
    PUBLIC, PUBLIC_FOLDER, SECRET, SECRET_FOLDER, free, look, make, move_to, names, remove_all, replace,
};

/// The file that says which key comes.
const RECORD: &str = "record.json";

/// Which of the two keys of a CA comes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Record {
    /// The hash of the key that comes.
    next: String,
    /// The key that went out of use last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    left: Option<Left>,
}

/// A key that is not in use any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Left {
    key: String,
    /// The time since when (RFC 3339).
    since: String,
}

impl Record {
    pub(super) fn new(next: &KeyHash) -> Self {
        Self { next: next.to_string(), left: None }
    }

    /// Records that a key goes out of use now.
    pub(super) fn leaves(self, key: &KeyHash, now: UnixTime) -> Self {
        Self { left: Some(Left { key: key.to_string(), since: mesh::shown(now) }), ..self }
    }

    fn since(&self, key: &KeyHash) -> Option<UnixTime> {
        let left = self.left.as_ref().filter(|left| left.key == key.to_string())?;
        mesh::time("since", &left.since).ok()
    }
}

/// The CA whose key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Whose<'a> {
    Root,
    Site(&'a str),
}

impl fmt::Display for Whose<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root => f.write_str("the root"),
            Self::Site(site) => write!(f, "the CA of site {site}"),
        }
    }
}

impl Whose<'_> {
    /// Returns the name of its first password, and of its folder in `changing/`.
    fn name(&self) -> String {
        match self {
            Self::Root => ROOT_PASSWORD.to_owned(),
            Self::Site(site) => site_password(site),
        }
    }

    /// Returns the keys of a CA, the one in use first.
    pub(super) fn keys(&self, mesh: &Mesh) -> Result<Vec<KeyHash>, String> {
        let all = match self {
            Self::Root => &mesh.roots,
            Self::Site(site) => &mesh.known_site("SITE", site)?.issuers,
        };
        let mut keys = Vec::new();
        for one in all {
            let key = mesh::issuer_key("mesh.json", one)?;
            if !keys.contains(&key) {
                keys.push(key);
            }
        }
        Ok(keys)
    }
}

/// How far a change has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// There is one key.
    Settled,
    /// The next key counts beside the one in use. `left` is the time since which it is out of use again.
    Started { present: KeyHash, next: KeyHash, left: Option<UnixTime> },
    /// The next key is in use, since a time that is unknown where the record was lost.
    Committed { before: KeyHash, present: KeyHash, since: Option<UnixTime> },
}

impl Stage {
    /// Returns how far the change of a CA has come.
    ///
    /// # Errors
    /// Fails if there are two keys, and no record says which of them is the next one.
    pub(super) fn of(folder: &Path, mesh: &Mesh, whose: Whose<'_>) -> Result<Self, String> {
        let keys = whose.keys(mesh)?;
        let record = record(folder, whose)?;
        let next = record.as_ref().and_then(|record| KeyHash::parse(&record.next));
        match (keys.as_slice(), record, next) {
            ([] | [_], ..) => Ok(Self::Settled),
            ([present, before], Some(record), Some(next)) if next == *present => {
                Ok(Self::Committed { before: *before, present: *present, since: record.since(before) })
            }
            ([present, other], Some(record), Some(next)) if next == *other => {
                Ok(Self::Started { present: *present, next, left: record.since(&next) })
            }
            (keys, ..) => Err(format!(
                "mesh.json: found {} keys of {whose}, expected one, or two and {} that says which of them comes",
                keys.len(),
                folder.join(CHANGING).join(whose.name()).join(RECORD).display()
            )),
        }
    }
}

fn record(folder: &Path, whose: Whose<'_>) -> Result<Option<Record>, String> {
    let file = folder.join(CHANGING).join(whose.name()).join(RECORD);
    let text = look(&file)?;
    let record = text.map(|text| serde_json::from_slice(&text)).transpose();
    record.map_err(|error| format!("{}: {error}", file.display()))
}

/// A record that is to be written before `mesh.json` is replaced.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    pub(super) whose: Whose<'a>,
    pub(super) key: KeyHash,
}

impl Leaving<'_> {
    /// Writes that a key goes out of use. It counts once `mesh.json` has another one in use.
    pub(super) fn write(&self, folder: &Path, now: UnixTime) -> Result<(), String> {
        let Some(record) = record(folder, self.whose)? else { return Ok(()) };
        write(&folder.join(CHANGING).join(self.whose.name()), &record.leaves(&self.key, now))
    }
}

fn write(there: &Path, record: &Record) -> Result<(), String> {
    let text = serde_json::to_string_pretty(record).map_err(|error| error.to_string())? + "\n";
    replace(&there.join(RECORD), text.as_bytes(), PUBLIC)
}

/// The next key of a CA, which counts once `mesh.json` has it.
pub(super) struct Next<'a> {
    pub(super) whose: Whose<'a>,
    pub(super) key: KeyHash,
    /// The encrypted key; none if it is elsewhere.
    pub(super) encrypted: Option<String>,
    /// Its password, if it was generated here.
    pub(super) password: Option<Password>,
}

impl Next<'_> {
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
        write(&staged, &Record::new(&self.key))
    }
}

/// Gives its name to what `mesh.json` has come to count.
pub(super) fn finish(folder: &Path, mesh: &Mesh) -> Result<(), String> {
    let (changing, passwords) = (folder.join(CHANGING), folder.join(PASSWORDS));
    for name in names(&changing)?.iter().filter(|name| is_unfinished(name)) {
        let Some(whose) = mesh_whose(mesh, name.trim_start_matches('.').trim_end_matches(".new")) else { continue };
        let (staged, there) = (changing.join(name), changing.join(whose.name()));
        let Some(text) = look(&staged.join(RECORD))? else { continue };
        let Ok(record) = serde_json::from_slice::<Record>(&text) else { continue };
        let counts = |next: &KeyHash| whose.keys(mesh).is_ok_and(|keys| keys.contains(next));
        let Some(next) = KeyHash::parse(&record.next).filter(counts).filter(|_| !there.exists()) else { continue };
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
        if keys.len() > 1 || !there.join(RECORD).exists() {
            continue;
        }
        let record = whose.map(|whose| record(folder, whose)).transpose()?.flatten();
        let next = record.and_then(|record| KeyHash::parse(&record.next));
        if let (Some(present), Some(next)) = (keys.first(), next) {
            // Of the key that stays, no second copy is kept where the first one is in its place.
            let copy = there.join(key_file(present));
            let in_place = match whose {
                Some(Whose::Root) => look(&folder.join(ROOT[1]))?,
                Some(Whose::Site(site)) => look(&folder.join(SITES).join(site).join("ca.key"))?,
                None => None,
            };
            if in_place.is_some() && in_place == look(&copy)? {
                remove_all(&copy)?;
            }
            retire_password(&passwords, &name, (*present, next), mesh.sequence)?;
        }
        let retired = folder.join(RETIRED);
        make(&retired, SECRET_FOLDER)?;
        move_to(&there, &free(&retired, &format!("ca-{name}-{}", mesh.sequence)))?;
    }
    Ok(())
}

/// Puts away the password of the key that no CA has any more: of the next one, or of the first one.
fn retire_password(
    passwords: &Path,
    name: &str,
    (present, next): (KeyHash, KeyHash),
    sequence: u64,
) -> Result<(), String> {
    let later = later_password(name, &present);
    let mut gone = vec![later_password(name, &next)];
    if present == next {
        // All others of this name are of keys before it.
        let before = |other: &String| *other == name || other.starts_with(&format!("{name}."));
        gone = names(passwords)?.into_iter().filter(before).filter(|other| *other != later).collect();
    }
    for password in gone.iter().map(|name| passwords.join(name)).filter(|file| file.exists()) {
        move_to(&password, &free(passwords, &format!("retired-{name}-{sequence}")))?;
    }
    Ok(())
}

/// Makes the files of the root what `mesh.json` says.
pub(super) fn settle_root(folder: &Path, mesh: &Mesh) -> Result<(), String> {
    let Some(present) = mesh.root_certificates().into_iter().next() else { return Ok(()) };
    let [certificate, key] = ROOT.map(|name| folder.join(name));
    let known = if certificate.exists() { key_hash(&first_certificate(&certificate)?)? } else { return Ok(()) };
    let wanted = key_hash(&present)?;
    // Without a change under way, a root that is not the first one was put there by somebody.
    if known == wanted || record(folder, Whose::Root)?.is_none() {
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
    match record(folder, whose)? {
        Some(_) => settle([&certificate, &key], folder, whose, (known, wanted), &text),
        // Somebody has put it there.
        None => Ok(()),
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
    let changing = folder.join(CHANGING).join(whose.name());
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
    remove_all(&folder.join(CHANGING).join(whose.name()).join(key_file(&wanted)))
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
