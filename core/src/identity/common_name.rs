//! Reads the common name as an allow list of ADR-001 compares it: decoded, whole, and only if there is exactly one.

use crate::x509::{Attribute, Name};

/// The reason why a subject has no comparable common name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CommonNameError {
    /// The subject has no common name.
    Missing,
    /// The subject has more than one common name.
    Several,
    /// The common name contains NUL, or octets that are not in the encoding of its tag.
    Undecodable,
}

/// Returns the only common name of a subject, checked to decode without NUL.
///
/// # Errors
/// [`CommonNameError`] if there is no common name, more than one, or one that cannot be compared.
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

/// Returns whether a common name is exactly `wanted`, code point by code point: case and spaces count.
pub(super) fn is(name: &Attribute<'_>, wanted: &str) -> bool {
    !wanted.is_empty() && name.chars().eq(wanted.chars().map(Ok))
}
