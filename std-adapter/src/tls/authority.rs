//! Describes the certificates that peers, or we, are verified by: the role and the validity of each.

use std::time::Duration;

use edgetrust_core::path::{Anchor, Role};
use edgetrust_core::x509::{Certificate, Serial};
#[cfg(feature = "cli")]
use pki_types::CertificateDer;
use pki_types::UnixTime;

use super::shown::cut;

/// The role of a certificate that others are verified by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityRole {
    /// A configured CA.
    Ca,
    /// A configured certificate of a peer, which vouches for itself alone.
    Pin,
    /// A configured intermediate, which completes the chains of peers.
    KnownIntermediate,
    /// An intermediate that an authorized peer showed on its path.
    PeerIntermediate,
    /// An intermediate that we show with our own certificate.
    Intermediate,
}

impl AuthorityRole {
    /// Returns the role's name in metrics and on pages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Ca => "ca",
            Self::Pin => "pin",
            Self::KnownIntermediate => "known_intermediate",
            Self::PeerIntermediate => "peer_intermediate",
            Self::Intermediate => "intermediate",
        }
    }
}

impl From<Role> for AuthorityRole {
    fn from(role: Role) -> Self {
        match role {
            Role::Ca => Self::Ca,
            Role::Pin => Self::Pin,
        }
    }
}

/// A certificate that peers, or we, are verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// The role of the certificate.
    pub role: AuthorityRole,
    /// The subject of the certificate.
    pub subject: String,
    /// The serial number, in hexadecimal.
    pub serial: String,
    /// The first second of validity.
    pub not_before: UnixTime,
    /// The last second of validity.
    pub not_after: UnixTime,
}

/// The time before a CA's expiry when warnings begin, or a sixth of the CA's life if that is shorter: replacing a CA
/// takes visits to every site.
const SOON: Duration = Duration::from_secs(60 * 24 * 3600);

impl Authority {
    /// Describes a certificate.
    pub fn new(role: AuthorityRole, certificate: &Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            role,
            subject: cut(certificate.subject()),
            serial: Serial(certificate.serial()).to_string(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        }
    }

    /// Describes a configured certificate, whose role follows from its contents.
    pub fn stated(certificate: &Certificate<'_>) -> Self {
        Self::new(Anchor::new(*certificate).role().into(), certificate)
    }

    /// Describes the intermediates of a chain that we show.
    #[cfg(feature = "cli")]
    pub(crate) fn of_chain(chain: &[CertificateDer<'_>]) -> Vec<Self> {
        let intermediates = chain.iter().skip(1).flat_map(|der| Certificate::from_der(der));
        intermediates.map(|certificate| Self::new(AuthorityRole::Intermediate, &certificate)).collect()
    }

    /// Returns whether the certificate must be replaced: it ends within a sixth of its life, and within 60 days.
    pub fn ends_soon(&self, now: UnixTime) -> bool {
        let seconds = |from: UnixTime| self.not_after.as_secs().saturating_sub(from.as_secs());
        seconds(now) < SOON.as_secs().min(seconds(self.not_before) / 6)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_end_comes_near_in_the_last_sixth_and_the_last_60_days() {
        let at = |days: u64| UnixTime::since_unix_epoch(Duration::from_secs(days * 24 * 3600));
        let lives = |days| Authority {
            role: AuthorityRole::Ca,
            subject: String::new(),
            serial: String::new(),
            not_before: at(0),
            not_after: at(days),
        };
        assert!(!lives(3650).ends_soon(at(3590)));
        assert!(lives(3650).ends_soon(at(3591)));
        assert!(!lives(60).ends_soon(at(50)));
        assert!(lives(60).ends_soon(at(51)));
        assert!(lives(60).ends_soon(at(61)), "ended");
    }
}
