//! The stages of a change of a CA's key.
//!
//! `mesh.json` says which CA is in use: the first of `roots`, and the first of a site's `issuers`. A record in a folder of
//! `changing/` says which of two keys is the next one, and since when each of them is out of use.

use std::collections::BTreeMap;
use std::fmt;
use std::path::{Path, PathBuf};

use edgetrust_core::x509::KeyHash;
use pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use super::layout::{CHANGING, ROOT_PASSWORD, site_password};
use super::mesh::{self, Mesh};
use super::place::{PUBLIC, look, replace};

/// The file that says which key comes.
pub(super) const RECORD: &str = "record.json";

/// The CA whose key changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Whose<'a> {
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

impl<'a> Whose<'a> {
    /// Returns the name of its first password, and of its folder in `changing/`.
    pub(super) fn name(&self) -> String {
        match self {
            Self::Root => ROOT_PASSWORD.to_owned(),
            Self::Site(site) => site_password(site),
        }
    }

    /// Returns its folder of keys that are not in use.
    pub(super) fn folder(&self, folder: &Path) -> PathBuf {
        folder.join(CHANGING).join(self.name())
    }

    /// Returns the site, if it is the CA of one.
    pub(super) fn site(&self) -> Option<&'a str> {
        match self {
            Self::Root => None,
            Self::Site(site) => Some(site),
        }
    }

    /// Returns the sites whose certificates depend on the key.
    pub(super) fn sites(&self, mesh: &'a Mesh) -> Vec<&'a str> {
        match self {
            Self::Root => mesh.site_names().collect(),
            Self::Site(site) => vec![site],
        }
    }

    /// Returns the command line of a step.
    pub(crate) fn command(&self, folder: &Path, step: &str) -> String {
        let folder = folder.display();
        match self {
            Self::Root => format!("edgetrust federation rollover {folder} {step}"),
            Self::Site(site) => format!("edgetrust federation renew {folder} {site} {step}"),
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

/// The record of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// The key that comes.
    next: KeyHash,
    /// True if it was made at its site, and is not here.
    at_site: bool,
    /// The time since when each key is out of use that was in use before.
    left: BTreeMap<KeyHash, UnixTime>,
}

/// A record, as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    next: String,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    at_site: bool,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    left: BTreeMap<String, String>,
}

impl Record {
    pub(super) fn new(next: &KeyHash, at_site: bool) -> Self {
        Self { next: *next, at_site, left: BTreeMap::new() }
    }

    pub(super) fn next(&self) -> &KeyHash {
        &self.next
    }

    /// Reads the record of a change; `None` if there is none.
    ///
    /// # Errors
    /// Names what was found and what was expected, without the file.
    pub(super) fn read(folder: &Path, whose: Whose<'_>) -> Result<Option<Self>, String> {
        let text = look(&whose.folder(folder).join(RECORD))?;
        text.map(|text| Self::parse(&text)).transpose()
    }

    pub(super) fn parse(text: &[u8]) -> Result<Self, String> {
        let File { next, at_site, left } = serde_json::from_slice(text).map_err(|error| error.to_string())?;
        let left = left.iter().map(|(key, since)| Ok((mesh::key_hash("left", key)?, mesh::time("left", since)?)));
        Ok(Self { next: mesh::key_hash("next", &next)?, at_site, left: left.collect::<Result<_, String>>()? })
    }

    /// Writes it into a folder of `changing/`.
    pub(super) fn write(&self, there: &Path) -> Result<(), String> {
        let left = self.left.iter().map(|(key, since)| (key.to_string(), mesh::shown(*since)));
        let file = File { next: self.next.to_string(), at_site: self.at_site, left: left.collect() };
        let text = serde_json::to_string_pretty(&file).map_err(|error| error.to_string())? + "\n";
        replace(&there.join(RECORD), text.as_bytes(), PUBLIC)
    }
}

/// A key that goes out of use, which is recorded before `mesh.json` is replaced.
#[derive(Debug)]
pub(super) struct Leaving<'a> {
    pub(super) whose: Whose<'a>,
    pub(super) key: KeyHash,
}

impl Leaving<'_> {
    /// Records that the key goes out of use now. It counts once `mesh.json` has another one in use; until then what is
    /// recorded of other keys stands.
    pub(super) fn write(&self, folder: &Path, now: UnixTime) -> Result<(), String> {
        let there = self.whose.folder(folder);
        let record = Record::read(folder, self.whose);
        let record = record.map_err(|error| format!("{}: {error}", there.join(RECORD).display()))?;
        let Some(mut record) = record else { return Ok(()) };
        record.left.insert(self.key, now);
        record.write(&there)
    }
}

