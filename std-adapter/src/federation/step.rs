//! A step of a guided change, with all that has to be known before it cuts nobody off.

use pki_types::UnixTime;

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

/// A reason for which a step could cut somebody off.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// Not every gateway has the mesh in force that is signed here.
    Acknowledged,
    /// Not every gateway of these sites shows certificates of a CA that stays.
    Shown(Vec<String>),
    /// Certificates of the CA that goes may still be valid, until this time; `None` if it is unknown.
    Lifetime(Option<UnixTime>),
}
