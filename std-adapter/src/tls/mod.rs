//! Every rustls name lives here.

mod credential;
mod provider;
mod settings;
mod trust;
mod verifier;

pub use credential::{Credential, CredentialError};
pub use provider::{MinVersion, provider};
pub use settings::{ClientAuth, ClientSettings, ServerSettings, TlsError};
pub use trust::{OwnedRule, Peers, TrustStore};
pub use verifier::{ClientVerifier, Refusal, ServerVerifier, refusal};
