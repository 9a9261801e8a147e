//! The common name, as an allow list of ADR-001 compares it: decoded, whole, and only if there is one.

use crate::x509::{Attribute, Name};

/// Why a subject has no common name to compare.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommonNameError {
    /// None at all.
    Missing,
    /// More than one.
    Several,
    /// NUL inside, or octets that are not of the encoding its tag says.
    Undecodable,
}

/// The only common name of a subject, checked to decode without NUL.
///
/// # Errors
/// Where there is none, more than one, or one that cannot be compared.
pub fn common_name<'a>(subject: &Name<'a>) -> Result<Attribute<'a>, CommonNameError> {
    let mut names = subject.common_names();
    let name = names.next().ok_or(CommonNameError::Missing)?;
    if names.next().is_some() {
        return Err(CommonNameError::Several);
    }
    if name.chars().any(|c| matches!(c, Err(_) | Ok('\0'))) {
        return Err(CommonNameError::Undecodable);
    }
    Ok(name)
}

/// Whether a common name is exactly `wanted`, code point by code point: case and spaces count.
pub(super) fn is(name: &Attribute<'_>, wanted: &str) -> bool {
    !wanted.is_empty() && name.chars().eq(wanted.chars().map(Ok))
}
