//! The parts that errors about a JSON text have in common: the place, and the value found there.

use core::fmt;

/// The largest number of keys and indexes that lead to a value.
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

/// A value found in place of the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Found<'a> {
    /// A text.
    Text(&'a str),
    /// A number or another literal.
    Literal(&'a str),
    /// An object.
    Object,
    /// An array.
    Array,
    /// Nothing.
    Nothing,
    /// A key without `enabled` beside it.
    NotEnabled(&'static str),
    /// The end of the file.
    End,
    /// A byte.
    Byte(u8),
}

impl fmt::Display for Found<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            // Somebody wrote a key instead of its file name, or gave a key file as the configuration.
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

/// An upper bound for the length of numbers and names.
const LONGEST_LITERAL: usize = 24;

/// Shortens a text to 80 octets, enough to know it by.
fn shortened(text: &str) -> &str {
    let end = (0..=80).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.get(..end).unwrap_or(text)
}

/// Writes a path as `sites[3].gateways[0].host`.
pub(crate) fn write_path(path: &[Segment<'_>], f: &mut fmt::Formatter<'_>) -> fmt::Result {
    for (number, segment) in path.iter().enumerate() {
        match segment {
            Segment::Key(key) if number == 0 => write!(f, "{}", shortened(key).escape_debug())?,
            Segment::Key(key) => write!(f, ".{}", shortened(key).escape_debug())?,
            Segment::Index(index) => write!(f, "[{index}]")?,
        }
    }
    Ok(())
}
