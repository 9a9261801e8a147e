//! Keys that are denied: no path leads over them, whatever certificate they are in.

use pki_types::UnixTime;

use super::error::PathErrorKind;
use crate::x509::{KeyHash, SubjectPublicKeyInfo, Work};

/// A key that is good for nothing: of a leaf, a pin, an intermediate or a trust anchor.
///
/// The key is denied, and not a certificate, since whoever holds a key can have it certified again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DeniedKey {
    /// The key.
    pub key: KeyHash,
    /// The last second of the denial, or `None` for ever. By then all certificates for the key should have expired.
    pub until: Option<UnixTime>,
}

impl DeniedKey {
    /// Returns whether the denial holds at a time.
    pub fn holds(&self, now: UnixTime) -> bool {
        self.until.is_none_or(|until| now <= until)
    }
}

impl From<KeyHash> for DeniedKey {
    /// Denies a key for ever.
    fn from(key: KeyHash) -> Self {
        Self { key, until: None }
    }
}

/// Checks that a certificate's key is not denied at this time.
pub(super) fn check(
    key: &SubjectPublicKeyInfo<'_>,
    denied: &[DeniedKey],
    now: UnixTime,
    work: &mut Work,
) -> Result<(), PathErrorKind> {
    if denied.is_empty() {
        return Ok(());
    }
    // Most hashes differ in their first octets.
    work.spend(denied.len())?;
    let found = KeyHash::within(key, work)?;
    if denied.iter().any(|denied| denied.key == found && denied.holds(now)) {
        Err(PathErrorKind::KeyDenied(found))
    } else {
        Ok(())
    }
}
