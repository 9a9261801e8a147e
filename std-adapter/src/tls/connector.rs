//! Originates TLS over tokio: a handshake, then the verdict on the server.

use std::sync::Arc;

use pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::alert::is_told;
use super::bounded::Bounded;
use super::handshake::Handshake;
use super::reloading::Reloading;
use super::{AcceptError, ClientSettings, ClientStream, Peer, TlsClient, TlsError};

impl TlsClient {
    /// A handshake, then the verdict. The stream hands on no more than a handshake needs until it is done, and handshakes take turns
    /// at the processors.
    ///
    /// # Errors
    /// The core's reason, or what failed.
    pub async fn connect<S>(
        &self,
        server_name: ServerName<'static>,
        stream: S,
    ) -> Result<(ClientStream<S>, Option<Arc<Peer>>), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_telling(server_name, stream, &mut None).await
    }

    /// Connects like [`TlsClient::connect`]. Where the server was sent a fatal alert, its stream is left in `told`: closed at once, with
    /// something unread, it would be reset, and the alert be lost.
    pub(crate) async fn connect_telling<S>(
        &self,
        server_name: ServerName<'static>,
        stream: S,
        told: &mut Option<S>,
    ) -> Result<(ClientStream<S>, Option<Arc<Peer>>), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = tokio_rustls::TlsConnector::from(self.config().clone());
        let handshake = connector.connect(server_name.clone(), Bounded::server(stream));
        let (done, mut found) = Handshake::drive(handshake.into_fallible()).await;
        let mut tls = done.map_err(|(error, stream)| {
            *told = is_told(&error).then(|| stream.into_inner());
            AcceptError::failed(error, &mut found)
        })?;
        let connection = tls.get_ref().1;
        let admitted = self.admit_judged(connection, &server_name, found);
        let peer = admitted.map_err(|refusal| AcceptError::refused(refusal, connection))?;
        tls.get_mut().0.lift();
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
    ) -> Result<(ClientStream<S>, Option<Arc<Peer>>), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let client = self.0.current().map_err(AcceptError::Settings)?;
        client.connect(server_name, stream).await
    }
}
