//! Originates TLS over tokio: runs the handshake, then judges the server.

use pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite};

use super::alert::is_told;
use super::bounded::Bounded;
use super::handshake::Handshake;
use super::reloading::Reloading;
use super::{AcceptError, Admission, ClientSettings, ClientStream, TlsClient, TlsError};

impl TlsClient {
    /// Runs the handshake, then judges the server. Until the handshake is done, the stream passes on no more octets
    /// than a handshake needs. Handshakes take turns at the processors.
    ///
    /// # Errors
    /// Returns the core's refusal, or the error that occurred.
    pub async fn connect<S>(
        &self,
        server_name: ServerName<'static>,
        stream: S,
    ) -> Result<(ClientStream<S>, Admission), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        self.connect_telling(server_name, stream, &mut None).await
    }

    /// Connects like [`TlsClient::connect`]. If the server was sent a fatal alert, its stream is left in `told`:
    /// closing the stream at once, with unread octets, would reset the connection and lose the alert.
    pub(crate) async fn connect_telling<S>(
        &self,
        server_name: ServerName<'static>,
        stream: S,
        told: &mut Option<S>,
    ) -> Result<(ClientStream<S>, Admission), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let connector = tokio_rustls::TlsConnector::from(self.config().clone());
        let handshake = connector.connect(server_name.clone(), Bounded::server(stream));
        let (done, mut found) = Handshake::drive(handshake.into_fallible(), self.turns()).await;
        let mut tls = done.map_err(|(error, stream)| {
            *told = is_told(&error).then(|| stream.into_inner());
            AcceptError::failed(error, &mut found)
        })?;
        let connection = tls.get_ref().1;
        let admitted = self.admit_judged(connection, &server_name, found);
        let admission = admitted.map_err(|refusal| AcceptError::refused(refusal, connection))?;
        tls.get_mut().0.lift();
        Ok((tls, admission))
    }
}

/// Originates TLS with settings, and trust in them, that can be replaced while in use.
#[derive(Debug)]
pub struct Connector(Reloading<TlsClient>);

impl Connector {
    /// Creates a connector with its first settings.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature.
    pub fn new(settings: ClientSettings) -> Result<Self, TlsError> {
        Reloading::new(settings).map(Self)
    }

    /// Replaces the settings for new handshakes; established connections continue.
    ///
    /// # Errors
    /// Fails if the provider lacks a requested feature; nothing changes then.
    pub fn reload(&self, settings: ClientSettings) -> Result<(), TlsError> {
        self.0.reload(settings)
    }

    /// Runs the handshake, then judges the server. The caller sets the deadline.
    ///
    /// # Errors
    /// Returns the core's refusal, or the error that occurred.
    pub async fn connect<S>(
        &self,
        server_name: ServerName<'static>,
        stream: S,
    ) -> Result<(ClientStream<S>, Admission), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let client = self.0.current().map_err(AcceptError::Settings)?;
        client.connect(server_name, stream).await
    }
}
