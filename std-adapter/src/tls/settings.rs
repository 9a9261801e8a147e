//! Makes rustls configurations from settings.

use std::fmt;
use std::sync::Arc;

#[cfg(feature = "cli")]
use edgetrust_core::x509::KeyHash;
use pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::client::Resumption;
use rustls::{ClientConfig, ServerConfig};

#[cfg(feature = "cli")]
use super::Certificates;
#[cfg(feature = "tokio")]
use super::handshake::Handshake;
use super::resolver::Resolver;
use super::sessions::{ClientSessions, Sessions};
use super::verifier::DangerNoVerification;
use super::{Admission, Anyone, ClientVerifier, Credential, MinVersion, Refusal, ServerVerifier, TrustStore, provider};
use crate::clock;

/// The number of sessions that a server can resume; about 1.5 KiB each, with the client's chain.
const SESSIONS: usize = 4096;

/// The octets of a record's header, which rustls counts as part of a fragment.
#[cfg(feature = "cli")]
const RECORD_HEADER: usize = 5;

/// The mode of client authentication.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// No certificate is requested.
    Off,
    /// A certificate is judged if shown.
    Optional(Arc<TrustStore>),
    /// A handshake without a certificate fails.
    Required(Arc<TrustStore>),
}

/// The settings of a server.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// The credential that the server shows.
    pub credential: Credential,
    /// The mode of client authentication, with its trust.
    pub client_auth: ClientAuth,
    /// The minimum TLS version.
    pub min_version: MinVersion,
    /// The ALPN protocols (RFC 7301), the preferred first.
    pub alpn: Vec<Vec<u8>>,
}

impl ServerSettings {
    /// Returns the credential that the server shows, and the trust that clients are verified by.
    #[cfg(feature = "cli")]
    pub(crate) fn certificates(&self) -> Certificates {
        let trust = match &self.client_auth {
            ClientAuth::Off => None,
            ClientAuth::Optional(store) | ClientAuth::Required(store) => Some(store.clone()),
        };
        Certificates { credential: Some(self.credential.clone()), trust }
    }
}

/// The servers that a client trusts.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// Servers with a path to one of these anchors and the right name.
    Verified(Arc<TrustStore>),
    /// Every server, unverified. For `insecure_skip_verify`.
    DangerNobodyIsVerified,
}

/// The settings of a client.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// The servers that the client trusts.
    pub trust: ServerTrust,
    /// The credential that the client shows on request.
    pub credential: Option<Credential>,
    /// The minimum TLS version.
    pub min_version: MinVersion,
    /// The ALPN protocols (RFC 7301), the preferred first.
    pub alpn: Vec<Vec<u8>>,
}

impl ClientSettings {
    /// Returns the credential that the client shows, and the trust that servers are verified by.
    #[cfg(feature = "cli")]
    pub(crate) fn certificates(&self) -> Certificates {
        let trust = match &self.trust {
            ServerTrust::Verified(store) => Some(store.clone()),
            ServerTrust::DangerNobodyIsVerified => None,
        };
        Certificates { credential: self.credential.clone(), trust }
    }
}

/// The error of a configuration that rustls refuses.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsError(rustls::Error);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS configuration: {}", self.0)
    }
}

impl From<edgetrust_core::x509::ParseError> for TlsError {
    fn from(error: edgetrust_core::x509::ParseError) -> Self {
        Self(rustls::Error::General(error.to_string()))
    }
}

impl std::error::Error for TlsError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.0)
    }
}

/// A server: the rustls configuration, and the verifier of clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<ClientVerifier>>,
    #[cfg(feature = "cli")]
    credential: Credential,
}

