//! Judges whether the certificates of a path are revoked (RFC 5280 section 6.3.3).

use core::time::Duration;

use pki_types::UnixTime;

use super::Budget;
use super::budget::CANDIDATE;
use super::checks::Asked;
use super::error::{PathError, PathErrorKind};
use super::revocation::{Revocation, RevocationError};
use super::signature;
use crate::revocation::Covered;
use crate::x509::{Certificate, KeyHash, KeyUsage};

/// The longest time by which a list may begin in the future: CAs do not date lists back, and clocks differ.
const CLOCK_DIFFERENCE: Duration = Duration::from_secs(5 * 60);

impl Revocation<'_> {
    /// Checks each certificate of a path, the leaf first and the anchor last, by the lists of its issuer. The anchor's
    /// certificates are looked at first, so that a CA that is revoked is named and not what its list says. Returns the
    /// earliest end of the lists.
    pub(super) fn check_path(
        &self,
        path: &[&Certificate<'_>],
        asked: &Asked<'_>,
        budget: &mut Budget,
    ) -> Result<Option<UnixTime>, PathError> {
        let mut until: Option<UnixTime> = None;
        for (depth, pair) in path.windows(2).enumerate().rev() {
            let [certificate, issuer] = pair else { continue };
            let found = self.check(certificate, issuer, depth == 0, asked, budget);
            let found = found.map_err(|kind| PathError { depth: u8::try_from(depth).unwrap_or(u8::MAX), kind })?;
            until = [until, found].into_iter().flatten().min();
        }
        Ok(until)
    }

    /// Checks one certificate of a path by the lists of its issuer. Returns until when they tell its status; `None`
    /// where there is no list.
    fn check(
        &self,
        certificate: &Certificate<'_>,
        issuer: &Certificate<'_>,
        is_leaf: bool,
        asked: &Asked<'_>,
        budget: &mut Budget,
    ) -> Result<Option<UnixTime>, PathErrorKind> {
        let (now, mut until, mut fault) = (self.now, None, None);
        let key = issuer.subject_public_key_info();
        let mut hash: Option<KeyHash> = None;
        let (mut all_have_places, mut until_of_places) = (true, None);
        for list in self.lists {
            budget.work.spend(CANDIDATE)?;
            if !list.issuer().matches_within(&issuer.subject(), &mut budget.work)? {
                continue;
            }
            all_have_places &= list.has_distribution_point();
            if !list.names_key_of(issuer, &mut budget.work)? {
                continue;
            }
            // RFC 5280 section 6.3.3 (g)
            match list.signer() {
                Some(signer) => {
                    let found = match hash {
                        Some(found) => found,
                        None => KeyHash::within(&key, &mut budget.work)?,
                    };
                    hash = Some(found);
                    if found != signer {
                        continue;
                    }
                }
                None => {
                    let signed = (list.signature_algorithm(), list.tbs(), list.signature());
                    match signature::verify(signed, &key, asked.algorithms, budget) {
                        Ok(()) => {}
                        Err(error) if error.is_final() => return Err(error),
                        Err(_) => {
                            fault = more_telling(fault, RevocationError::ListSignature);
                            continue;
                        }
                    }
                }
            }
            // RFC 5280 section 6.3.3 (f)
            if issuer.extensions().key_usage.is_some_and(|usage| !usage.contains(KeyUsage::CRL_SIGN)) {
                fault = more_telling(fault, RevocationError::NoCrlSign);
                continue;
            }
            // RFC 5280 section 6.3.3 (b) (2)
            let covered = list.is_about(certificate, &mut budget.work)?;
            if covered == Covered::No {
                fault = more_telling(fault, RevocationError::OutOfScope);
                continue;
            }
            let (this_update, next_update) = (list.this_update(), list.next_update());
            if this_update.as_secs() > now.as_secs().saturating_add(CLOCK_DIFFERENCE.as_secs()) {
                fault = more_telling(fault, RevocationError::ListNotYetValid { this_update, now });
                continue;
            }
            // RFC 5280 section 6.3.3 (a)
            if now > next_update {
                fault = more_telling(fault, RevocationError::ListExpired { next_update, now });
                continue;
            }
            // RFC 5280 section 6.3.3 (i) and (j)
            if let Some(revoked) = list.find(certificate.serial(), &mut budget.work)? {
                return Err(RevocationError::Revoked(revoked).into());
            }
            match covered {
                Covered::Yes => until = until.max(Some(next_update)),
                _ => until_of_places = until_of_places.max(Some(next_update)),
            }
        }
        // The certificate names no place where its list is. If all lists with the name of its CA are of places, as
        // step-ca's are, they are taken for what there is; if there is another one, that is the certificate's.
        if all_have_places {
            until = until.max(until_of_places);
        } else if until_of_places.is_some() {
            fault = more_telling(fault, RevocationError::OutOfScope);
        }
        match (until, fault) {
            (None, Some(fault)) => Err(fault.into()),
            (None, None) if self.required.has(is_leaf) => Err(RevocationError::NoList.into()),
            (until, _) => Ok(until),
        }
    }
}

/// Returns the fault of the list that is nearest to being of use; of two that have expired, the newer one.
fn more_telling(one: Option<RevocationError>, other: RevocationError) -> Option<RevocationError> {
    Some(one.filter(|one| one.rank() >= other.rank()).unwrap_or(other))
}

impl From<RevocationError> for PathErrorKind {
    fn from(error: RevocationError) -> Self {
        Self::Revocation(error)
    }
}
