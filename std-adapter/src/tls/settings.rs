//! What a configuration of rustls is made from.

use std::fmt;
use std::sync::Arc;

use rustls::server::WantsServerCert;
use rustls::{ClientConfig, ConfigBuilder, ServerConfig};

use super::{ClientVerifier, Credential, MinVersion, ServerVerifier, TrustStore, provider};

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

/// A client's side.
#[derive(Clone, Debug)]
pub struct ClientSettings {
    /// Whom the client believes.
    pub trust: Arc<TrustStore>,
    /// What the client shows, if asked.
    pub credential: Option<Credential>,
    /// The lowest version.
    pub min_version: MinVersion,
    /// Protocols (RFC 7301), the preferred first.
    pub alpn: Vec<Vec<u8>>,
}

/// A configuration that rustls refuses.
#[derive(Debug)]
pub struct TlsError(rustls::Error);

impl fmt::Display for TlsError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "TLS configuration: {}", self.0)
    }
}

impl std::error::Error for TlsError {}

impl ServerSettings {
    /// A configuration with tickets of its own: one made before a change of trust cannot be resumed after it.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
    pub fn into_config(self) -> Result<Arc<ServerConfig>, TlsError> {
        let provider = provider();
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.min_version.versions())
            .map_err(TlsError)?;
        let builder: ConfigBuilder<ServerConfig, WantsServerCert> = match &self.client_auth {
            ClientAuth::Off => builder.with_no_client_auth(),
            ClientAuth::Optional(store) => {
                builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(store, false, provider)))
            }
            ClientAuth::Required(store) => {
                builder.with_client_cert_verifier(Arc::new(ClientVerifier::new(store, true, provider)))
            }
        };
        let resolver = rustls::sign::SingleCertAndKey::from(self.credential.key.clone());
        let mut config = builder.with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = self.alpn;
        // RFC 8446 section 8: early data can be replayed
        config.max_early_data_size = 0;
        Ok(Arc::new(config))
    }
}

impl ClientSettings {
    /// A configuration with a session cache of its own.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
    pub fn into_config(self) -> Result<Arc<ClientConfig>, TlsError> {
        let provider = provider();
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(self.min_version.versions())
            .map_err(TlsError)?
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(ServerVerifier::new(&self.trust, provider)));
        let mut config = match self.credential {
            Some(credential) => {
                let resolver = rustls::sign::SingleCertAndKey::from(credential.key);
                builder.with_client_cert_resolver(Arc::new(resolver))
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = self.alpn;
        config.enable_early_data = false;
        Ok(Arc::new(config))
    }
}