impl TlsServer {
    /// Creates a configuration with its own tickets: no ticket from before a change of trust can be resumed after it.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature.
    pub fn new(settings: ServerSettings) -> Result<Self, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(settings.min_version.versions())
            .map_err(TlsError)?;
        let verifier = match &settings.client_auth {
            ClientAuth::Off => None,
            ClientAuth::Optional(store) => Some(Arc::new(ClientVerifier::new(store, false, provider))),
            ClientAuth::Required(store) => Some(Arc::new(ClientVerifier::new(store, true, provider))),
        };
        let builder = match &verifier {
            None => builder.with_no_client_auth(),
            Some(verifier) => builder.with_client_cert_verifier(verifier.clone()),
        };
        let mut config = builder.with_cert_resolver(Arc::new(Resolver(settings.credential.clone())));
        config.alpn_protocols = settings.alpn;
        // RFC 8446 appendix C.4: a ticket is for one use. A feed reconnects once, with its last connection's ticket.
        config.send_tls13_tickets = 1;
        let horizon = verifier.as_ref().map(|verifier| verifier.horizon().clone()).unwrap_or_default();
        config.session_storage = Arc::new(Sessions::new(SESSIONS, horizon));
        // RFC 8446 section 8: early data can be replayed
        config.max_early_data_size = 0;
        Ok(Self {
            config: Arc::new(config),
            verifier,
            #[cfg(feature = "cli")]
            credential: settings.credential,
        })
    }

    /// Changes the rustls configuration, which nobody uses yet.
    #[cfg(feature = "cli")]
    pub(super) fn change(&mut self, change: impl FnOnce(&mut ServerConfig)) {
        change(Arc::make_mut(&mut self.config));
    }

    /// Sends records of at most this many octets, before encryption: a device's memory holds no larger ones. RFC 8449
    /// lets a client ask for that, but rustls does not read the extension.
    #[cfg(feature = "cli")]
    pub(crate) fn with_fragments_of(mut self, octets: u16) -> Self {
        self.change(|config| config.max_fragment_size = Some(usize::from(octets).saturating_add(RECORD_HEADER)));
        self
    }

    /// Returns whether trust is unchanged since the server was created; if not, a new server must be created.
    pub fn is_current(&self) -> bool {
        self.verifier.as_ref().is_none_or(|verifier| verifier.is_current())
    }

    /// Returns whether a CA may validate the certificate's names now (RFC 8737): each ClientHello must then be read
    /// before the handshake is answered.
    #[cfg(feature = "cli")]
    pub(crate) fn is_challenged(&self) -> bool {
        self.credential.is_challenged()
    }

    /// Returns the turns that handshakes take with a key in a token; none with a key in memory.
    #[cfg(feature = "tokio")]
    pub(super) fn turns(&self) -> Option<Arc<tokio::sync::Semaphore>> {
        #[cfg(feature = "cli")]
        return self.credential.turns();
        #[cfg(not(feature = "cli"))]
        None
    }

    #[cfg(feature = "cli")]
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// Returns the rustls configuration. Its user must call [`TlsServer::admit`] after each handshake.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// Admits the client as [`TlsServer::admit`] does, by the verdict of this very handshake if there is one.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(
        &self,
        connection: &rustls::CommonState,
        found: Handshake,
    ) -> Result<Admission, Refusal> {
        match (&self.verifier, found.judged) {
            (Some(verifier), Some(verdict)) => Ok(Admission::Peer(verifier.admit_judged(verdict))),
            _ => self.admit(connection),
        }
    }

    /// Judges the client of a finished handshake, resumed or not.
    ///
    /// # Errors
    /// Returns why the client is not authorized.
    pub fn admit(&self, connection: &rustls::CommonState) -> Result<Admission, Refusal> {
        self.admit_at(connection, clock::now())
    }

    fn admit_at(&self, connection: &rustls::CommonState, now: UnixTime) -> Result<Admission, Refusal> {
        self.admit_chain(connection.peer_certificates(), now)
    }

    /// Judges the client that has shown these certificates, at a time.
    pub(crate) fn admit_chain(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        now: UnixTime,
    ) -> Result<Admission, Refusal> {
        match &self.verifier {
            Some(verifier) => verifier.admit_at(shown, now),
            None => Ok(Anyone::admitted()),
        }
    }

    /// Returns the first of these keys that is denied at a time.
    #[cfg(feature = "cli")]
    pub(crate) fn denied<'k>(&self, keys: &'k [KeyHash], now: UnixTime) -> Option<&'k KeyHash> {
        self.verifier.as_ref()?.denied(keys, now)
    }
}

/// A client: the rustls configuration, and the verifier of servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    verifier: Option<Arc<ServerVerifier>>,
    #[cfg(feature = "cli")]
    credential: Option<Credential>,
}

