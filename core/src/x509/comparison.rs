//! The outcome of comparing names: the same, different, or undecided.

/// The error of a string whose octets are not in the encoding that the tag states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UndecodableString;

/// The outcome of comparing two names, or two parts of names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The names match (RFC 5280 section 7.1).
    Same,
    /// The names differ, however their strings are prepared.
    Different,
    /// A string does not decode, or has characters that may stand for others.
    Undecided,
}

impl Comparison {
    /// Combines the outcomes for two parts into the outcome for the whole.
    pub(super) fn and(self, other: Self) -> Self {
        match (self, other) {
            (Self::Different, _) | (_, Self::Different) => Self::Different,
            (Self::Undecided, _) | (_, Self::Undecided) => Self::Undecided,
            (Self::Same, Self::Same) => Self::Same,
        }
    }
}

/// Returns whether string preparation by RFC 4518 section 2, which maps and composes characters (NFKC), can change
/// only the character's case: ASCII, Latin letters without compatibility forms, Cyrillic, ideographs.
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
