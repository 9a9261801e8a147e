//! Defines the answer to a challenge, as every gateway that shares a credential gives it.

use serde::{Deserialize, Serialize};

/// The answer to a challenge (RFC 8555 section 8, RFC 8737).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "snake_case")]
pub enum ChallengeAnswer {
    /// The answer to http-01.
    Http01 {
        /// The challenge's token.
        token: String,
        /// The token with the thumbprint of the account's key.
        key_authorization: String,
    },
    /// The answer to tls-alpn-01.
    TlsAlpn01 {
        /// The name or the address that is validated.
        name: String,
        /// The SHA-256 of the key authorization.
        digest: [u8; 32],
    },
}

impl ChallengeAnswer {
    /// Returns whether both answer one challenge.
    pub fn is_for_the_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Http01 { token: one, .. }, Self::Http01 { token: other, .. }) => one == other,
            (Self::TlsAlpn01 { name: one, .. }, Self::TlsAlpn01 { name: other, .. }) => one == other,
            _ => false,
        }
    }
}
