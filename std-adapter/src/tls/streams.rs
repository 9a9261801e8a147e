//! Names the parts of tokio-rustls that a gateway needs.

#[cfg(feature = "cli")]
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use std::io;

use super::alert::is_told;
use super::bounded::Bounded;
use super::handshake::Handshake;
use super::{AcceptError, Admission, TlsServer};
#[cfg(feature = "cli")]
use super::{challenge, control};

/// The server's side of a connection.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<Bounded<S>>;
/// The client's side of a connection.
pub type ClientStream<S> = tokio_rustls::client::TlsStream<Bounded<S>>;

/// Returns the version of a finished handshake, as the PROXY protocol spells it.
#[cfg(feature = "cli")]
pub(crate) fn version_name(connection: &rustls::CommonState) -> Option<&'static str> {
    match connection.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}

/// Returns whether the server has accepted its client. In TLS 1.3 a client finishes before the server has verified the
/// client's certificate; a ticket comes after that verification at the earliest (RFC 8446 section 4.6.1).
#[cfg(feature = "cli")]
pub(crate) fn has_verdict(connection: &rustls::ClientConnection) -> bool {
    connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) || connection.tls13_tickets_received() > 0
}

/// Returns whether a handshake resumed a session, whose certificates were shown earlier (RFC 8446 section 2.2).
#[cfg(feature = "cli")]
pub(crate) fn is_resumed(connection: &rustls::CommonState) -> bool {
    connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

/// A handshake whose ClientHello was read, and for which no server is chosen yet.
pub struct ClientHello<S> {
    start: StartHandshake<Bounded<S>>,
    server_name: Option<String>,
    #[cfg(feature = "cli")]
    challenge: bool,
    #[cfg(feature = "cli")]
    control: bool,
}

/// A fatal unrecognized_name alert in a plaintext record (RFC 6066 section 3, RFC 8446 section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

impl<S: AsyncRead + AsyncWrite + Unpin> ClientHello<S> {
    /// Reads the ClientHello.
    ///
    /// # Errors
    /// Returns the error of rustls or the network.
    pub async fn read(stream: S) -> io::Result<Self> {
        Self::read_telling(stream, &mut None).await
    }

    /// Reads like [`ClientHello::read`]. If the client was sent a fatal alert, its stream is left in `told`.
    pub(crate) async fn read_telling(stream: S, told: &mut Option<S>) -> io::Result<Self> {
        let acceptor = rustls::server::Acceptor::default();
        let mut reading = LazyConfigAcceptor::new(acceptor, Bounded::client(stream));
        let (start, _) = Handshake::drive(&mut reading, None).await;
        let start = start.inspect_err(|error| {
            *told = reading.take_io().filter(|_| is_told(error)).map(Bounded::into_inner);
        })?;
        let hello = start.client_hello();
        let server_name = hello.server_name().map(str::to_owned);
        #[cfg(feature = "cli")]
        // RFC 8737 section 3: this single protocol
        let challenge = hello.alpn().is_some_and(|protocols| protocols.eq([challenge::ALPN]));
        #[cfg(feature = "cli")]
        let control = hello.alpn().is_some_and(|protocols| protocols.eq([control::ALPN]));
        Ok(Self {
            start,
            server_name,
            #[cfg(feature = "cli")]
            challenge,
            #[cfg(feature = "cli")]
            control,
        })
    }

    /// Returns whether a CA validates a name (RFC 8737).
    #[cfg(feature = "cli")]
    pub(crate) fn is_challenge(&self) -> bool {
        self.challenge
    }

    /// Returns whether a gateway asks for the control channel, and for nothing else.
    #[cfg(feature = "cli")]
    pub(crate) fn is_control(&self) -> bool {
        self.control
    }

    /// Answers a validation with the first of these servers that has an answer; returns the requested name.
    ///
    /// # Errors
    /// Fails if the handshake fails, or no server has an answer.
    #[cfg(feature = "cli")]
    pub(crate) async fn answer_challenge(self, servers: impl Iterator<Item = &TlsServer>) -> io::Result<String> {
        let Self { start, server_name, .. } = self;
        let name = server_name.unwrap_or_default();
        let config = servers.filter_map(|server| server.credential().challenge_config(&name)).next();
        let config =
            config.unwrap_or_else(|| Err(io::Error::other(format!("no validation of {name:?} is expected"))))?;
        let (tls, _) = Handshake::drive(start.into_stream(config), None).await;
        let mut tls = tls?;
        // RFC 8737 section 3: the connection ends after the handshake; nothing is read from it.
        tls.shutdown().await?;
        Ok(name)
    }

    /// Returns the server name that the client requests.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Continues the handshake as `server`, then judges the client.
    ///
    /// # Errors
    /// Returns the core's refusal, or the error that occurred.
    pub async fn accept(self, server: &TlsServer) -> Result<(ServerStream<S>, Admission), AcceptError> {
        self.accept_telling(server, &mut None).await
    }

    /// Continues like [`ClientHello::accept`]. If the client was sent a fatal alert, its stream is left in `told`.
    pub(crate) async fn accept_telling(
        self,
        server: &TlsServer,
        told: &mut Option<S>,
    ) -> Result<(ServerStream<S>, Admission), AcceptError> {
        server.finish(self.start.into_stream(server.config().clone()), told).await
    }

    /// Sends the client an unrecognized_name alert. The returned stream is to be closed after time to read the alert.
    pub async fn refuse_name(mut self) -> S {
        // Errors are ignored: the client may be gone.
        let _ = self.start.io.write_all(&UNRECOGNIZED_NAME).await;
        let _ = self.start.io.shutdown().await;
        self.start.io.into_inner()
    }
}
