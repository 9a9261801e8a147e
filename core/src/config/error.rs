//! Describes an error in a configuration: its place, the value found, the value expected.

use core::fmt;

use crate::json::{Found, MAX_PATH, Segment, write_path};

/// An error in a configuration: its place, the value found and expected, and the nearest known key for a misspelt one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError<'a> {
    /// The path from the top of the file to the value.
    pub path: heapless::Vec<Segment<'a>, MAX_PATH>,
    /// The byte offset in the text.
    pub offset: u32,
    /// The value found.
    pub found: Found<'a>,
    /// The value expected.
    pub expected: &'static str,
    /// The nearest known key.
    pub nearest: Option<&'static str>,
}

impl fmt::Display for ConfigError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_path(&self.path, f)?;
        if !self.path.is_empty() {
            f.write_str(": ")?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        if let Some(nearest) = self.nearest {
            write!(f, "; did you mean {nearest:?}?")?;
        }
        Ok(())
    }
}

impl core::error::Error for ConfigError<'_> {}

/// Formats the same in short: the path, the value found, the value expected.
#[cfg(feature = "defmt")]
impl defmt::Format for ConfigError<'_> {
    fn format(&self, f: defmt::Formatter<'_>) {
        for segment in &self.path {
            match segment {
                Segment::Key(key) => defmt::write!(f, ".{=str}", *key),
                Segment::Index(index) => defmt::write!(f, "[{=u16}]", *index),
            }
        }
        defmt::write!(f, ": found {}, expected {=str}", self.found, self.expected);
        if let Some(nearest) = self.nearest {
            defmt::write!(f, "; did you mean {=str}?", nearest);
        }
    }
}
