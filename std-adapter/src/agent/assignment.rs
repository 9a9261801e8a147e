//! Describes a credential as its configuration requests it.

use std::path::PathBuf;

use edgetrust_core::rotation::Policy;

use crate::acme::Settings;

/// A manual certificate for the time when the CA is unavailable.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The chain, PEM, leaf first.
    pub cert_file: PathBuf,
    /// The key, PEM.
    pub key_file: PathBuf,
}

/// A credential as its configuration requests it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// The directory, the names and the other settings of the `acme` section.
    pub settings: Settings,
    /// The manual certificate for when no issued one is usable.
    pub fallback: Option<Fallback>,
}

impl Assignment {
    pub(super) fn policy(&self, seed: u64) -> Policy {
        Policy {
            renew_before_s: self.settings.renew_before_s,
            fallback: self.fallback.is_some(),
            seed,
            ..Policy::default()
        }
    }
}
