//! A step of a guided change, with all that has to be known before it cuts nobody off.

use edgetrust_core::time::Utc;
use edgetrust_core::x509::KeyHash;
use pki_types::UnixTime;
use serde_json::{Value, json};

use super::changing::Stage;
use super::edit::Edit;

/// A step that is worked out and not yet made.
pub(crate) struct Step<'a> {
    pub(crate) edit: Edit<'a>,
    pub(crate) doubts: Vec<Doubt>,
}

impl<'a> Step<'a> {
    /// Returns a step that cuts nobody off.
    pub(super) fn of(edit: Edit<'a>) -> Self {
        Self { edit, doubts: Vec::new() }
    }
}

/// What could make a step cut somebody off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Not every gateway has the mesh in force that is signed here.
    Acknowledged,
    /// Not every gateway of these sites shows certificates of a CA that stays.
    Shown(Vec<String>),
    /// Certificates of the CA that goes may still be valid, until this time; `None` if it is unknown.
    Lifetime(Option<UnixTime>),
    /// None of them is valid any more.
    None,
}

/// How far a change of a CA's key has come.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Progress {
    Settled,
    Started { present: KeyHash, next: KeyHash },
    Committed { before: KeyHash, present: KeyHash, since: Option<UnixTime> },
}

impl Progress {
    pub(super) fn of(stage: &Stage) -> Self {
        match stage {
            Stage::Settled => Self::Settled,
            Stage::Started { present, next, .. } => Self::Started { present: *present, next: *next },
            Stage::Committed { before, present, since } => {
                Self::Committed { before: *before, present: *present, since: *since }
            }
        }
    }

    /// Returns the word for it in JSON, and what is known of it.
    pub(crate) fn json(&self) -> Value {
        let shown = |key: &KeyHash| key.to_string();
        match self {
            Self::Settled => json!({"stage": "settled"}),
            Self::Started { present, next } => {
                json!({"stage": "started", "in_use": shown(present), "next": shown(next)})
            }
            Self::Committed { before, present, since } => json!({
                "stage": "committed",
                "in_use": shown(present),
                "before": shown(before),
                "since": since.map(|since| Utc(since).to_string()),
            }),
        }
    }
}
