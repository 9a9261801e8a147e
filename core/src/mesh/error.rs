//! Describes an error in the text of a mesh: its place, the value found, the value expected.

use core::fmt;

use crate::json::{Found, MAX_PATH, Segment, write_path};
use crate::x509::ParseError;

/// An error in the text of a mesh.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct MeshError<'a> {
    /// The path from the top of the text to the value.
    pub path: heapless::Vec<Segment<'a>, MAX_PATH>,
    /// The byte offset in the text.
    pub offset: u32,
    /// The value found.
    pub found: Found<'a>,
    /// The value expected.
    pub expected: &'static str,
    /// Further details of the error.
    pub detail: Option<Detail<'a>>,
}

/// Details of an error beside the values found and expected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail<'a> {
    /// The known key that a misspelt one is nearest to.
    Nearest(&'static str),
    /// The other value that the one found does not go with.
    Other(&'a str),
    /// The reason why a certificate does not parse.
    Certificate(ParseError),
}

impl fmt::Display for MeshError<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write_path(&self.path, f)?;
        if !self.path.is_empty() {
            f.write_str(": ")?;
        }
        write!(f, "found {}, expected {}", self.found, self.expected)?;
        match &self.detail {
            None => Ok(()),
            Some(Detail::Nearest(key)) => write!(f, "; did you mean {key:?}?"),
            Some(Detail::Other(value)) => write!(f, ": {}", Found::Text(value)),
            Some(Detail::Certificate(error)) => write!(f, ": {error}"),
        }
    }
}

impl core::error::Error for MeshError<'_> {}
