//! The place of a value that is validated, for errors.

use super::error::ConfigError;
use super::model::Files;
use crate::json::{Found, MAX_PATH, Segment};

pub(super) const TLS: &[Segment<'static>] = &[Segment::Key("security"), Segment::Key("tls")];
pub(super) const SERVER: &[Segment<'static>] = &[Segment::Key("security"), Segment::Key("tls"), Segment::Key("server")];
pub(super) const CLIENT: &[Segment<'static>] = &[Segment::Key("security"), Segment::Key("tls"), Segment::Key("client")];

pub(super) const TRUE: Found<'static> = Found::Literal("true");
pub(super) const FALSE: Found<'static> = Found::Literal("false");

/// The place of an object, for errors in the object.
#[derive(Clone, Debug)]
pub(super) struct ConfigPlace<'a> {
    path: heapless::Vec<Segment<'a>, MAX_PATH>,
    offset: u32,
}

impl<'a> ConfigPlace<'a> {
    pub(super) fn new(path: &[Segment<'a>], offset: u32) -> Self {
        let mut own = heapless::Vec::new();
        for segment in path {
            let pushed = own.push(*segment).is_ok();
            debug_assert!(pushed, "the schema is deeper than MAX_PATH");
        }
        Self { path: own, offset }
    }

    /// Refuses an object that has other keys and does not say whether it is enabled.
    #[inline(never)]
    pub(super) fn switched(
        &self,
        offset: u32,
        enabled: Option<bool>,
        other: Option<&'static str>,
    ) -> Result<(), ConfigError<'a>> {
        match (enabled, other) {
            (None, Some(key)) => Err(ConfigError {
                path: self.path.clone(),
                offset,
                found: Found::NotEnabled(key),
                expected: "\"enabled\": true, or false where it is meant to be off",
                nearest: None,
            }),
            _ => Ok(()),
        }
    }

    /// Returns the place of an object in this one.
    pub(super) fn inside(&self, key: &'static str) -> Self {
        let mut inside = self.clone();
        let pushed = inside.path.push(Segment::Key(key)).is_ok();
        debug_assert!(pushed, "the schema is deeper than MAX_PATH");
        inside
    }

    /// Returns this place, with the offset of its object.
    #[cfg(feature = "gateway")]
    pub(super) fn at(self, offset: u32) -> Self {
        Self { path: self.path, offset }
    }

    /// Returns the place of an element of this list.
    pub(super) fn element(mut self, index: u16, offset: u32) -> Self {
        let pushed = self.path.push(Segment::Index(index)).is_ok();
        debug_assert!(pushed, "the schema is deeper than MAX_PATH");
        Self { path: self.path, offset }
    }

    pub(super) fn fail<T>(
        &self,
        key: &'static str,
        found: Found<'a>,
        expected: &'static str,
    ) -> Result<T, ConfigError<'a>> {
        Err(self.error(key, found, expected))
    }

    /// Not inlined: a hundred places fail, and the image of a device has room for one copy.
    #[cold]
    #[inline(never)]
    fn error(&self, key: &'static str, found: Found<'a>, expected: &'static str) -> ConfigError<'a> {
        ConfigError { path: self.inside(key).path, offset: self.offset, found, expected, nearest: None }
    }

    pub(super) fn required<T>(
        &self,
        key: &'static str,
        value: Option<T>,
        expected: &'static str,
    ) -> Result<T, ConfigError<'a>> {
        match value {
            Some(value) => Ok(value),
            None => self.fail(key, Found::Nothing, expected),
        }
    }
    /// Requires both files or neither.
    pub(super) fn files(
        &self,
        cert_file: Option<&'a str>,
        key_file: Option<&'a str>,
    ) -> Result<Option<Files<'a>>, ConfigError<'a>> {
        match (cert_file, key_file) {
            (Some(cert_file), Some(key_file)) => Ok(Some(Files { cert_file, key_file })),
            (Some(_), None) => self.fail("key_file", Found::Nothing, "a file name, since there is a cert_file"),
            (None, Some(_)) => self.fail("cert_file", Found::Nothing, "a file name, since there is a key_file"),
            (None, None) => Ok(None),
        }
    }
}
