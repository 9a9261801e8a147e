//! Names that are the same, names that are not, and names of which that cannot be said.

use super::UndecodableString;

/// How two names compare, or two parts of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// They match (RFC 5280 section 7.1).
    Same,
    /// They do not, however their strings are prepared.
    Different,
    /// A string does not decode, or has characters that may stand for others.
    Undecided,
}

impl Comparison {
    /// Of a whole whose parts compare like this.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Different, _) | (_, Self::Different) => Self::Different,
            (Self::Undecided, _) | (_, Self::Undecided) => Self::Undecided,
            (Self::Same, Self::Same) => Self::Same,
        }
    }
}

/// Whether nothing but case could make another character of it where strings are prepared as RFC 4518 section 2 has it, which maps and
/// composes characters (NFKC): ASCII, Latin letters without compatibility forms, Cyrillic, ideographs.
pub(super) fn is_settled(character: Result<char, UndecodableString>) -> bool {
    matches!(
        character,
        Ok(
            ' '..='~'
            | '\u{c0}'..='\u{de}'
            | '\u{e0}'..='\u{12f}'
            | '\u{134}'..='\u{13e}'
            | '\u{141}'..='\u{148}'
            | '\u{14a}'..='\u{17e}'
            | '\u{400}'..='\u{45f}'
            | '\u{4e00}'..='\u{9fff}',
        )
    )
}
