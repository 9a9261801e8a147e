//! Lists the keys of `denied_keys`.

use super::field::{Field, Kind, Object, Objects, Refused, described, not_empty};
use crate::config::raw::{Raw, RawDeniedKey};
use crate::time::Utc;
use crate::x509::KeyHash;

const KEY: Refused = "sha256: and the 64 hexadecimal digits of the key's hash, as edgetrust inspect shows it";
const FULL: Refused = if cfg!(feature = "gateway") { "at most 64 denied keys" } else { "at most 8 denied keys" };

pub(super) static DENIED_KEYS: Objects = Objects {
    object: &DENIED_KEY,
    begin: None,
    enter: |raw| push(raw, None),
    text: Some(|raw, text| {
        let key = key(text)?;
        push(raw, Some(key))
    }),
    element: "a text or an object",
};

static DENIED_KEY: Object = members!(
    false,
    All(&["key"]),
    None,
    [
        text!("key", "sha256: and the hash of the public key", KeyHash, |raw, text| {
            let key = key(text)?;
            set(raw, |denied| denied.key = Some(key))
        }),
        text!("reason", "why, for people", NotEmpty, |raw, text| {
            let reason = not_empty(text, "a reason")?;
            set(raw, |denied| denied.reason = reason)
        }),
        text!("until", "the last second, as \"2027-01-31T00:00:00Z\"; default: for ever", Time, |raw, text| {
            let until = Utc::parse(text).ok_or("a time in UTC, as \"2027-01-31T00:00:00Z\"")?;
            set(raw, |denied| denied.until = Some(until.0))
        }),
    ]
);

fn key(text: &str) -> Result<KeyHash, Refused> {
    KeyHash::parse(text).ok_or(KEY)
}

fn push(raw: &mut Raw<'_>, key: Option<KeyHash>) -> Result<(), Refused> {
    let offset = raw.offset;
    raw.denied_keys.push(RawDeniedKey { offset, key, ..RawDeniedKey::default() }).map_err(|_| FULL)
}

/// Sets a field of the object that is being read.
fn set<'a>(raw: &mut Raw<'a>, set: impl FnMut(&mut RawDeniedKey<'a>)) {
    let denied = raw.denied_keys.last_mut();
    debug_assert!(denied.is_some(), "the object was entered");
    denied.into_iter().for_each(set);
}
