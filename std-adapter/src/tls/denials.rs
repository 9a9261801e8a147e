//! Adds denied keys to settings that are in use, where no other settings can be had.

use std::sync::Arc;

use edgetrust_core::path::DeniedKey;
use edgetrust_core::x509::ParseError;

use super::trust::TrustStore;
use super::{ClientAuth, ClientSettings, ServerSettings, ServerTrust};

impl TrustStore {
    /// Creates a store that trusts as this one does, and denies these keys too.
    ///
    /// # Errors
    /// Fails if a certificate does not parse, which all of this store did.
    pub(crate) fn denying(&self, keys: &[DeniedKey]) -> Result<Arc<Self>, ParseError> {
        let mut settings = self.current().settings();
        settings.denied_keys.extend_from_slice(keys);
        Self::new(settings)
    }
}

impl ServerSettings {
    /// Returns these settings, with these keys denied too.
    ///
    /// # Errors
    /// As [`TrustStore::denying`].
    pub(crate) fn denying(self, keys: &[DeniedKey]) -> Result<Self, ParseError> {
        let client_auth = match &self.client_auth {
            ClientAuth::Off => ClientAuth::Off,
            ClientAuth::Optional(store) => ClientAuth::Optional(store.denying(keys)?),
            ClientAuth::Required(store) => ClientAuth::Required(store.denying(keys)?),
        };
        Ok(Self { client_auth, ..self })
    }
}

impl ClientSettings {
    /// Returns these settings, with these keys denied too.
    ///
    /// # Errors
    /// As [`TrustStore::denying`].
    pub(crate) fn denying(self, keys: &[DeniedKey]) -> Result<Self, ParseError> {
        let trust = match &self.trust {
            ServerTrust::Verified(store) => ServerTrust::Verified(store.denying(keys)?),
            ServerTrust::DangerNobodyIsVerified => ServerTrust::DangerNobodyIsVerified,
        };
        Ok(Self { trust, ..self })
    }
}
