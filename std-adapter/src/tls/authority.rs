//! Certificates that peers, or we, are verified by: what each is for, and when it ends.

use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::path::{Anchor, Role};
use edgetrust_core::x509::Certificate;
use pki_types::{CertificateDer, UnixTime};

use super::{Credential, TrustStore};

/// What a certificate that others are verified by is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthorityRole {
    /// A configured CA.
    Ca,
    /// A configured certificate of a peer, which vouches for itself alone.
    Pin,
    /// A configured intermediate, which completes the chains of peers.
    KnownIntermediate,
    /// An intermediate that a peer showed, on the path by which it was let in.
    PeerIntermediate,
    /// An intermediate that we show with our own certificate.
    Intermediate,
}

impl AuthorityRole {
    /// Its name in metrics and on pages.
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

/// A certificate that somebody is verified by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Authority {
    /// What it is for.
    pub role: AuthorityRole,
    /// Whom it is about.
    pub subject: String,
    /// Its serial number, in hexadecimal.
    pub serial: String,
    /// First second of validity.
    pub not_before: UnixTime,
    /// Last second of validity.
    pub not_after: UnixTime,
}

/// A CA that ends within this is warned of, and one of a shorter life within a sixth of it: to replace it takes visits to every site.
const SOON: Duration = Duration::from_secs(60 * 24 * 3600);

impl Authority {
    /// What is told of a certificate.
    pub fn new(role: AuthorityRole, certificate: &Certificate<'_>) -> Self {
        let validity = certificate.validity();
        Self {
            role,
            subject: certificate.subject().to_string(),
            serial: certificate.serial().iter().map(|octet| format!("{octet:02x}")).collect(),
            not_before: validity.not_before,
            not_after: validity.not_after,
        }
    }

    /// A configured certificate that is what it says.
    pub fn stated(certificate: &Certificate<'_>) -> Self {
        Self::new(Anchor::new(*certificate).role().into(), certificate)
    }

    /// The intermediates of a chain that we show.
    pub fn of_chain(chain: &[CertificateDer<'_>]) -> Vec<Self> {
        let intermediates = chain.iter().skip(1).flat_map(|der| Certificate::from_der(der));
        intermediates.map(|certificate| Self::new(AuthorityRole::Intermediate, &certificate)).collect()
    }

    /// It is to be replaced: it ends within a sixth of its life, and within 60 days.
    pub fn ends_soon(&self, now: UnixTime) -> bool {
        let seconds = |from: UnixTime| self.not_after.as_secs().saturating_sub(from.as_secs());
        seconds(now) < SOON.as_secs().min(seconds(self.not_before) / 6)
    }
}

/// What is shown to peers, and what they are verified by; for whoever tells when it ends.
#[derive(Clone, Debug, Default)]
pub struct Certificates {
    /// What is shown, where that is anything.
    pub credential: Option<Credential>,
    /// What peers are verified by, where they are.
    pub trust: Option<Arc<TrustStore>>,
}

impl Certificates {
    /// From when to when our own certificate is valid, where there is one.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        self.credential.as_ref().and_then(Credential::validity)
    }

    /// Every configured CA, pin and intermediate, and the intermediates that peers and we show.
    pub fn authorities(&self) -> Vec<Authority> {
        let mut all = self.trust.as_ref().map(|trust| trust.authorities()).unwrap_or_default();
        if let Some(credential) = &self.credential {
            all.extend(Authority::of_chain(&credential.chain()));
        }
        all
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
