//! What is wrong with a configuration: where, what was found, what was expected.

use core::fmt;

/// How many keys and indexes lead to a value at the most.
pub const MAX_PATH: usize = 10;

/// One step from the top of the file to a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Segment<'a> {
    /// A member of an object.
    Key(&'a str),
    /// An element of an array, from 0.
    Index(u16),
}

/// What was found where something else was expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Found<'a> {
    /// This text.
    Text(&'a str),
    /// This number, or another literal.
    Literal(&'a str),
    /// An object.
    Object,
    /// An array.
    Array,
    /// Nothing.
    Nothing,
    /// This key, but no `enabled` beside it.
    NotEnabled(&'static str),
    /// The file's end.
    End,
    /// This byte.
    Byte(u8),
}

/// Where, what was found, what was expected, and for a misspelt key the nearest known one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigError<'a> {
    /// The way from the top of the file.
    pub path: heapless::Vec<Segment<'a>, MAX_PATH>,
    /// Byte offset in the text.
    pub offset: u32,
    /// What was found.
    pub found: Found<'a>,
    /// What was expected.
    pub expected: &'static str,
    /// The nearest known key.
    pub nearest: Option<&'static str>,
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // A key in place of the name of its file, or a key's file in place of a configuration.
            Self::Text(text) if text.as_bytes().windows(10).any(|part| part == b"-----BEGIN") => f.write_str("PEM"),
            Self::Literal(text) if text.len() > LONGEST_LITERAL => f.write_str("a long word"),
            Self::Text(text) => write!(f, "{:?}", shortened(text)),
            Self::Literal(text) => write!(f, "{}", text.escape_debug()),
            Self::Object => f.write_str("an object"),
            Self::Array => f.write_str("an array"),
            Self::Nothing => f.write_str("nothing"),
            Self::NotEnabled(key) => write!(f, "{key} but no enabled"),
            Self::End => f.write_str("the end of the file"),
            Self::Byte(byte) if byte.is_ascii_graphic() => write!(f, "{:?}", char::from(*byte)),
            Self::Byte(byte) => write!(f, "byte 0x{byte:02x}"),
        }
    }
}

/// No number or name that a configuration has is longer.
const LONGEST_LITERAL: usize = 24;

/// Enough of a text to know it by.
fn shortened(text: &str) -> &str {
    let end = (0..=80).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

impl fmt::Display for ConfigError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, segment) in self.path.iter().enumerate() {
            match segment {
                Segment::Key(key) if number == 0 => write!(f, "{}", shortened(key).escape_debug())?,
                Segment::Key(key) => write!(f, ".{}", shortened(key).escape_debug())?,
                Segment::Index(index) => write!(f, "[{index}]")?,
            }
        }
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

/// The same in short: each step of the way, what was found, what was expected.
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
