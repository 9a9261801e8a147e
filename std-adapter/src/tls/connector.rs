//! Originates TLS over tokio: a handshake, then the verdict on the server.

use std::sync::Arc;

use arc_swap::ArcSwap;
use pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::client::TlsStream;

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

/// Originates TLS; its settings can be replaced while it is in use.
#[derive(Debug)]
pub struct Connector(ArcSwap<TlsClient>);

impl Connector {
    /// A connector with its first settings.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::from_pointee(TlsClient::new(settings)?)))
    }

    /// New handshakes use the new settings; connections go on.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for: then nothing changes.
    pub fn reload(&self, settings: ClientSettings) -> Result<(), TlsError> {
        self.0.store(Arc::new(TlsClient::new(settings)?));
        Ok(())
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
        let client = self.0.load_full();
        client.connect(server_name, stream).await
    }
}
