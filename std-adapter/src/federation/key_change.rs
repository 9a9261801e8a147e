//! The steps by which a site's CA, or the root, gets a new key: both keys count, the new one is used, the old one counts
//! no more.
//!
//! | step | `mesh.json` has | in use | goes back by |
//! |---|---|---|---|
//! | `start` | the key in use, and after it the next one | the key in use | `abort` |
//! | `commit` | the next key, and after it the one before | the next key | `abort`, to what `start` made; then `abort --start` |
//! | `finish` | the next key alone | the next key | another change |
//!
//! Each step leads to one state, whatever state it finds: so a step that was interrupted is run again.

use std::path::Path;

use edgetrust_core::x509::{Certificate, KeyHash};
use pki_types::UnixTime;

use super::certificate::first_certificate;
use super::change::Change;
use super::edit::{Edit, NewSigner};
use super::folder::{Folder, Passwords};
use super::layout::SIGNER;
use super::lifetime;
use super::mesh::{self, Mesh};
use super::stage::{Leaving, Stage, Whose, unrecorded};
use super::step::{Doubt, Step};
use super::{renewal, rollover};

/// The word of a person on the end of a key.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Said {
    /// The longest lifetime of a certificate, in seconds; by default what the sites' `ca.json` have.
    pub(crate) longest: Option<u64>,
    /// Takes `start` back, too, where the next key was in use.
    pub(crate) start_too: bool,
}

/// Puts the next key of a CA in use. `next` is the file with the password of a site's next key, if an option names it.
///
/// # Errors
/// Fails if no change has begun, the mesh denies the next key, or the key is not here and does not open.
pub(crate) fn commit<'a>(
    folder: &'a Folder,
    whose: Whose<'a>,
    (passwords, next): (&'a Passwords<'_>, Option<&Path>),
    now: UnixTime,
) -> Result<Step<'a>, String> {
    let edit = Edit::begin(folder)?;
    match Stage::of(folder.path(), &edit.before, whose)? {
        Stage::Settled => Err(format!(
            "found no next key of {whose}, expected one: `{}` makes it",
            whose.command(folder.path(), "start")
        )),
        Stage::Unrecorded { present, other, fault } => {
            Err(unrecorded(folder.path(), whose, (&present, &other), &fault))
        }
        Stage::Committed { .. } => Ok(Step::of(edit.worked_out()?)),
        Stage::Started { present, next: key, at_site, .. } => {
            if edit.before.denies(&key, now) {
                return Err(format!(
                    "the mesh denies the next key of {whose}, {key}: `{}`, and start again",
                    whose.command(folder.path(), "abort")
                ));
            }
            let mut edit = match whose {
                Whose::Root => rollover::put_in_use(edit, folder, &key, passwords, now)?,
                Whose::Site(site) => {
                    if !at_site {
                        renewal::check_key(folder, site, &key, (passwords, next))?;
                    }
                    renewal::put_in_use(edit, site, &key)?
                }
            };
            edit.leaving = Some(Leaving { whose, key: present });
            Ok(Step { doubts: vec![Doubt::Acknowledged], ..Step::of(edit.worked_out()?) })
        }
    }
}

/// Takes the key of a CA that is not in use any more out of the mesh.
///
/// # Errors
/// Fails if the next key is not in use yet, or the mesh denies it.
pub(crate) fn finish<'a>(folder: &Folder, whose: Whose<'a>, said: Said, now: UnixTime) -> Result<Step<'a>, String> {
    let mut edit = Edit::begin(folder)?;
    match Stage::of(folder.path(), &edit.before, whose)? {
        Stage::Settled => Ok(Step::of(edit.worked_out()?)),
        Stage::Unrecorded { present, other, fault } => {
            Err(unrecorded(folder.path(), whose, (&present, &other), &fault))
        }
        Stage::Started { next, .. } => Err(format!(
            "found the key {next} of {whose} not in use yet, expected `{}` before",
            whose.command(folder.path(), "commit")
        )),
        Stage::Committed { present, before, since } => {
            refuse_denied(folder.path(), &edit.before, whose, (&present, "abort"), now)?;
            let doubts = doubts(folder.path(), &edit.before, whose, since, (said, now))?;
            take_out(&mut edit, whose, &before)?;
            edit.changes.push(change(
                whose,
                format!("certificates by the key {before} are accepted no longer, those by {present} are"),
            ));
            Ok(Step { doubts, ..Step::of(edit.worked_out()?) })
        }
    }
}

