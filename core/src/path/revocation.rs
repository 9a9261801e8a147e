//! The revocation lists that paths are judged by, and why a certificate's status is not good.

use core::fmt;

use pki_types::UnixTime;

use crate::revocation::{RevocationList, RevokedCertificate};
use crate::time::Utc;

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

impl RequiredLists {
    pub(super) fn has(self, is_leaf: bool) -> bool {
        match self {
            Self::None => false,
            Self::Leaf => is_leaf,
            Self::Chain => true,
        }
    }
}

impl RevocationError {
    pub(super) fn rank(&self) -> (u8, u64) {
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
    use core::time::Duration;
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
