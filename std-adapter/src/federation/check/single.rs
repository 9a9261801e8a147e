//! Judges one file of a mesh, `mesh.json` or `mesh.signed.json`, without the folder where it was made.

use std::path::Path;
use std::time::Duration;

use pki_types::UnixTime;
use serde_json::Value;

use super::report::{Report, of_text};
use crate::federation::mesh::Mesh;
use crate::federation::place::look;
use crate::federation::progress;
use crate::federation::signature;
use crate::federation::tree::Signer;

/// The end of errors of a file that is neither form of a mesh.
const EXPECTED: &str = "expected mesh.json or mesh.signed.json, or the folder of a mesh";

/// Judges what can be judged by a file alone, and says what was not looked at.
///
/// # Errors
/// Names the file, the field, and what was found in place of what was expected.
pub(super) fn check(file: &Path, min_left: Duration, now: UnixTime) -> Result<Report, String> {
    let at = |error: String| format!("{}: {error}", file.display());
    let text = look(file)?.ok_or_else(|| at(format!("not there, {EXPECTED}")))?;
    let json: Value = serde_json::from_slice(&text).map_err(|error| at(format!("{error}, {EXPECTED}")))?;
    let stated = match json.get("payload").or(json.get("protected")).or(json.get("signature")) {
        Some(_) => Some(signature::stated(&text).map_err(at)?),
        None if json.get("mesh").is_none() => return Err(at(format!("mesh: found none, {EXPECTED}"))),
        None => None,
    };
    let (payload, field) = match &stated {
        Some(stated) => (stated.payload.as_slice(), "payload: "),
        None => (text.as_slice(), ""),
    };
    let mesh = Mesh::parse(payload).map_err(|error| at(format!("{field}{error}")))?;
    let signer = stated.as_ref().map(|stated| Signer::of(&stated.signer)).transpose().map_err(at)?;
    let mut report = of_text(payload, None, signer, min_left, now).map_err(|error| at(format!("{field}{error}")))?;
    report.warnings.extend(progress::in_use_and_denied(&mesh, progress::all(&mesh), now)?);
    let mut not_seen = "the folders of sites and their configurations, private keys that lie anywhere".to_owned();
    match &stated {
        Some(stated) => match signature::verify(&text, &mesh.root_certificates(), now) {
            Ok(_) => report.notes.push(format!(
                "signed by the signer of generation {}, under a root of this mesh itself: compare its key with that of \
                 your own root",
                stated.generation
            )),
            Err(error) => report.warnings.push(format!("no gateway takes {}: {error}", file.display())),
        },
        None => not_seen.push_str(", the signature and the signer"),
    }
    for whose in progress::all(&mesh).filter(|whose| whose.keys(&mesh).is_ok_and(|keys| keys.len() > 1)) {
        report
            .notes
            .push(format!("{whose} has two keys, and the first one is in use: its folder says which one comes"));
    }
    report.notes.push(format!("not looked at, for one file alone was: {not_seen}"));
    Ok(report)
}
