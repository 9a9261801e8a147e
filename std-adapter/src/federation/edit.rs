//! Changes of a mesh: worked out first, then written, so that they can be shown and refused in between.

use std::path::PathBuf;

use edgetrust_core::x509::{Certificate, GeneralName, KeyHash};
use pki_types::UnixTime;

use super::certificate::{NO_HOST, Root, first_certificate, key_hash, not_after, pem};
use super::change::{Change, changes};
use super::changing::NextKey;
use super::folder::{Folder, Passwords, Signed};
use super::init::{NewAuthority, NewSite, check_site, make_signer, mesh_end};
use super::key::Password;
use super::layout::{PASSWORDS, SIGNED, SIGNER, SITES, signer_password, site_password, unfinished};
use super::links::{self, Pair};
use super::mesh::{self, DeniedKey, Mesh, Site};
use super::name;
use super::place::{self, PUBLIC_FOLDER, SECRET, SECRET_FOLDER, replace};
use super::requested::RequestedKey;
use super::signature::{self, Signer};
use super::site;
use super::stage::Leaving;

/// A change that is worked out and not yet made.
pub(crate) struct Edit<'a> {
    pub(super) before: Mesh,
    before_text: Vec<u8>,
    pub(super) after: Mesh,
    /// The difference that it makes.
    pub(crate) changes: Vec<Change>,
    /// The CA of a site that is added, and the root's certificate.
    authority: Option<(NewAuthority, pki_types::CertificateDer<'static>)>,
    /// The key of a CA that comes.
    pub(super) next: Option<NextKey<'a>>,
    /// The key of a CA that goes out of use.
    pub(super) leaving: Option<Leaving<'a>>,
    /// The signer that takes the place of the present one.
    pub(super) signer: Option<NewSigner>,
}

/// A signer that is to be written.
pub(super) struct NewSigner {
    signer: Signer,
    encrypted: String,
    password: Password,
    generation: u32,
}

impl NewSigner {
    /// Makes a signer of the next generation.
    pub(super) fn make(folder: &Folder, root: &Root, mesh: &str, now: UnixTime) -> Result<Self, String> {
        let generation = folder.last_generation()?.checked_add(1).ok_or("found the last generation")?;
        let (signer, encrypted, password) = make_signer(root, mesh, generation, now)?;
        Ok(Self { signer, encrypted, password, generation })
    }

    /// Writes it in the place of the present one.
    fn write(&self, folder: &Folder) -> Result<(), String> {
        let passwords = folder.path().join(PASSWORDS);
        place::make(&passwords, SECRET_FOLDER)?;
        let kept = passwords.join(signer_password(self.generation));
        replace(&kept, self.password.file().as_bytes(), SECRET)?;
        folder.replace_signer(&pem(&self.signer.certificate), &self.encrypted, self.generation)
    }
}

/// The result of a change that was made.
pub(crate) struct Applied {
    pub(crate) sequence: u64,
    pub(crate) signed: Signed,
    /// Configurations of gateways that people had changed, and that were therefore left alone.
    pub(crate) left: Vec<PathBuf>,
}

/// A key to deny.
pub(crate) struct Denial {
    pub(crate) key: KeyHash,
    pub(crate) reason: Option<String>,
    /// As the option has it.
    pub(crate) until: Option<String>,
}

