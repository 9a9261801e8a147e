//! Accepts TLS over tokio: a handshake, then the verdict on the peer.

use std::fmt;
use std::io;
use std::sync::Arc;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio_rustls::server::TlsStream;

use super::reloading::Reloading;
use super::{Peer, Refusal, ServerSettings, TlsError, TlsServer, refusal};

/// Why there is no connection.
#[derive(Debug)]
pub enum AcceptError {
    /// The peer was judged and refused.
    Refused(Refusal),
    /// TLS or the network failed.
    Io(io::Error),
    /// The settings can no longer be used.
    Settings(TlsError),
}

impl fmt::Display for AcceptError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Refused(refusal) => refusal.fmt(f),
            Self::Io(error) => error.fmt(f),
            Self::Settings(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for AcceptError {}

impl From<io::Error> for AcceptError {
    /// The core's reason where it refused, else what TLS or the system says.
    fn from(error: io::Error) -> Self {
        let rustls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
        match rustls.and_then(refusal) {
            Some(refusal) => Self::Refused(refusal.clone()),
            None => Self::Io(error),
        }
    }
}

impl From<AcceptError> for io::Error {
    fn from(error: AcceptError) -> Self {
        match error {
            AcceptError::Refused(refusal) => Self::new(io::ErrorKind::PermissionDenied, refusal),
            AcceptError::Io(error) => error,
            AcceptError::Settings(error) => Self::other(error),
        }
    }
}

impl TlsServer {
    /// A handshake, then the verdict.
    ///
    /// # Errors
    /// The core's reason, or what failed.
    pub async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, Option<Arc<Peer>>), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let tls = tokio_rustls::TlsAcceptor::from(self.config().clone()).accept(stream).await?;
        let peer = self.admit(tls.get_ref().1).map_err(AcceptError::Refused)?;
        Ok((tls, peer))
    }
}

/// Accepts TLS; its settings, and the trust in them, can be replaced while it is in use.
#[derive(Debug)]
pub struct Acceptor(Reloading<TlsServer>);

impl Acceptor {
    /// An acceptor with its first settings.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for.
    pub fn new(settings: ServerSettings) -> Result<Self, TlsError> {
        Reloading::new(settings).map(Self)
    }

    /// New handshakes use the new settings; connections go on.
    ///
    /// # Errors
    /// Where the provider lacks what is asked for: then nothing changes.
    pub fn reload(&self, settings: ServerSettings) -> Result<(), TlsError> {
        self.0.reload(settings)
    }

    /// A handshake, then the verdict; no peer where no certificate was asked for or shown. The caller sets the deadline.
    ///
    /// # Errors
    /// The core's reason, or what failed.
    pub async fn accept<S>(&self, stream: S) -> Result<(TlsStream<S>, Option<Arc<Peer>>), AcceptError>
    where
        S: AsyncRead + AsyncWrite + Unpin,
    {
        let server = self.0.current().map_err(AcceptError::Settings)?;
        server.accept(stream).await
    }
}
