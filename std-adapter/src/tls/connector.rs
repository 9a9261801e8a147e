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

/// Originates TLS; its settings, and the trust in them, can be replaced while it is in use.
#[derive(Debug)]
pub struct Connector(ArcSwap<Current>);

/// Settings, and what was made of them.
#[derive(Debug)]
struct Current {
    settings: ClientSettings,
    tls: TlsClient,
}

impl Current {
    fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        Ok(Self { tls: TlsClient::new(settings.clone())?, settings })
    }
}

impl Connector {
    /// A connector with its first settings.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        Ok(Self(ArcSwap::from_pointee(Current::new(settings)?)))
    }

    /// New handshakes use the new settings; connections go on.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for: then nothing changes.
    pub fn reload(&self, settings: ClientSettings) -> Result<(), TlsError> {
        self.0.store(Arc::new(Current::new(settings)?));
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
        let current = self.current().map_err(AcceptError::Settings)?;
        current.tls.connect(server_name, stream).await
    }

    /// What new handshakes use: made anew when a [`super::TrustStore`] has been replaced, so that no session from before is resumed.
    fn current(&self) -> Result<Arc<Current>, TlsError> {
        let current = self.0.load_full();
        if current.tls.is_current() {
            return Ok(current);
        }
        let renewed = Arc::new(Current::new(current.settings.clone())?);
        // A reload meanwhile is newer.
        self.0.compare_and_swap(&current, renewed.clone());
        Ok(renewed)
    }
}
