//! Describes a credential as its configuration requests it.

use std::error::Error;
use std::fmt;
use std::path::PathBuf;

use edgetrust_core::rotation::Policy;

use crate::acme::{Settings, SettingsError};
use crate::gateway::PlanError;
use crate::store::Home;
use crate::tls::CredentialError;

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
            // Where another gateway has the lease by now, a certificate that was issued cannot be written any more.
            keeps_issued: self.settings.storage.is_none(),
            seed,
            ..Policy::default()
        }
    }
}

/// The reason that a configuration's credential cannot be had.
#[derive(Debug)]
pub enum AssignmentError {
    /// The `acme` section cannot be used.
    Settings(SettingsError),
    /// The mesh, or an intermediate, cannot be read.
    Trust(PlanError),
    /// The manual certificate cannot be loaded.
    Fallback(CredentialError),
    /// Two sections that differ keep their credential in this home.
    Differ(Home),
}

impl fmt::Display for AssignmentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Settings(error) => error.fmt(f),
            Self::Trust(error) => error.fmt(f),
            Self::Fallback(error) => error.fmt(f),
            Self::Differ(home) => write!(
                f,
                "acme.storage_path: found {home} in two acme sections that differ, expected a folder for each"
            ),
        }
    }
}

impl Error for AssignmentError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Settings(error) => Some(error),
            Self::Trust(error) => Some(error),
            Self::Fallback(error) => Some(error),
            Self::Differ(_) => None,
        }
    }
}
