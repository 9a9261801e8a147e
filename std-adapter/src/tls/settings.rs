//! What a configuration of rustls is made from.

use std::fmt;
use std::sync::Arc;

use pki_types::ServerName;
use rustls::client::Resumption;
use rustls::{ClientConfig, ServerConfig};

#[cfg(feature = "tokio")]
use super::handshake::Handshake;
use super::resolver::Resolver;
use super::sessions::{ClientSessions, Sessions};
use super::verifier::DangerNoVerification;
use super::{
    Certificates, ClientVerifier, Credential, MinVersion, Peer, Refusal, ServerVerifier, TrustStore, provider,
};

/// Sessions that a server can resume; about 1.5 KiB each, with the client's chain.
const SESSIONS: usize = 4096;

/// Whether clients show certificates.
#[derive(Clone, Debug)]
pub enum ClientAuth {
    /// None is asked for.
    Off,
    /// Judged where shown.
    Optional(Arc<TrustStore>),
    /// No handshake without.
    Required(Arc<TrustStore>),
}

/// A server's side.
#[derive(Clone, Debug)]
pub struct ServerSettings {
    /// What the server shows.
    pub credential: Credential,
    /// What clients show.
    pub client_auth: ClientAuth,
    /// The lowest version.
    pub min_version: MinVersion,
    /// Protocols (RFC 7301), the preferred first.
    pub alpn: Vec<Vec<u8>>,
}

impl ServerSettings {
    /// What the server shows, and what clients are verified by.
    pub fn certificates(&self) -> Certificates {
        let trust = match &self.client_auth {
            ClientAuth::Off => None,
            ClientAuth::Optional(store) | ClientAuth::Required(store) => Some(store.clone()),
        };
        Certificates { credential: Some(self.credential.clone()), trust }
    }
}

/// Whom a client believes.
#[derive(Clone, Debug)]
pub enum ServerTrust {
    /// Servers with a path to one of these anchors and the right name.
    Verified(Arc<TrustStore>),
    /// Everybody. For `insecure_skip_verify`.
    DangerNobodyIsVerified,
}

/// A client's side.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Whom the client believes.
    pub trust: ServerTrust,
    /// What the client shows, if asked.
    pub credential: Option<Credential>,
    /// The lowest version.
    pub min_version: MinVersion,
    /// Protocols (RFC 7301), the preferred first.
    pub alpn: Vec<Vec<u8>>,
}

impl ClientSettings {
    /// What the client shows, and what servers are verified by.
    pub fn certificates(&self) -> Certificates {
        let trust = match &self.trust {
            ServerTrust::Verified(store) => Some(store.clone()),
            ServerTrust::DangerNobodyIsVerified => None,
        };
        Certificates { credential: self.credential.clone(), trust }
    }
}

/// What rustls refuses to be configured with.
#[derive(Clone, Debug, PartialEq)]
pub struct TlsError(rustls::Error);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS configuration: {}", self.0)
    }
}

impl std::error::Error for TlsError {}

/// A server: rustls's configuration, and who judges its clients. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsServer {
    config: Arc<ServerConfig>,
    verifier: Option<Arc<ClientVerifier>>,
    credential: Credential,
}

impl TlsServer {
    /// Judges again what the client of a connection that goes on showed, by the rules of this server and now.
    ///
    /// # Errors
    /// Why it is no longer let in.
    #[cfg(feature = "acme")]
    pub(crate) fn admit_again(&self, shown: &[pki_types::CertificateDer<'_>]) -> Result<Option<Arc<Peer>>, Refusal> {
        match &self.verifier {
            Some(verifier) => verifier.admit(Some(shown)),
            None => Ok(None),
        }
    }

    /// A configuration with tickets of its own: one made before a change of trust cannot be resumed after it.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
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
        // RFC 8446 appendix C.4: a ticket is for one use. A feed reconnects once, with the ticket of its last connection.
        config.send_tls13_tickets = 1;
        let horizon = verifier.as_ref().map(|verifier| verifier.horizon().clone()).unwrap_or_default();
        config.session_storage = Arc::new(Sessions::new(SESSIONS, horizon));
        // RFC 8446 section 8: early data can be replayed
        config.max_early_data_size = 0;
        Ok(Self { config: Arc::new(config), verifier, credential: settings.credential })
    }

