//! The kinds of keys, and what their values are read with.

use crate::config::duration;
use crate::config::raw::{List, Raw};
#[cfg(feature = "gateway")]
use crate::config::shape::{Form, Needs};
use crate::text::contains;
use crate::x509::KeyHash;

/// The reason for refusing a value: what was expected instead.
pub(in crate::config) type Refused = &'static str;

/// The kind of a key's value, and its destination.
pub(in crate::config) enum Kind {
    Bool(for<'a> fn(&mut Raw<'a>, bool)),
    Text(for<'a> fn(&mut Raw<'a>, &'a str) -> Result<(), Refused>),
    /// A whole number that is not negative.
    #[cfg_attr(not(feature = "gateway"), expect(dead_code, reason = "only the gateway's limits are numbers"))]
    Number(for<'a> fn(&mut Raw<'a>, u32) -> Result<(), Refused>),
    /// A list of texts: the function is called when the list begins, and for each text. `null`, as Go writes it, is a
    /// list that is not written.
    Texts(for<'a> fn(&mut Raw<'a>, Option<&'a str>) -> Result<(), Refused>),
    /// A list of texts that narrows what is accepted: `null` is refused, since leaving the key out accepts more.
    Narrowing(for<'a> fn(&mut Raw<'a>, Option<&'a str>) -> Result<(), Refused>),
    /// A list of texts that decides which clients are let in: `null` is refused, since it could mean nobody or
    /// everybody.
    Rules(for<'a> fn(&mut Raw<'a>, Option<&'a str>) -> Result<(), Refused>),
    /// An object: the function is called before its keys.
    Object(&'static Object, for<'a> fn(&mut Raw<'a>) -> Result<(), Refused>),
    /// A list of objects.
    Objects(&'static Objects),
}

/// Takes a text that stands for an object, or refuses it.
type TakeText = for<'a> fn(&mut Raw<'a>, &'a str) -> Result<(), Refused>;

/// A list of objects.
pub(in crate::config) struct Objects {
    pub(in crate::config) object: &'static Object,
    /// Called when the list begins, where an empty list is distinct from none. `null` is refused then.
    pub(in crate::config) begin: Option<for<'a> fn(&mut Raw<'a>)>,
    /// Called for each object, before its keys.
    pub(in crate::config) enter: for<'a> fn(&mut Raw<'a>) -> Result<(), Refused>,
    /// Called for each text, where a text stands for an object with one key.
    pub(in crate::config) text: Option<TakeText>,
    /// The name of an element, for errors.
    pub(in crate::config) element: &'static str,
}

/// One key of an object.
pub(in crate::config) struct Field {
    pub(in crate::config) key: &'static str,
    pub(in crate::config) kind: Kind,
    #[cfg_attr(not(feature = "gateway"), expect(dead_code, reason = "a device describes no keys"))]
    pub(in crate::config) doc: &'static str,
    /// The form of a value, of each in a list, or of a text that stands for an object.
    #[cfg(feature = "gateway")]
    pub(in crate::config) form: Form,
    /// The largest length of a list.
    #[cfg(feature = "gateway")]
    pub(in crate::config) at_most: usize,
}

/// Returns a description in builds that show descriptions: the image of a device has none.
pub(super) const fn described(doc: &'static str) -> &'static str {
    if cfg!(feature = "gateway") { doc } else { "" }
}

/// The keys of one object.
pub(in crate::config) struct Object {
    pub(in crate::config) fields: &'static [Field],
    /// Other keys are ignored: they belong to other programs.
    pub(in crate::config) open: bool,
    #[cfg(feature = "gateway")]
    pub(in crate::config) needs: Needs,
    /// Called for each key that is written, where its presence matters.
    pub(in crate::config) on_key: Option<for<'a> fn(&mut Raw<'a>, &'static str)>,
}

/// Keeps the first key beside `enabled`: an object that has one must say whether it is enabled.
pub(super) fn note(other: &mut Option<&'static str>, key: &'static str) {
    if key != "enabled" {
        other.get_or_insert(key);
    }
}

pub(super) const FILE: Refused = "a file name";
pub(super) const LIST_FULL: Refused = "at most 16 files";
pub(super) const ISSUER: Refused = "the file of a CA, PEM, or sha256: and the 64 hexadecimal digits of its key's hash";
pub(super) const NAMES_FULL: Refused = "at most 32 names";

pub(super) fn not_empty(text: &str, expected: Refused) -> Result<Option<&str>, Refused> {
    if text.is_empty() { Err(expected) } else { Ok(Some(text)) }
}

pub(super) fn push<'a, const N: usize>(
    list: &mut List<'a, N>,
    text: Option<&'a str>,
    expected: Refused,
    full: Refused,
) -> Result<(), Refused> {
    list.written = true;
    let Some(text) = text else { return Ok(()) };
    if text.is_empty() || contains(text, 0) {
        return Err(expected);
    }
    list.items.push(text).map_err(|_| full)
}

/// Keeps the file of a CA or the hash of its key, of which each malformed one would be taken for a file.
pub(super) fn push_issuer<'a, const N: usize>(
    list: &mut List<'a, N>,
    text: Option<&'a str>,
    full: Refused,
) -> Result<(), Refused> {
    let malformed = |text: &str| text.starts_with("sha256:") && KeyHash::parse(text).is_none();
    if text.is_some_and(malformed) { Err(ISSUER) } else { push(list, text, ISSUER, full) }
}

pub(super) fn seconds(text: &str) -> Result<u32, Refused> {
    let milliseconds = duration::milliseconds(text).ok_or(duration::EXPECTED)?;
    u32::try_from(milliseconds / 1_000).map_err(|_| duration::EXPECTED)
}

/// A key with its form and, for a list, its largest length, which an image of a device does not have.
macro_rules! field {
    ($key:literal, $doc:literal, $form:ident $(($($of:expr),+))?, $at_most:expr, $kind:expr) => {
        Field {
            key: $key,
            doc: described($doc),
            kind: $kind,
            #[cfg(feature = "gateway")]
            form: $crate::config::shape::Form::$form $(($($of),+))?,
            #[cfg(feature = "gateway")]
            at_most: $at_most,
        }
    };
}

/// An object.
macro_rules! members {
    ($open:literal, $needs:ident $(($of:expr))?, $on_key:expr, [$($fields:tt)*]) => {
        Object {
            open: $open,
            #[cfg(feature = "gateway")]
            needs: $crate::config::shape::Needs::$needs $(($of))?,
            on_key: $on_key,
            fields: &[$($fields)*],
        }
    };
}

/// A key that takes text.
macro_rules! text {
    ($key:literal, $doc:literal, $form:ident, |$raw:ident, $text:ident| $set:expr) => {
        field!(
            $key,
            $doc,
            $form,
            0,
            Kind::Text(|$raw, $text| {
                $set;
                Ok(())
            })
        )
    };
}

/// A key that takes one of a few texts, each for a value.
macro_rules! choice {
    ($key:literal, $doc:literal, [$($text:literal => $value:expr),+], $expected:literal, |$raw:ident, $chosen:ident| $set:expr) => {
        field!($key, $doc, OneOf(&[$($text),+]), 0, Kind::Text(|$raw, text| {
            let $chosen = match text {
                $($text => $value,)+
                _ => return Err($expected),
            };
            $set;
            Ok(())
        }))
    };
}

/// A key that takes a list of texts.
macro_rules! texts {
    ($key:literal, $doc:literal, $at_most:expr, |$raw:ident| $list:expr, $expected:expr, $full:expr) => {
        field!($key, $doc, NotEmpty, $at_most, Kind::Texts(|$raw, text| push($list, text, $expected, $full)))
    };
}

/// A key that takes a list of names: each without the dot of the root, which names in certificates do not have.
macro_rules! names {
    ($key:literal, $doc:literal, $form:ident, $at_most:expr, |$raw:ident| $list:expr, $kind:ident, $expected:expr, $full:expr) => {
        field!(
            $key,
            $doc,
            $form,
            $at_most,
            Kind::$kind(|$raw, text| push($list, text.map(without_root), $expected, $full))
        )
    };
}

/// A key that takes true or false.
macro_rules! flag {
    ($key:literal, $doc:literal, |$raw:ident, $value:ident| $set:expr) => {
        field!($key, $doc, Any, 0, Kind::Bool(|$raw, $value| $set))
    };
}

/// A key that takes an object.
macro_rules! object {
    ($key:literal, $doc:literal, $object:path) => {
        field!($key, $doc, Any, 0, Kind::Object(&$object, |_| Ok(())))
    };
    ($key:literal, $doc:literal, $object:path, |$raw:ident| $enter:expr) => {
        field!(
            $key,
            $doc,
            Any,
            0,
            Kind::Object(&$object, |$raw| {
                $enter;
                Ok(())
            })
        )
    };
}
