//! The CAs that a name must come from.

use super::Denied;
use crate::path::VerifiedPath;
use crate::x509::{Exhausted, KeyHash, Work};

/// The CAs that may have issued a peer's own certificate.
///
/// Every CA below a trust anchor can issue any common name, and whatever its name constraints permit. A rule that also
/// names the issuer's key holds for one CA. Only the CA that signed the leaf counts, on whichever path: not a CA above,
/// and not a CA below the named one. A renewed or cross-signed CA certificate has the same key and counts.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Issuers<'a> {
    /// Any CA with a path to a trust anchor, and a pin.
    #[default]
    Any,
    /// A CA with one of these keys. A pin matches none: nobody vouches for it but the configuration.
    OneOf(&'a [KeyHash]),
}

impl Issuers<'_> {
    /// Returns the reason to deny the leaf of a path for its issuer, or `None`.
    pub(super) fn objection(&self, path: &VerifiedPath<'_>, work: &mut Work) -> Result<Option<Denied>, Exhausted> {
        let Self::OneOf(keys) = self else { return Ok(None) };
        let Some(issuer) = path.issuer_key() else { return Ok(Some(Denied::OtherIssuer { found: None })) };
        work.spend(keys.len().saturating_mul(KEY))?;
        let found = KeyHash::within(issuer, work)?;
        Ok((!keys.contains(&found)).then_some(Denied::OtherIssuer { found: Some(found) }))
    }
}

/// The work of comparing two hashes.
const KEY: usize = 2;
