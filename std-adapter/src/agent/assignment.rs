//! What a credential is to be, from its configuration.

use std::path::PathBuf;

use edgetrust_core::rotation::Policy;

use crate::acme::Settings;

/// A manual certificate for when the CA is away.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fallback {
    /// The chain, PEM, leaf first.
    pub cert_file: PathBuf,
    /// The key, PEM.
    pub key_file: PathBuf,
}

/// What a credential is to be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Assignment {
    /// From which directory, for which names.
    pub settings: Settings,
    /// For when there is none.
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
