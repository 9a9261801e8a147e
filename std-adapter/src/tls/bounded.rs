//! Limits the octets that a peer may send during a handshake.

use std::fmt;
use std::io;
use std::ops::{Deref, DerefMut};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// The maximum octets of a ClientHello, record headers included. With post-quantum key shares, about 2 KiB are used.
const CLIENT_HELLO: usize = 16 * 1024;
/// The maximum octets of a client from the ServerHello to the end of the handshake: mostly certificates.
const FLIGHT_OF_CLIENT: usize = 64 * 1024;
/// The maximum octets of a server until the handshake ends: a CertificateRequest can name many CAs.
const FLIGHT_OF_SERVER: usize = 256 * 1024;

/// A stream under TLS that fails if the peer sends more than a handshake needs before the handshake is done. rustls
/// buffers octets that it cannot use yet, up to 64 KiB of each peer.
#[derive(Debug)]
pub struct Bounded<S> {
    stream: S,
    /// The octets that the peer may still send; `None` without a limit.
    left: Option<usize>,
    /// The octets that the peer may send after our first answer.
    after: usize,
    /// True if the peer is a client that has sent nothing yet.
    silent: bool,
}

/// The error of a client that left without sending an octet, as health checks do.
#[derive(Clone, Copy, Debug)]
pub(super) struct LeftSilently;

impl fmt::Display for LeftSilently {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the client left without a word")
    }
}

impl std::error::Error for LeftSilently {}

impl<S> Bounded<S> {
    /// Wraps the stream of a client, which sends its ClientHello first.
    pub(super) fn client(stream: S) -> Self {
        Self { stream, left: Some(CLIENT_HELLO), after: FLIGHT_OF_CLIENT, silent: true }
    }

    /// Wraps the stream of a server, which answers our ClientHello.
    pub(super) fn server(stream: S) -> Self {
        Self { stream, left: Some(0), after: FLIGHT_OF_SERVER, silent: false }
    }

    /// Returns the underlying stream.
    pub(super) fn into_inner(self) -> S {
        self.stream
    }

    /// Removes the limit once the handshake is done.
    pub(super) fn lift(&mut self) {
        self.left = None;
    }

    /// Raises the limit at the first write, which shows that the ClientHello is complete.
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

/// The error text for a peer that exceeds the limit.
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

    /// Returns how many octets of `sent` are passed on.
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