/// The stage of a change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stage {
    /// There is one key.
    Settled,
    /// The next key counts beside the one in use. `left` is the time since which it is out of use again.
    Started { present: KeyHash, next: KeyHash, at_site: bool, left: Option<UnixTime> },
    /// The next key is in use, since a time that is unknown where the record was lost.
    Committed { before: KeyHash, present: KeyHash, since: Option<UnixTime> },
    /// There are two keys, and no record says which of them is the next one.
    Unrecorded {
        present: KeyHash,
        other: KeyHash,
        /// The fault of the record, with its file.
        fault: String,
    },
}

impl Stage {
    /// Returns how far the change of a CA has come.
    ///
    /// # Errors
    /// Fails if there are more keys than two.
    pub(super) fn of(folder: &Path, mesh: &Mesh, whose: Whose<'_>) -> Result<Self, String> {
        let keys = whose.keys(mesh)?;
        let (present, other) = match keys.as_slice() {
            [] | [_] => return Ok(Self::Settled),
            [present, other] => (*present, *other),
            more => return Err(format!("mesh.json: found {} keys of {whose}, expected one or two", more.len())),
        };
        let file = whose.folder(folder).join(RECORD);
        let fault = match Record::read(folder, whose) {
            Ok(Some(Record { next, left, .. })) if next == present => {
                return Ok(Self::Committed { before: other, present, since: left.get(&other).copied() });
            }
            Ok(Some(Record { next, left, at_site })) if next == other => {
                return Ok(Self::Started { present, next, at_site, left: left.get(&next).copied() });
            }
            Ok(Some(Record { next, .. })) => format!("next: found {next}"),
            Ok(None) => "not there".to_owned(),
            Err(error) => error,
        };
        Ok(Self::Unrecorded { present, other, fault: format!("{}: {fault}", file.display()) })
    }

    /// Returns the word for it in JSON.
    pub(super) fn word(&self) -> &'static str {
        match self {
            Self::Settled => "settled",
            Self::Started { .. } => "started",
            Self::Committed { .. } => "committed",
            Self::Unrecorded { .. } => "unrecorded",
        }
    }
}

/// Returns what to say where no record says which of two keys is the next one.
pub(super) fn unrecorded(
    folder: &Path,
    whose: Whose<'_>,
    (present, other): (&KeyHash, &KeyHash),
    fault: &str,
) -> String {
    format!(
        "{fault}, expected the record of the change with {present} or {other} in next; without it the keys of {whose} are \
         {present} in use and {other}, and `{}` takes the second one out",
        whose.command(folder, "abort --yes")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_read_as_it_was_written() {
        let folder = tempfile::tempdir().unwrap();
        let [one, other] = [1, 2].map(|octet| KeyHash::new([octet; 32]));
        let whose = Whose::Site("a");
        let there = whose.folder(folder.path());
        std::fs::create_dir_all(&there).unwrap();
        Record::new(&one, true).write(&there).unwrap();
        let time = |text| mesh::time("", text).unwrap();
        for (key, since) in [(one, "2026-01-01"), (other, "2026-01-02"), (one, "2026-01-03")] {
            Leaving { whose, key }.write(folder.path(), time(since)).unwrap();
        }
        let left = BTreeMap::from([(one, time("2026-01-03")), (other, time("2026-01-02"))]);
        assert_eq!(Record::read(folder.path(), whose), Ok(Some(Record { next: one, at_site: true, left })));
    }

    #[test]
    fn faults_of_a_record_are_named() {
        let hash = KeyHash::new([1; 32]);
        for (text, expected) in [
            ("{".to_owned(), "EOF"),
            (r#"{"next": "x"}"#.to_owned(), "next: found \"x\", expected sha256:"),
            (format!(r#"{{"next": "{hash}", "more": 1}}"#), "unknown field `more`"),
            (format!(r#"{{"next": "{hash}", "left": {{"x": "2026-01-01"}}}}"#), "left: found \"x\""),
            (format!(r#"{{"next": "{hash}", "left": {{"{hash}": "soon"}}}}"#), "left: found \"soon\""),
        ] {
            let error = Record::parse(text.as_bytes()).unwrap_err();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