impl Edit<'_> {
    pub(super) fn begin(folder: &Folder) -> Result<Self, String> {
        let (before, before_text) = folder.mesh()?;
        Ok(Self {
            after: before.clone(),
            before,
            before_text,
            changes: Vec::new(),
            authority: None,
            next: None,
            leaving: None,
            signer: None,
        })
    }

    /// Works out what is different. A mesh that would not be valid is refused here.
    pub(super) fn worked_out(mut self) -> Result<Self, String> {
        self.after.sites.sort_by(|one, other| one.name.cmp(&other.name));
        self.after.text()?;
        site::check(&self.after)?;
        self.changes.extend(changes(&self.before, &self.after));
        Ok(self)
    }

    /// Returns whether the change takes away what a site could do before.
    pub(crate) fn cuts(&self) -> bool {
        self.changes.iter().any(|change| change.cuts)
    }

    /// Makes the change, and signs the mesh if the signer's key can be opened.
    ///
    /// # Errors
    /// Fails if a password is wrong, and then nothing is written; or if a file cannot be written: then the same command
    /// can be run again.
    pub(crate) fn apply(self, folder: &Folder, passwords: &Passwords<'_>, now: UnixTime) -> Result<Applied, String> {
        let present = if self.signer.is_none() { folder.signer(passwords)? } else { None };
        let signer = self.signer.as_ref().map(|new| &new.signer).or(present.as_ref());
        let mut after = self.after.clone();
        // A mesh.json from a backup may be older than what was signed last, which gateways have seen.
        let signed = folder.stated()?.and_then(|stated| Mesh::parse(&stated.payload).ok());
        after.sequence = next(signed.map_or(0, |signed| signed.sequence).max(self.before.sequence))?;
        after.previous = Some(mesh::digest(&self.before_text));
        let signer_file = folder.path().join(SIGNER[0]);
        let signer_end = match signer {
            Some(signer) => Some(not_after(&signer.certificate)?),
            None => first_certificate(&signer_file).ok().map(|signer| not_after(&signer)).transpose()?,
        };
        after.not_after = mesh::shown(mesh_end(now, signer_end.filter(|end| *end > now)));
        let text = after.text()?;
        // A mesh that denies its signer's key waits for another signer.
        let signer = match signer {
            Some(signer) if after.denies(&key_hash(&signer.certificate)?, now) => None,
            signer => signer,
        };
        let signed = signer.map(|signer| signature::sign(text.as_bytes(), signer, now)).transpose()?;
        folder.settle()?;
        if let Some((authority, root)) = &self.authority {
            place::make(&folder.path().join(SITES), PUBLIC_FOLDER)?;
            place::make(&folder.path().join(PASSWORDS), SECRET_FOLDER)?;
            let staged = folder.path().join(SITES).join(unfinished(&authority.site));
            let password = folder.path().join(PASSWORDS).join(unfinished(&site_password(&authority.site)));
            authority.write(&staged, &password, &after, root)?;
        }
        if let Some(signer) = &self.signer {
            signer.write(folder)?;
        }
        if let Some(next) = &self.next {
            next.write(folder.path())?;
        }
        if let Some(leaving) = &self.leaving {
            leaving.write(folder.path(), now)?;
        }
        let left = folder.commit(text.as_bytes(), signed.as_deref())?;
        Ok(Applied { sequence: after.sequence, signed: folder.signed(now)?, left })
    }
}

/// Adds a site with a CA, whose key is new or was made at the site, and its links. Opens the root's key.
///
/// # Errors
/// Fails if the site does not go with the others, or the root's key cannot be opened.
pub(crate) fn add(
    folder: &Folder,
    (new, requested): (&NewSite, Option<&RequestedKey>),
    pairs: &[Pair],
    passwords: &Passwords<'_>,
    now: UnixTime,
) -> Result<Edit<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    // After an interruption the command may be run again.
    let there = edit.before.site(&new.name).is_some_and(|site| {
        let same_key = requested.is_none_or(|key| site.issuers.iter().any(|issuer| key.is_of(issuer)));
        site.domains == [new.domain.clone()] && same_key
    });
    if let Some(known) = edit.before.site(&new.name).filter(|_| there) {
        let address = known.gateways.first().and_then(|gateway| gateway.address.as_ref());
        if new.address.is_some() && new.address.as_ref() != address {
            let address = address.map_or("none", String::as_str);
            return Err(format!("--address: found another one for {}, which is there with {address}", new.name));
        }
        if new.spiffe && issues_uris(known) == Some(false) {
            return Err(format!("--spiffe: found it for {}, which is there with a CA that issues no URIs", new.name));
        }
    } else {
        let sites = edit.before.sites.iter();
        let others: Vec<_> =
            sites.flat_map(|site| site.domains.iter().map(|domain| (domain.as_str(), site.name.as_str()))).collect();
        check_site(new, &others)?;
        edit.after.sites.push(new.entry(None));
    }
    for pair in pairs {
        pair.check("--link", &edit.after)?;
        links::add(&mut edit.after, pair);
    }
    if !there {
        let root = folder.root(passwords)?;
        let authority = match requested {
            Some(key) => NewAuthority::certify(&root, &edit.before.mesh, new, key, now)?,
            None => NewAuthority::make(&root, &edit.before.mesh, new, now)?,
        };
        let issuer = mesh::base64(&authority.certificate);
        let site = edit.after.sites.iter_mut().find(|site| site.name == new.name);
        site.ok_or("found no such site")?.issuers = vec![issuer];
        edit.authority = Some((authority, root.certificate().clone()));
    }
    edit.worked_out()
}

