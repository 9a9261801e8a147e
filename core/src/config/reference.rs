//! Lists all keys, for documents and editors.

use super::schema::{Field, Kind, Objects, TOP};
use super::shape::{Members, Shape};
use crate::json::MAX_PATH;

/// One key for documentation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The number of objects around the key.
    pub depth: usize,
    /// The key.
    pub key: &'static str,
    /// The values that it takes.
    pub shape: Shape,
    /// The meaning of the key.
    pub doc: &'static str,
}

/// The keys at the top of a file as a whole.
pub const TOP_MEMBERS: Members = Members { open: TOP.open, needs: TOP.needs };

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
        each(Entry { depth: stack.len().saturating_sub(1), key: field.key, shape: shape(field), doc: field.doc });
        let inner = match &field.kind {
            Kind::Object(object, _) | Kind::Objects(Objects { object, .. }) => *object,
            _ => continue,
        };
        let pushed = stack.push(inner.fields.iter()).is_ok();
        debug_assert!(pushed, "the schema is deeper than MAX_PATH");
    }
}

fn shape(field: &Field) -> Shape {
    let (form, at_most) = (field.form, field.at_most);
    match &field.kind {
        Kind::Bool(_) => Shape::Flag,
        Kind::Text(_) => Shape::Text(form),
        Kind::Number(_) => Shape::Number(form),
        Kind::Texts(_) => Shape::Texts { form, at_most, null: true },
        Kind::Narrowing(_) | Kind::Rules(_) => Shape::Texts { form, at_most, null: false },
        Kind::Object(object, _) => Shape::Object(Members { open: object.open, needs: object.needs }),
        Kind::Objects(Objects { object, begin, text, .. }) => Shape::Objects {
            members: Members { open: object.open, needs: object.needs },
            at_most,
            null: begin.is_none(),
            text: text.is_some().then_some(form),
        },
    }
}
