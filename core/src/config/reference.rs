//! Lists all keys, for documents.

use super::schema::{Field, Kind, Objects, TOP};
use crate::json::MAX_PATH;

/// One key for documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of objects around the key.
    pub depth: usize,
    /// The key.
    pub key: &'static str,
    /// The kind of value.
    pub takes: &'static str,
    /// The meaning of the key; empty without the feature `gateway`.
    pub doc: &'static str,
}

/// Calls `each` for every key, with an object's own keys right after the object.
pub fn reference(mut each: impl FnMut(Entry)) {
    let mut stack: heapless::Vec<core::slice::Iter<'static, Field>, { MAX_PATH }> = heapless::Vec::new();
    let pushed = stack.push(TOP.fields.iter()).is_ok();
    debug_assert!(pushed, "the list is empty");
    while let Some(fields) = stack.last_mut() {
        let Some(field) = fields.next() else {
            stack.pop();
            continue;
        };
        let (takes, inner) = match &field.kind {
            Kind::Bool(_) => ("true or false", None),
            Kind::Text(_) => ("text", None),
            Kind::Number(_) => ("number", None),
            Kind::Texts(_) | Kind::Narrowing(_) | Kind::Rules(_) => ("list of texts", None),
            Kind::Object(object, _) => ("object", Some(object)),
            Kind::Objects(Objects { text: Some(_), object, .. }) => ("list of texts or objects", Some(object)),
            Kind::Objects(Objects { object, .. }) => ("list of objects", Some(object)),
        };
        each(Entry { depth: stack.len().saturating_sub(1), key: field.key, takes, doc: field.doc });
        if let Some(object) = inner {
            let pushed = stack.push(object.fields.iter()).is_ok();
            debug_assert!(pushed, "the schema is deeper than MAX_PATH");
        }
    }
}
