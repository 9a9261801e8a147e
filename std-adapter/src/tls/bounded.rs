//! A stream that hands on no more than a stranger may send.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Octets of a ClientHello, with the headers of its records. One with post-quantum key shares has about 2 KiB.
const CLIENT_HELLO: usize = 16 * 1024;
/// Octets of a client after the ServerHello, until its handshake is done: its certificates for the most part.
const FLIGHT_OF_CLIENT: usize = 64 * 1024;
/// Octets of a server until its handshake is done: a CertificateRequest can name many CAs.
const FLIGHT_OF_SERVER: usize = 256 * 1024;

/// A stream under TLS. Until the handshake is done it ends with an error where the peer sends more than a handshake needs: rustls
/// keeps what it cannot use yet, up to 64 KiB of each peer.
#[derive(Debug)]
pub struct Bounded<S> {
    stream: S,
    /// What may still come; none where there is no bound.
    left: Option<usize>,
    /// What may come after our first answer.
    after: usize,
    /// The peer is a client that has said nothing yet.
    silent: bool,
}

/// A client came and left without an octet, as health checks do.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftSilently;

impl fmt::Display for LeftSilently {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client left without a word")
    }
}

impl std::error::Error for LeftSilently {}

impl<S> Bounded<S> {
    /// The peer is a client: a ClientHello comes first.
    pub(super) fn client(stream: S) -> Self {
        Self { stream, left: Some(CLIENT_HELLO), after: FLIGHT_OF_CLIENT, silent: true }
    }

    /// The peer is a server: our ClientHello goes first.
    pub(super) fn server(stream: S) -> Self {
        Self { stream, left: Some(0), after: FLIGHT_OF_SERVER, silent: false }
    }

    /// The stream alone.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// The handshake is done.
    pub(super) fn lift(&mut self) {
        self.left = None;
    }

    /// What is written first says that the ClientHello is whole.
    fn answer(&mut self) {
        if let Some(left) = &mut self.left {
            *left = left.saturating_add(std::mem::take(&mut self.after));
        }
    }
}

impl<S> Deref for Bounded<S> {
    type Target = S;

    fn deref(&self) -> &S {
        &self.stream
    }
}

impl<S> DerefMut for Bounded<S> {
    fn deref_mut(&mut self) -> &mut S {
        &mut self.stream
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Bounded<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = ready!(Pin::new(&mut self.stream).poll_read(cx, buf));
        if self.silent {
            let gone = match &read {
                Ok(()) => buf.filled().len() == before,
                Err(error) => error.kind() == io::ErrorKind::ConnectionReset,
            };
            if gone {
                return Poll::Ready(Err(io::Error::new(io::ErrorKind::UnexpectedEof, LeftSilently)));
            }
            self.silent = false;
        }
        read?;
        if let Some(left) = &mut self.left {
            match left.checked_sub(buf.filled().len().saturating_sub(before)) {
                Some(rest) => *left = rest,
                None => return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, TOO_MUCH))),
            }
        }
        Poll::Ready(Ok(()))
    }
}

/// What is said of a peer that sends without end.
const TOO_MUCH: &str = "the peer sent more than a handshake needs";

impl<S: AsyncWrite + Unpin> AsyncWrite for Bounded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        self.answer();
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        self.answer();
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    /// How many octets of `sent` are handed on.
    async fn taken(
        bounded: &mut Bounded<tokio::io::DuplexStream>,
        far: &mut tokio::io::DuplexStream,
        sent: usize,
    ) -> usize {
        let (mut taken, mut buffer) = (0, [0; 1024]);
        for _ in 0..sent / buffer.len() {
            far.write_all(&buffer).await.unwrap();
            match bounded.read(&mut buffer).await {
                Ok(octets) => taken += octets,
                Err(error) => {
                    assert_eq!(error.to_string(), TOO_MUCH);
                    break;
                }
            }
        }
        taken
    }

    #[tokio::test]
    async fn a_client_sends_its_hello_and_then_its_flight_and_then_what_it_likes() {
        let (near, mut far) = duplex(4096);
        let mut bounded = Bounded::client(near);
        assert_eq!(taken(&mut bounded, &mut far, CLIENT_HELLO).await, CLIENT_HELLO);
        bounded.write_all(b"ServerHello").await.unwrap();
        assert_eq!(taken(&mut bounded, &mut far, 2 * FLIGHT_OF_CLIENT).await, FLIGHT_OF_CLIENT);
        bounded.lift();
        assert_eq!(taken(&mut bounded, &mut far, 1 << 20).await, 1 << 20);
    }

    #[tokio::test]
    async fn a_hello_without_end_is_an_error() {
        let (near, mut far) = duplex(4096);
        assert_eq!(taken(&mut Bounded::client(near), &mut far, 2 * CLIENT_HELLO).await, CLIENT_HELLO);
    }
}
