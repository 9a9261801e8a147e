//! The progress of a change of a CA's key, for people: in words, in JSON, and with its next step.

use std::path::Path;

use edgetrust_core::time::Utc;
use edgetrust_core::x509::KeyHash;
use pki_types::UnixTime;
use serde::{Serialize, Serializer};

use super::folder;
use super::lifetime;
use super::mesh::{self, Mesh};
use super::stage::{Stage, Whose};

/// A change of a CA's key.
#[derive(Clone, Debug)]
pub(crate) struct Progress {
    /// The CA, in words.
    whose: String,
    site: Option<String>,
    pub(crate) stage: Stage,
    /// The time from which the key that is out of use can be taken out.
    ends: Option<UnixTime>,
    /// The command of the next step, and when to run it.
    pub(crate) next_step: Option<String>,
    /// Warnings of keys in use that the mesh denies.
    pub(crate) warnings: Vec<String>,
}

/// Returns how far the change of a CA's key has come.
///
/// # Errors
/// Fails if there is no such site.
pub(crate) fn progress(folder: &Path, whose: Whose<'_>, now: UnixTime) -> Result<Progress, String> {
    Progress::of(folder, &folder::mesh(folder)?.0, whose, now)
}

/// Returns what to say of keys in use that the mesh denies.
pub(super) fn in_use_and_denied<'a>(
    mesh: &Mesh,
    whose: impl Iterator<Item = Whose<'a>>,
    now: UnixTime,
) -> Result<Vec<String>, String> {
    let mut warnings = Vec::new();
    for whose in whose {
        let present = whose.keys(mesh)?.into_iter().next();
        let denied = present.filter(|present| mesh.denies(present, now));
        warnings.extend(denied.map(|key| format!("the mesh denies the key in use of {whose}, {key}")));
    }
    Ok(warnings)
}

pub(super) fn all(mesh: &Mesh) -> impl Iterator<Item = Whose<'_>> {
    std::iter::once(Whose::Root).chain(mesh.site_names().map(Whose::Site))
}

/// Returns the changes that are under way in a folder, the root's first.
pub(super) fn under_way(folder: &Path, mesh: &Mesh, now: UnixTime) -> Result<Vec<Progress>, String> {
    let mut found = Vec::new();
    for whose in all(mesh) {
        let progress = Progress::of(folder, mesh, whose, now)?;
        if progress.stage != Stage::Settled {
            found.push(progress);
        }
    }
    Ok(found)
}

impl Progress {
    fn of(folder: &Path, mesh: &Mesh, whose: Whose<'_>, now: UnixTime) -> Result<Self, String> {
        let stage = Stage::of(folder, mesh, whose)?;
        let command = |step: &str| format!("`{}`", whose.command(folder, step));
        let left = match stage {
            Stage::Started { left, .. } => left,
            Stage::Committed { since, .. } => since,
            Stage::Settled | Stage::Unrecorded { .. } => None,
        };
        let end = match left {
            Some(left) => lifetime::end(folder, &whose.sites(mesh), left, None).map(Some),
            None => Ok(None),
        };
        let when = match &end {
            Ok(Some(end)) if *end <= now => format!("possible since {}", Utc(*end)),
            Ok(Some(end)) => format!("possible from {}", Utc(*end)),
            Ok(None) => "with --yes, since it is not known since when the other key is out of use".to_owned(),
            Err(error) => format!("with --lifetime ({error})"),
        };
        let next_step = match &stage {
            Stage::Settled => None,
            Stage::Started { left: None, .. } => Some(format!(
                "{} with --config FILE, or --status SITE=FILE for each gateway, once all of them have acknowledged the mesh; {} \
                 gives the change up",
                command("commit"),
                command("abort")
            )),
            Stage::Started { left: Some(_), .. } => Some(format!(
                "{}, to use the next key again; or {} to give the change up, {when}",
                command("commit"),
                command("abort --start")
            )),
            Stage::Committed { .. } => Some(format!(
                "{} with --config FILE, or --status SITE=FILE for each gateway, {when}, once every gateway of {} shows a \
                 certificate of the CA in use",
                command("finish"),
                match whose.site() {
                    Some(site) => format!("site {site}"),
                    None => "every site".to_owned(),
                }
            )),
            Stage::Unrecorded { other, .. } => Some(format!("{}, which takes {other} out", command("abort --yes"))),
        };
        Ok(Self {
            whose: whose.to_string(),
            site: whose.site().map(str::to_owned),
            warnings: in_use_and_denied(mesh, std::iter::once(whose), now)?,
            ends: end.ok().flatten(),
            stage,
            next_step,
        })
    }

    /// Says how far the change has come.
    pub(crate) fn words(&self) -> String {
        let whose = &self.whose;
        match &self.stage {
            Stage::Settled => format!("{whose}: no change of its key is under way"),
            Stage::Started { present, next, left: None, .. } => {
                format!("{whose}: uses the key {present}; the next one counts too: {next}")
            }
            Stage::Started { present, next, left: Some(left), .. } => format!(
                "{whose}: uses the key {present}; the next one counts too, and is out of use again since {}: {next}",
                Utc(*left)
            ),
            Stage::Committed { before, present, since } => {
                let since = since.map_or_else(|| "a time that is unknown".to_owned(), |since| Utc(since).to_string());
                format!("{whose}: uses the key {present} since {since}; the one before counts too: {before}")
            }
            Stage::Unrecorded { present, other, fault } => format!(
                "{whose}: uses the key {present}; {other} counts too, and no record says whether it comes or goes: {fault}"
            ),
        }
    }

    /// Returns the site; none if the change is the root's.
    pub(super) fn site(&self) -> Option<&str> {
        self.site.as_deref()
    }

    /// Returns the place of a key in the change: "in use", "next", "before" or "other"; `None` if it has none.
    pub(crate) fn role(&self, key: &str) -> Option<&'static str> {
        let (present, other, role) = match &self.stage {
            Stage::Settled => return None,
            Stage::Started { present, next, .. } => (present, next, "next"),
            Stage::Committed { before, present, .. } => (present, before, "before"),
            Stage::Unrecorded { present, other, .. } => (present, other, "other"),
        };
        let is = |one: &KeyHash| one.to_string() == key;
        if is(present) { Some("in use") } else { Some(role).filter(|_| is(other)) }
    }
}

/// A change, as JSON has it.
#[derive(Default, Serialize)]
struct Shown {
    /// Absent if it is the root's.
    #[serde(skip_serializing_if = "Option::is_none")]
    site: Option<String>,
    stage: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    in_use: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    before: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    other: Option<String>,
    /// The time since when the key that is not in use is out of use.
    #[serde(skip_serializing_if = "Option::is_none")]
    since: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    ends: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_step: Option<String>,
}

impl Serialize for Progress {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let key = |key: &KeyHash| Some(key.to_string());
        let shown = Shown {
            site: self.site.clone(),
            stage: self.stage.word(),
            ends: self.ends.map(mesh::shown),
            next_step: self.next_step.clone(),
            ..Shown::default()
        };
        let shown = match &self.stage {
            Stage::Settled => shown,
            Stage::Started { present, next, left, .. } => {
                Shown { in_use: key(present), next: key(next), since: left.map(mesh::shown), ..shown }
            }
            Stage::Committed { before, present, since } => {
                Shown { in_use: key(present), before: key(before), since: since.map(mesh::shown), ..shown }
            }
            Stage::Unrecorded { present, other, .. } => Shown { in_use: key(present), other: key(other), ..shown },
        };
        shown.serialize(serializer)
    }
}
