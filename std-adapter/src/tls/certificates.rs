//! Holds the certificates that are in use, ours and those that peers are verified by.

use std::sync::Arc;

use edgetrust_core::mesh::Digest;
use pki_types::UnixTime;

use super::{Authority, AuthorityRole, Credential, Described, TrustStore};

/// The certificates shown to peers, and those that peers are verified by, for reports of their expiry.
#[derive(Clone, Debug, Default)]
pub(crate) struct Certificates {
    /// The credential shown to peers, if any.
    pub credential: Option<Credential>,
    /// The trust that peers are verified by, if any.
    pub trust: Option<Arc<TrustStore>>,
}

impl Certificates {
    /// Returns the first and last second of our own certificate's validity, if there is one.
    pub fn validity(&self) -> Option<(UnixTime, UnixTime)> {
        self.credential.as_ref().and_then(Credential::validity)
    }

    /// Returns the digest of the certificate above our own, if we show one.
    pub fn issuer(&self) -> Option<Digest> {
        let chain = self.credential.as_ref()?.chain();
        chain.get(1).map(|issuer| Digest::of(issuer))
    }

    /// Returns the certificates that the configuration trusts or shows, each with its role: without those of the system's
    /// store, and without those that peers have shown.
    pub fn described(&self) -> Vec<(&'static str, Described)> {
        let mut all = self.trust.as_ref().map(|trust| trust.described()).unwrap_or_default();
        let chain = self.credential.as_ref().map(Credential::chain).unwrap_or_default();
        let roles = ["own"].into_iter().chain(std::iter::repeat(AuthorityRole::Intermediate.name()));
        all.extend(roles.zip(&chain).filter_map(|(role, der)| Some((role, Described::of(der)?))));
        all
    }

    /// Returns the token and the object of our key, if it is in one.
    pub fn token(&self) -> Option<String> {
        self.credential.as_ref()?.token().map(|token| token.to_string())
    }

    /// Returns every configured CA, pin and intermediate, and the intermediates that peers and we show.
    pub fn authorities(&self) -> Vec<Authority> {
        let mut all = self.trust.as_ref().map(|trust| trust.authorities()).unwrap_or_default();
        if let Some(credential) = &self.credential {
            all.extend(Authority::of_chain(&credential.chain()));
        }
        all
    }
}
