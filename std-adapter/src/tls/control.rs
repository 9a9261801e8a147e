//! The TLS of gateways that speak with each other: TLS 1.3, one protocol, and every handshake a full one.

use std::sync::Arc;

use rustls::client::Resumption;
use rustls::server::NoServerSessionStorage;

use super::MinVersion;
use super::settings::{ClientSettings, ServerSettings, TlsClient, TlsError, TlsServer};

/// The ALPN protocol (RFC 7301 section 3.1) of the control channel.
pub(super) const ALPN: &[u8] = b"edgetrust/1";

impl TlsServer {
    /// Creates a server of the control channel. No session is resumed: both ends show, and prove, what they have now.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature.
    pub(crate) fn for_control(settings: ServerSettings) -> Result<Self, TlsError> {
        let mut server =
            Self::new(ServerSettings { min_version: MinVersion::Tls13, alpn: vec![ALPN.to_vec()], ..settings })?;
        server.change(|config| {
            config.send_tls13_tickets = 0;
            config.session_storage = Arc::new(NoServerSessionStorage {});
        });
        Ok(server)
    }
}

impl TlsClient {
    /// Creates a client of the control channel.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature.
    pub(crate) fn for_control(settings: ClientSettings) -> Result<Self, TlsError> {
        let mut client =
            Self::new(ClientSettings { min_version: MinVersion::Tls13, alpn: vec![ALPN.to_vec()], ..settings })?;
        client.change(|config| config.resumption = Resumption::disabled());
        Ok(client)
    }
}

/// Returns whether the server has chosen the control channel; one that does not know it leaves the protocol out.
pub(crate) fn speaks_control(connection: &rustls::ClientConnection) -> bool {
    connection.alpn_protocol() == Some(ALPN)
}
