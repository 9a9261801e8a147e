//! Contains all code that names rustls.

#[cfg(feature = "tokio")]
mod accept_error;
#[cfg(feature = "tokio")]
mod acceptor;
mod alert;
mod authority;
#[cfg(feature = "tokio")]
mod bounded;
mod certificates;
mod challenge;
#[cfg(feature = "tokio")]
mod connector;
mod credential;
mod handshake;
mod peer;
mod provider;
mod refusal;
#[cfg(feature = "tokio")]
mod reloading;
mod resolver;
mod server_name;
mod sessions;
mod settings;
mod shown;
#[cfg(feature = "tokio")]
mod streams;
mod system_roots;
mod trust;
#[cfg(feature = "tokio")]
mod turns;
mod verdicts;
mod verifier;

#[cfg(feature = "tokio")]
pub use accept_error::AcceptError;
#[cfg(feature = "tokio")]
pub use acceptor::Acceptor;
#[cfg(feature = "gateway")]
pub(crate) use alert::is_alert;
pub use authority::{Authority, AuthorityRole};
#[cfg(feature = "tokio")]
pub use bounded::Bounded;
pub use certificates::Certificates;
pub use challenge::ChallengeCertificate;
#[cfg(feature = "tokio")]
pub use connector::Connector;
pub use credential::{Credential, CredentialError, KeyError, LiveCredential};
pub use peer::Peer;
pub use provider::{MinVersion, provider};
pub use refusal::{MAX_CERTIFICATES, Refusal, UnparsedCertificate, refusal};
pub use server_name::WrongServerName;
pub use settings::{ClientAuth, ClientSettings, ServerSettings, ServerTrust, TlsClient, TlsError, TlsServer};
pub use shown::{ShownCertificate, ShownRequest};
#[cfg(feature = "tokio")]
pub use streams::{ClientHello, ClientStream, ServerStream, has_verdict, is_resumed, server_name, version_name};
pub use system_roots::{SystemRoots, system_roots};
pub use trust::{Anchors, OwnedRule, Peers, TrustStore};
pub use verifier::{ClientVerifier, ServerVerifier};