/// Returns whether the CA of a site may issue URIs of a domain; `None` if the mesh has no certificate of it.
fn issues_uris(site: &Site) -> Option<bool> {
    let der = site.issuers.iter().find_map(|issuer| mesh::certificate("issuers", issuer).ok())?;
    let certificate = Certificate::from_der(&der).ok()?;
    let mut permitted = certificate.extensions().name_constraints?.permitted.into_iter();
    Some(permitted.any(|name| matches!(name, GeneralName::Uri(host) if host != NO_HOST)))
}

/// Takes a site out of the mesh.
///
/// # Errors
/// Fails if there is no such site.
pub(crate) fn remove(folder: &Folder, site: &str) -> Result<Edit<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    name::label("SITE", site)?;
    edit.before.known_site("SITE", site)?;
    edit.after.sites.retain(|other| other.name != site);
    links::drop_site(&mut edit.after, site);
    edit.worked_out()
}

/// Links a site with another.
///
/// # Errors
/// Fails if a site or the service is unknown.
pub(crate) fn link(folder: &Folder, pair: &Pair) -> Result<Edit<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    pair.check("link", &edit.before)?;
    links::add(&mut edit.after, pair);
    edit.worked_out()
}

/// Takes a link away.
///
/// # Errors
/// Fails if a site or the service is unknown.
pub(crate) fn unlink(folder: &Folder, pair: &Pair) -> Result<Edit<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    pair.check("unlink", &edit.before)?;
    if links::loses_every(&edit.before, pair) {
        let what = "sites that are added later are no longer linked by themselves, as \"*\" had it".to_owned();
        edit.changes.push(Change::of_all(what).cutting());
    }
    links::take(&mut edit.after, pair);
    edit.worked_out()
}

/// Denies a key: nobody accepts it anywhere in a chain.
///
/// # Errors
/// Fails if the reason or the time cannot be written.
pub(crate) fn deny(folder: &Folder, denial: &Denial, now: UnixTime) -> Result<Edit<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    denial.reason.as_deref().map_or(Ok(()), |reason| name::reason("--reason", reason))?;
    let until = denial.until.as_deref().map(|until| mesh::time("--until", until)).transpose()?;
    if let Some(over) = until.filter(|until| *until <= now) {
        return Err(format!("--until: found {}, which is past, expected a time to come", mesh::shown(over)));
    }
    let until = until.map(mesh::shown);
    let entry = DeniedKey { key: denial.key.to_string(), reason: denial.reason.clone(), until };
    match edit.after.denied_keys.iter_mut().find(|denied| KeyHash::parse(&denied.key) == Some(denial.key)) {
        Some(known) => {
            // What is not said now stays as it was, but for an end that is over: that key is to be denied again.
            let to_come = |until: &String| mesh::time("until", until).is_ok_and(|until| until > now);
            let entry = DeniedKey {
                reason: entry.reason.or_else(|| known.reason.clone()),
                until: entry.until.or_else(|| known.until.clone().filter(to_come)),
                ..entry
            };
            if known.until != entry.until {
                let end = entry.until.as_deref().unwrap_or("no end");
                let change = Change::of_all(format!("the denial of the key {} has another end: {end}", denial.key));
                edit.changes.push(change.cutting());
            } else if *known != entry {
                edit.changes.push(Change::of_all(format!("the key {} stays denied, with these words", denial.key)));
            }
            *known = entry;
        }
        None => edit.after.denied_keys.push(entry),
    }
    let signer = folder.path().join(SIGNER[0]);
    // A denial waits for no signer: one whose certificate cannot be read signs nothing anyhow.
    if first_certificate(&signer).and_then(|signer| key_hash(&signer)) == Ok(denial.key) {
        let what =
            "this is the signer's key, and no signature by it counts any more: make another with the command signer"
                .to_owned();
        edit.changes.push(Change::of_all(what).cutting());
    }
    edit.worked_out()
}

