//! Judges whether the certificates of a path are revoked (RFC 5280 section 6.3.3).

use core::fmt;
use core::time::Duration;

use pki_types::UnixTime;

use super::builder::CANDIDATE;
use super::checks::Asked;
use super::error::{PathError, PathErrorKind};
use super::signature;
use super::{Budget, Purpose, Trust, VerifiedPath};
use crate::revocation::{RevocationList, RevokedCertificate};
use crate::time::Utc;
use crate::x509::{Certificate, KeyHash, KeyUsage};

/// The revocation lists that a path is checked by.
#[derive(Clone, Copy, Debug)]
pub struct Revocation<'t> {
    /// The lists. Each counts for the certificates that its issuer's key signed.
    pub lists: &'t [RevocationList<'t>],
    /// The certificates that must have a list.
    pub required: RequiredLists,
    /// The time at which the lists are judged. The certificates may be judged at an earlier one.
    pub now: UnixTime,
}

/// The certificates whose CA must have a list. Those of a CA that has one are checked in any case.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum RequiredLists {
    /// None.
    #[default]
    None,
    /// The peer's own.
    Leaf,
    /// All certificates of the path but the anchor.
    Chain,
}

/// The reason that a certificate's status is not good.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RevocationError {
    /// The certificate is revoked.
    Revoked(RevokedCertificate),
    /// The lists of its CA are past nextUpdate.
    ListExpired {
        /// The last second of the newest list.
        next_update: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The lists of its CA begin later than a clock may go wrong.
    ListNotYetValid {
        /// The first second of the list.
        this_update: UnixTime,
        /// The time of the check.
        now: UnixTime,
    },
    /// The lists of its CA are about other certificates.
    OutOfScope,
    /// The key usage of its CA lacks cRLSign.
    NoCrlSign,
    /// The only list with its CA's name was not signed by the CA's key.
    ListSignature,
    /// Its CA has no list, and must have one.
    NoList,
}

impl<'t> Trust<'t> {
    /// Verifies as [`Trust::verify`] does, by revocation lists too: each certificate of the path is checked by the lists
    /// of its issuer (RFC 5280 section 6.3), but a pin, which no CA vouches for, and the anchor.
    ///
    /// # Errors
    /// As [`Trust::verify`]; [`PathErrorKind::Revocation`].
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

/// How far a list may begin in the future: CAs do not date lists back, and clocks differ.
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
        for list in self.lists {
            budget.work.spend(CANDIDATE)?;
            if !list.names(issuer, &mut budget.work)? {
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
            if !list.is_about(certificate, &mut budget.work)? {
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
            until = until.max(Some(next_update));
        }
        match (until, fault) {
            (None, Some(fault)) => Err(fault.into()),
            (None, None) if self.required.has(is_leaf) => Err(RevocationError::NoList.into()),
            (until, _) => Ok(until),
        }
    }
}

impl RequiredLists {
    fn has(self, is_leaf: bool) -> bool {
        match self {
            Self::None => false,
            Self::Leaf => is_leaf,
            Self::Chain => true,
        }
    }
}

/// Returns the fault of the list that is nearest to being of use; of two that have expired, the newer one.
fn more_telling(one: Option<RevocationError>, other: RevocationError) -> Option<RevocationError> {
    Some(one.filter(|one| one.rank() >= other.rank()).unwrap_or(other))
}

impl RevocationError {
    fn rank(&self) -> (u8, u64) {
        match self {
            Self::NoList => (0, 0),
            Self::ListSignature => (1, 0),
            Self::NoCrlSign => (2, 0),
            Self::OutOfScope => (3, 0),
            Self::ListNotYetValid { .. } => (4, 0),
            Self::ListExpired { next_update, .. } => (5, next_update.as_secs()),
            Self::Revoked(_) => (6, 0),
        }
    }
}

impl From<RevocationError> for PathErrorKind {
    fn from(error: RevocationError) -> Self {
        Self::Revocation(error)
    }
}

impl fmt::Display for RevocationError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Revoked(RevokedCertificate { serial, date, reason }) => {
                write!(f, "revoked: serial number {serial}, {reason}, at {}", Utc(*date))
            }
            Self::ListExpired { next_update, now } => {
                write!(f, "the CRL of its CA expired at {}, and it is {}", Utc(*next_update), Utc(*now))
            }
            Self::ListNotYetValid { this_update, now } => {
                write!(f, "the CRL of its CA is valid only from {}, and it is {}", Utc(*this_update), Utc(*now))
            }
            Self::OutOfScope => f.write_str("the CRLs of its CA are about other certificates"),
            Self::NoCrlSign => f.write_str("its CA has a CRL, and a key usage without cRLSign"),
            Self::ListSignature => f.write_str("the CRL with the name of its CA is not signed by its CA's key"),
            Self::NoList => f.write_str("its CA has no CRL, and must have one"),
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::revocation::{Reason, SerialNumber};
    use std::string::ToString;

    #[test]
    fn a_revocation_names_serial_number_reason_and_date() {
        let date = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
        let serial = SerialNumber::new(&[0x01, 0xab]);
        let revoked = RevokedCertificate { serial, date, reason: Reason::KeyCompromise };
        let text = RevocationError::Revoked(revoked).to_string();
        assert_eq!(text, "revoked: serial number 01ab, keyCompromise, at 2027-01-15T08:00:00Z");
    }
}