    /// Whether trust is still what it was when this was made; else a new one is to be made.
    pub fn is_current(&self) -> bool {
        self.verifier.as_ref().is_none_or(|verifier| verifier.is_current())
    }

    /// A CA may validate the certificate's names now (RFC 8737): each ClientHello is to be read before it is answered.
    pub fn is_challenged(&self) -> bool {
        self.credential.is_challenged()
    }

    #[cfg(feature = "tokio")]
    pub(super) fn credential(&self) -> &Credential {
        &self.credential
    }

    /// For any code that takes rustls's own. It must call [`TlsServer::admit`] after each handshake.
    pub fn config(&self) -> &Arc<ServerConfig> {
        &self.config
    }

    /// As [`TlsServer::admit`], by the verdict of this very handshake, where it asked for one.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(
        &self,
        connection: &rustls::CommonState,
        found: Handshake,
    ) -> Result<Option<Arc<Peer>>, Refusal> {
        match (&self.verifier, found.judged) {
            (Some(verifier), Some(verdict)) => Ok(Some(verifier.admit_judged(verdict))),
            _ => self.admit(connection),
        }
    }

    /// Judges the client of a finished handshake, resumed ones too; none where no certificate was asked for or shown.
    ///
    /// # Errors
    /// Why it is not let in.
    pub fn admit(&self, connection: &rustls::CommonState) -> Result<Option<Arc<Peer>>, Refusal> {
        match &self.verifier {
            Some(verifier) => verifier.admit(connection.peer_certificates()),
            None => Ok(None),
        }
    }
}

/// A client: rustls's configuration, and who judges servers. Cheap to clone.
#[derive(Clone, Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    verifier: Option<Arc<ServerVerifier>>,
}

impl TlsClient {
    /// A configuration with a session cache of its own.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
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
        config.resumption = Resumption::store(Arc::new(ClientSessions::new(settings.credential, horizon)));
        config.alpn_protocols = settings.alpn;
        config.enable_early_data = false;
        Ok(Self { config: Arc::new(config), verifier })
    }

    /// Whether trust is still what it was when this was made; else a new one is to be made.
    pub fn is_current(&self) -> bool {
        self.verifier.as_ref().is_none_or(|verifier| verifier.is_current())
    }

    /// For any code that takes rustls's own. It must call [`TlsClient::admit`] after each handshake.
    pub fn config(&self) -> &Arc<ClientConfig> {
        &self.config
    }

    /// As [`TlsClient::admit`], by the verdict of this very handshake, where it asked for one.
    #[cfg(feature = "tokio")]
    pub(super) fn admit_judged(
        &self,
        connection: &rustls::CommonState,
        server_name: &ServerName<'_>,
        found: Handshake,
    ) -> Result<Option<Arc<Peer>>, Refusal> {
        match (&self.verifier, found.judged) {
            (Some(verifier), Some(verdict)) => Ok(Some(verifier.admit_judged(verdict))),
            _ => self.admit(connection, server_name),
        }
    }

    /// Judges the server of a finished handshake, resumed ones too; none where nobody is verified.
    ///
    /// # Errors
    /// Why it is not believed.
    pub fn admit(
        &self,
        connection: &rustls::CommonState,
        server_name: &ServerName<'_>,
    ) -> Result<Option<Arc<Peer>>, Refusal> {
        match &self.verifier {
            Some(verifier) => verifier.admit(connection.peer_certificates(), server_name).map(Some),
            None => Ok(None),
        }
    }
}