/// Takes the last step of a change back. Where the next key was in use, `start` is taken back only if this is said.
///
/// # Errors
/// Fails if the mesh denies the key that would be in use, or the root's key is needed and does not open.
pub(crate) fn abort<'a>(
    folder: &'a Folder,
    whose: Whose<'a>,
    said: Said,
    passwords: &'a Passwords<'_>,
    now: UnixTime,
) -> Result<Step<'a>, String> {
    let mut edit = Edit::begin(folder)?;
    let (goes, since) = match Stage::of(folder.path(), &edit.before, whose)? {
        Stage::Settled => return Ok(Step::of(edit.worked_out()?)),
        // It was taken back already.
        Stage::Started { left: Some(_), .. } if !said.start_too => return Ok(Step::of(edit.worked_out()?)),
        Stage::Committed { .. } if said.start_too => {
            return Err(format!(
                "found the next key of {whose} in use, expected `{}` before",
                whose.command(folder.path(), "abort")
            ));
        }
        Stage::Committed { present, before, .. } => {
            refuse_denied(folder.path(), &edit.before, whose, (&before, "finish"), now)?;
            let mut edit = match whose {
                Whose::Root => rollover::put_in_use(edit, folder, &before, passwords, now)?,
                Whose::Site(site) => renewal::put_in_use(edit, site, &before)?,
            };
            edit.leaving = Some(Leaving { whose, key: present });
            // Every gateway accepts what the key from before has issued, whatever mesh it has.
            return Ok(Step::of(edit.worked_out()?));
        }
        Stage::Started { next, left, .. } => (next, left.map(Some)),
        Stage::Unrecorded { other, present, .. } => {
            if edit.before.denies(&present, now) {
                return Err(format!(
                    "the mesh denies the key of {whose} that would stay, {present}: allow it, abort, and make a new key"
                ));
            }
            (other, Some(None))
        }
    };
    let doubts = match since {
        // No certificate by the key was issued.
        None => Vec::new(),
        Some(since) => doubts(folder.path(), &edit.before, whose, since, (said, now))?,
    };
    take_out(&mut edit, whose, &goes)?;
    if whose == Whose::Root {
        replace_signer(&mut edit, folder, &goes, passwords, now)?;
    }
    edit.changes.push(change(whose, format!("certificates by the key {goes} are not accepted any more")));
    Ok(Step { doubts, ..Step::of(edit.worked_out()?) })
}

fn change(whose: Whose<'_>, what: String) -> Change {
    match whose {
        Whose::Root => Change::of_all(what),
        Whose::Site(site) => Change::of(site, what),
    }
}

/// Refuses to put a key in use, or to leave it alone, that the mesh denies. `other` is the step that leads to another key.
fn refuse_denied(
    folder: &Path,
    mesh: &Mesh,
    whose: Whose<'_>,
    (key, other): (&KeyHash, &str),
    now: UnixTime,
) -> Result<(), String> {
    if !mesh.denies(key, now) {
        return Ok(());
    }
    let other = whose.command(folder, other);
    Err(format!("the mesh denies the key of {whose} that would be in use, {key}: `{other}`, or allow the key"))
}

/// Returns what speaks against the end of a key that was in use.
fn doubts(
    folder: &Path,
    mesh: &Mesh,
    whose: Whose<'_>,
    since: Option<UnixTime>,
    (said, now): (Said, UnixTime),
) -> Result<Vec<Doubt>, String> {
    let sites = whose.sites(mesh);
    let shown = Doubt::Shown(sites.iter().map(|site| (*site).to_owned()).collect());
    let lifetime = lifetime::doubt(folder, &sites, since, said.longest, now)?;
    Ok([Doubt::Acknowledged, shown].into_iter().chain(lifetime).collect())
}

fn take_out(edit: &mut Edit<'_>, whose: Whose<'_>, key: &KeyHash) -> Result<(), String> {
    let all = match whose {
        Whose::Root => &mut edit.after.roots,
        Whose::Site(site) => renewal::issuers(edit, site)?,
    };
    all.retain(|one| !mesh::is_of(one, key));
    Ok(())
}

/// Makes another signer if the present one is by a root that goes, as an interrupted `commit` leaves it.
fn replace_signer(
    edit: &mut Edit<'_>,
    folder: &Folder,
    goes: &KeyHash,
    passwords: &Passwords<'_>,
    now: UnixTime,
) -> Result<(), String> {
    let file = folder.path().join(SIGNER[0]);
    if !file.exists() {
        return Ok(());
    }
    let signer = first_certificate(&file)?;
    let signer = Certificate::from_der(&signer).map_err(|error| format!("{}: {error}", file.display()))?;
    if rollover::is_by(&signer, &edit.before, goes) {
        edit.signer = Some(NewSigner::make(folder, &folder.root(passwords)?, &edit.before.mesh, now)?);
    }
    Ok(())
}
