//! What a gateway needs of tokio-rustls, by name.

use pki_types::ServerName;
use rustls::ProtocolVersion;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio_rustls::{LazyConfigAcceptor, StartHandshake};

use std::io;
use std::sync::Arc;

use super::alert::is_told;
use super::bounded::Bounded;
use super::handshake::Handshake;
use super::{AcceptError, Peer, TlsServer, challenge};

/// A server's side of a connection.
pub type ServerStream<S> = tokio_rustls::server::TlsStream<Bounded<S>>;
/// A client's side of a connection.
pub type ClientStream<S> = tokio_rustls::client::TlsStream<Bounded<S>>;

/// The version of a finished handshake, as the PROXY protocol spells it.
pub fn version_name(connection: &rustls::CommonState) -> Option<&'static str> {
    match connection.protocol_version()? {
        ProtocolVersion::TLSv1_2 => Some("TLSv1.2"),
        ProtocolVersion::TLSv1_3 => Some("TLSv1.3"),
        _ => None,
    }
}

/// Whether a server has said what it thinks of its client: in TLS 1.3 a client is done before the server has looked at its certificate,
/// and a ticket comes after that at the earliest (RFC 8446 section 4.6.1).
pub fn has_verdict(connection: &rustls::ClientConnection) -> bool {
    connection.protocol_version() != Some(ProtocolVersion::TLSv1_3) || connection.tls13_tickets_received() > 0
}

/// Whether a finished handshake resumed a session: certificates were shown in an earlier one (RFC 8446 section 2.2).
pub fn is_resumed(connection: &rustls::CommonState) -> bool {
    connection.handshake_kind() == Some(rustls::HandshakeKind::Resumed)
}

/// A handshake that waits for a decision on which server answers it.
pub struct ClientHello<S> {
    start: StartHandshake<Bounded<S>>,
    server_name: Option<String>,
    challenge: bool,
}

/// A fatal unrecognized_name alert in a plaintext record (RFC 6066 section 3, RFC 8446 section 6).
const UNRECOGNIZED_NAME: [u8; 7] = [21, 3, 3, 0, 2, 2, 112];

impl<S: AsyncRead + AsyncWrite + Unpin> ClientHello<S> {
    /// Reads the ClientHello.
    ///
    /// # Errors
    /// What rustls or the network says.
    pub async fn read(stream: S) -> io::Result<Self> {
        Self::read_telling(stream, &mut None).await
    }

    /// Reads like [`ClientHello::read`]. Where the client was sent a fatal alert, its stream is left in `told`.
    pub(crate) async fn read_telling(stream: S, told: &mut Option<S>) -> io::Result<Self> {
        let acceptor = rustls::server::Acceptor::default();
        let mut reading = LazyConfigAcceptor::new(acceptor, Bounded::client(stream));
        let (start, _) = Handshake::drive(&mut reading).await;
        let start = start.inspect_err(|error| {
            *told = reading.take_io().filter(|_| is_told(error)).map(Bounded::into_inner);
        })?;
        let hello = start.client_hello();
        let server_name = hello.server_name().map(str::to_owned);
        // RFC 8737 section 3: this single protocol
        let challenge = hello.alpn().is_some_and(|protocols| protocols.eq([challenge::ALPN]));
        Ok(Self { start, server_name, challenge })
    }

    /// A CA validates a name (RFC 8737).
    pub fn is_challenge(&self) -> bool {
        self.challenge
    }

    /// Answers a validation with the first of these servers that has an answer; the name that was asked for.
    ///
    /// # Errors
    /// What failed, or that none has an answer.
    pub async fn answer_challenge(self, servers: impl Iterator<Item = &TlsServer>) -> io::Result<String> {
        let Self { start, server_name, .. } = self;
        let name = server_name.unwrap_or_default();
        let config = servers.filter_map(|server| server.credential().challenge_config(&name)).next();
        let config =
            config.unwrap_or_else(|| Err(io::Error::other(format!("no validation of {name:?} is expected"))))?;
        let (tls, _) = Handshake::drive(start.into_stream(config)).await;
        let mut tls = tls?;
        // RFC 8737 section 3: the handshake is all; nothing is read from it.
        tls.shutdown().await?;
        Ok(name)
    }

    /// The server name that the client asks for.
    pub fn server_name(&self) -> Option<&str> {
        self.server_name.as_deref()
    }

    /// Goes on as this server, then judges the client.
    ///
    /// # Errors
    /// The core's reason, or what failed.
    pub async fn accept(self, server: &TlsServer) -> Result<(ServerStream<S>, Option<Arc<Peer>>), AcceptError> {
        self.accept_telling(server, &mut None).await
    }

    /// Goes on like [`ClientHello::accept`]. Where the client was sent a fatal alert, its stream is left in `told`.
    pub(crate) async fn accept_telling(
        self,
        server: &TlsServer,
        told: &mut Option<S>,
    ) -> Result<(ServerStream<S>, Option<Arc<Peer>>), AcceptError> {
        server.finish(self.start.into_stream(server.config().clone()), told).await
    }

    /// Tells the client that nobody of that name is here; its stream, to be closed once it had time to read that.
    pub async fn refuse_name(mut self) -> S {
        // It may be gone; nothing was promised to it.
        let _ = self.start.io.write_all(&UNRECOGNIZED_NAME).await;
        let _ = self.start.io.shutdown().await;
        self.start.io.into_inner()
    }
}

/// A server name from text: a DNS name or an IP address.
///
/// # Errors
/// What was found and what was expected.
pub fn server_name(text: &str) -> Result<ServerName<'static>, String> {
    ServerName::try_from(text.to_owned())
        .map_err(|_| format!("server name: found {text:?}, expected a DNS name or an IP address"))
}
