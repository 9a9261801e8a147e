//! Contains all code that names rustls.

#[cfg(feature = "tokio")]
mod accept_error;
#[cfg(feature = "tokio")]
mod acceptor;
mod admission;
#[cfg(feature = "cli")]
mod agreed;
mod alert;
mod authority;
#[cfg(feature = "tokio")]
mod bounded;
#[cfg(feature = "cli")]
mod certificates;
#[cfg(feature = "cli")]
mod challenge;
#[cfg(feature = "tokio")]
mod connector;
#[cfg(feature = "cli")]
mod control;
mod credential;
#[cfg(feature = "cli")]
mod denials;
#[cfg(feature = "cli")]
mod described;
#[cfg(feature = "cli")]
mod exporter;
#[cfg(feature = "cli")]
mod failure;
mod handshake;
#[cfg(feature = "cli")]
mod observed;
mod peer;
mod peers;
mod provider;
mod refusal;
#[cfg(feature = "tokio")]
mod reloading;
mod resolver;
mod revocation;
mod server_name;
mod sessions;
mod settings;
mod shown;
#[cfg(feature = "tokio")]
mod streams;
mod system_roots;
#[cfg(feature = "cli")]
mod token_key;
mod trust;
#[cfg(feature = "tokio")]
mod turns;
mod verdicts;
mod verifier;

#[cfg(feature = "tokio")]
pub use accept_error::AcceptError;
#[cfg(feature = "tokio")]
pub use acceptor::Acceptor;
pub use admission::{Admission, Anyone};
#[cfg(feature = "cli")]
pub(crate) use agreed::Agreed;
#[cfg(feature = "cli")]
pub(crate) use alert::{is_alert, without_link};
pub use authority::{Authority, AuthorityRole};
#[cfg(feature = "tokio")]
pub use bounded::Bounded;
#[cfg(feature = "cli")]
pub(crate) use certificates::Certificates;
#[cfg(feature = "cli")]
pub(crate) use challenge::ChallengeCertificate;
#[cfg(feature = "tokio")]
pub use connector::Connector;
#[cfg(feature = "cli")]
pub(crate) use control::speaks_control;
pub use credential::{Credential, CredentialError, KeyError, LiveCredential};
#[cfg(feature = "cli")]
pub(crate) use described::Described;
#[cfg(feature = "cli")]
pub(crate) use exporter::{Exported, Exporter};
#[cfg(feature = "cli")]
pub(crate) use failure::HandshakeFailure;
#[cfg(feature = "cli")]
pub(crate) use observed::{
    Answer, Negotiated, Observed, Seen, answer, is_no_tls, is_tls13, negotiated, received_alert, tickets,
};
pub use peer::Peer;
pub use peers::{OwnedRule, OwnedRuleName, Peers};
pub use provider::{MinVersion, provider};
pub use refusal::{MAX_CERTIFICATES, Refusal, UnparsedCertificate, refusal};
pub use revocation::RevocationLists;
pub use server_name::{ServerNameError, WrongServerName, server_name};
pub use settings::{ClientAuth, ClientSettings, ServerSettings, ServerTrust, TlsClient, TlsError, TlsServer};
pub use shown::ShownCertificate;
#[cfg(feature = "cli")]
pub(crate) use shown::{ShownRequest, cut as shown_name};
#[cfg(feature = "tokio")]
pub use streams::{ClientHello, ClientStream, ServerStream};
#[cfg(feature = "cli")]
pub(crate) use streams::{has_verdict, is_resumed, version_name};
pub use system_roots::{SystemRoots, system_roots};
pub use trust::{Anchors, TrustSettings, TrustStore};
pub use verifier::{ClientVerifier, ServerVerifier};