/// Takes the denial of a key back.
///
/// # Errors
/// Fails if the mesh is not valid.
pub(crate) fn allow(folder: &Folder, key: &KeyHash) -> Result<Edit<'static>, String> {
    let mut edit = Edit::begin(folder)?;
    edit.after.denied_keys.retain(|denied| KeyHash::parse(&denied.key) != Some(*key));
    edit.worked_out()
}

/// Signs the mesh. It gets a new sequence where people have changed it by hand and left the sequence that was signed
/// last, and a new end where less than a third of its time is left.
///
/// # Errors
/// Fails if there is no signer here, its key cannot be opened, or no gateway would take what it signs.
pub(crate) fn sign(folder: &Folder, passwords: &Passwords<'_>, now: UnixTime) -> Result<Applied, String> {
    let key = folder.path().join(SIGNER[1]);
    let missing = || match key.exists() {
        true => format!(
            "{}: found no password, expected --signer-passphrase-file, {} or a terminal",
            key.display(),
            folder.path().join(PASSWORDS).join("signer-N").display()
        ),
        false => format!("{}: not here, expected the signer's key", key.display()),
    };
    sign_by(folder, &folder.signer(passwords)?.ok_or_else(missing)?, now)
}

fn sign_by(folder: &Folder, signer: &Signer, now: UnixTime) -> Result<Applied, String> {
    let (mesh, text) = folder.mesh()?;
    let mut after = mesh.clone();
    let published = mesh::published(&text)?.into_owned();
    let signed = folder.stated()?.map(|stated| stated.payload).filter(|payload| *payload != published);
    if let Some(payload) = signed {
        let last = Mesh::parse(&payload).map_err(|error| format!("{SIGNED}: {error}"))?;
        if mesh.sequence <= last.sequence {
            after.sequence = next(last.sequence)?;
            after.previous = Some(mesh::digest(&payload));
        }
    }
    let end = mesh_end(now, Some(not_after(&signer.certificate)?));
    let left = mesh::time("not_after", &mesh.not_after)?.as_secs().saturating_sub(now.as_secs());
    let whole = end.as_secs().saturating_sub(now.as_secs());
    if left < whole / 3 {
        if after.sequence == mesh.sequence {
            after.sequence = next(mesh.sequence)?;
            after.previous = Some(mesh::digest(&text));
        }
        after.not_after = mesh::shown(end);
    }
    // Where nothing else is new, people's own text stays as it is.
    let text = if after == mesh { text } else { after.text()?.into_bytes() };
    let signed = signature::sign(&text, signer, now)?;
    let left = folder.commit(&text, Some(&signed))?;
    Ok(Applied { sequence: after.sequence, signed: folder.signed(now)?, left })
}

/// Signs the mesh if the signer's key can be opened.
///
/// # Errors
/// Fails if a password is wrong, a file cannot be written, or no gateway would take what the signer signs.
pub(crate) fn sign_if_possible(
    folder: &Folder,
    passwords: &Passwords<'_>,
    now: UnixTime,
) -> Result<Option<Applied>, String> {
    folder.signer(passwords)?.map(|signer| sign_by(folder, &signer, now)).transpose()
}

/// Issues a signer of the next generation, and signs the mesh by it. Opens the root's key.
///
/// # Errors
/// Fails if the root's key cannot be opened or a file cannot be written.
pub(crate) fn new_signer(folder: &Folder, passwords: &Passwords<'_>, now: UnixTime) -> Result<(u32, UnixTime), String> {
    let (mesh, _) = folder.mesh()?;
    let root = folder.root(passwords)?;
    let new = NewSigner::make(folder, &root, &mesh.mesh, now)?;
    new.write(folder)?;
    sign_by(folder, &new.signer, now)?;
    Ok((new.generation, not_after(&new.signer.certificate)?))
}

fn next(sequence: u64) -> Result<u64, String> {
    sequence.checked_add(1).ok_or_else(|| "sequence: found the largest, expected less".to_owned())
}
