//! Verifies paths by revocation lists too.

use pki_types::UnixTime;

use super::checks::Asked;
use super::{Budget, PathError, Purpose, Revocation, Trust, VerifiedPath};
use crate::x509::Certificate;

impl<'t> Trust<'t> {
    /// Verifies as [`Trust::verify`] does, by revocation lists too: each certificate of the path is checked by the lists
    /// of its issuer (RFC 5280 section 6.3), but a pin, which no CA vouches for, and the anchor.
    ///
    /// # Errors
    /// As [`Trust::verify`]; [`PathErrorKind::Revocation`](super::PathErrorKind::Revocation).
    pub fn verify_unrevoked<'p>(
        &self,
        leaf: &Certificate<'p>,
        sent: &[Certificate<'p>],
        purpose: Purpose,
        now: UnixTime,
        revocation: &Revocation<'_>,
        budget: &mut Budget,
    ) -> Result<VerifiedPath<'p>, PathError>
    where
        't: 'p,
    {
        let asked = Asked { revocation: Some(revocation), ..Asked::new(purpose, now, self.algorithms) };
        self.verify_asked(leaf, sent, asked, budget)
    }
}