impl TlsClient {
    /// Creates a configuration with a session cache of its own.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature.
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(settings.min_version.versions())
            .map_err(TlsError)?
            .dangerous();
        let (builder, verifier) = match &settings.trust {
            ServerTrust::Verified(store) => {
                let verifier = Arc::new(ServerVerifier::new(store, provider));
                (builder.with_custom_certificate_verifier(verifier.clone()), Some(verifier))
            }
            ServerTrust::DangerNobodyIsVerified => {
                (builder.with_custom_certificate_verifier(Arc::new(DangerNoVerification { provider })), None)
            }
        };
        let mut config = match &settings.credential {
            Some(credential) => builder.with_client_cert_resolver(Arc::new(Resolver(credential.clone()))),
            None => builder.with_no_client_auth(),
        };
        let horizon = verifier.as_ref().map(|verifier| verifier.horizon().clone()).unwrap_or_default();
        config.resumption = Resumption::store(Arc::new(ClientSessions::new(settings.credential.clone(), horizon)));
        config.alpn_protocols = settings.alpn;
        config.enable_early_data = false;
        Ok(Self {
            config: Arc::new(config),
            verifier,
            #[cfg(feature = "cli")]
            credential: settings.credential,
        })
    }

    /// Changes the rustls configuration, which nobody uses yet.
    #[cfg(feature = "cli")]
    pub(super) fn change(&mut self, change: impl FnOnce(&mut ClientConfig)) {
        change(Arc::make_mut(&mut self.config));
    }

    /// Returns the verifier of servers; none where nobody is verified.
    #[cfg(feature = "cli")]
    pub(super) fn verifier(&self) -> Option<&Arc<ServerVerifier>> {
        self.verifier.as_ref()
    }

    /// Returns whether trust is unchanged since the client was created; if not, a new client must be created.
    pub fn is_current(&self) -> bool {
        self.verifier.as_ref().is_none_or(|verifier| verifier.is_current())
    }

    /// Returns the rustls configuration. Its user must call [`TlsClient::admit`] after each handshake.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// Returns the rustls configuration for a client that does not call [`TlsClient::admit`]: it resumes no session, so
    /// that each handshake judges the server.
    #[cfg(feature = "nats")]
    pub(crate) fn config_without_resumption(&self) -> ClientConfig {
        let mut config = ClientConfig::clone(&self.config);
        config.resumption = Resumption::disabled();
        config
    }

    /// Admits the server as [`TlsClient::admit`] does, by the verdict of this very handshake if there is one.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(
        &self,
        connection: &rustls::CommonState,
        server_name: &ServerName<'_>,
        found: Handshake,
    ) -> Result<Admission, Refusal> {
        match (&self.verifier, found.judged) {
            (Some(verifier), Some(verdict)) => Ok(Admission::Peer(verifier.admit_judged(verdict))),
            _ => self.admit(connection, server_name),
        }
    }

    /// Judges the server of a finished handshake, resumed or not.
    ///
    /// # Errors
    /// Returns why the server is not authorized.
    pub fn admit(&self, connection: &rustls::CommonState, server_name: &ServerName<'_>) -> Result<Admission, Refusal> {
        self.admit_at(connection, server_name, clock::now())
    }

    fn admit_at(
        &self,
        connection: &rustls::CommonState,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Admission, Refusal> {
        self.admit_chain(connection.peer_certificates(), server_name, now)
    }

    /// Judges the server that has shown these certificates, at a time.
    pub(crate) fn admit_chain(
        &self,
        shown: Option<&[CertificateDer<'_>]>,
        server_name: &ServerName<'_>,
        now: UnixTime,
    ) -> Result<Admission, Refusal> {
        match &self.verifier {
            Some(verifier) => verifier.admit_at(shown, server_name, now).map(Admission::Peer),
            None => Ok(Anyone::admitted()),
        }
    }

    /// Returns the first of these keys that is denied at a time.
    #[cfg(feature = "cli")]
    pub(crate) fn denied<'k>(&self, keys: &'k [KeyHash], now: UnixTime) -> Option<&'k KeyHash> {
        self.verifier.as_ref()?.denied(keys, now)
    }

    /// Returns the turns that handshakes take with a key in a token; none with a key in memory.
    #[cfg(feature = "tokio")]
    pub(super) fn turns(&self) -> Option<Arc<tokio::sync::Semaphore>> {
        #[cfg(feature = "cli")]
        return self.credential.as_ref().and_then(Credential::turns);
        #[cfg(not(feature = "cli"))]
        None
    }

    /// Returns the credential that the client shows on request.
    #[cfg(feature = "cli")]
    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }
}
