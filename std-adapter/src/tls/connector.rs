//! Originates TLS over tokio: a handshake, then the verdict on the server.

use std::sync::Arc;

use pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

use super::reloading::Reloading;
use super::{AcceptError, ClientSettings, Peer, TlsClient, TlsError};

impl TlsClient {
    /// A handshake, then the verdict.
    ///
    /// # Errors
    /// The core's reason, or what failed.
    pub async fn connect<S>(
        &self,
        server_name: ServerName<'static>,
        stream: S,
    ) -> Result<(TlsStream<S>, Option<Arc<Peer>>), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = tokio_rustls::TlsConnector::from(self.config().clone());
        let tls = connector.connect(server_name.clone(), stream).await?;
        let peer = self.admit(tls.get_ref().1, &server_name).map_err(AcceptError::Refused)?;
        Ok((tls, peer))
    }
}

/// Originates TLS; its settings, and the trust in them, can be replaced while it is in use.
#[derive(Debug)]
pub struct Connector(Reloading<TlsClient>);

impl Connector {
    /// A connector with its first settings.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        Reloading::new(settings).map(Self)
    }

    /// New handshakes use the new settings; connections go on.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for: then nothing changes.
    pub fn reload(&self, settings: ClientSettings) -> Result<(), TlsError> {
        self.0.reload(settings)
    }

    /// A handshake, then the verdict; no peer only where nobody is verified. The caller sets the deadline.
    ///
    /// # Errors
    /// The core's reason, or what failed.
    pub async fn connect<S>(
        &self,
        server_name: ServerName<'static>,
        stream: S,
    ) -> Result<(TlsStream<S>, Option<Arc<Peer>>), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let client = self.0.current().map_err(AcceptError::Settings)?;
        client.connect(server_name, stream).await
    }
}
