//! A connected TCP or Unix stream, and what listens for them.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::Address;

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    /// Tunnels carry messages, not bulk alone: small writes go out at once.
    fn from(tcp: TcpStream) -> Self {
        // A connection that is gone already says so at the first read.
        let _ = tcp.set_nodelay(true);
        Self::Tcp(tcp)
    }
}

impl Socket {
    /// The next end of this connection reaches the other side as a reset: it must not take a cut stream for a whole one.
    pub(super) fn reset_on_close(&self) {
        if let Self::Tcp(tcp) = self {
            // Gone already is as good.
            let _ = socket2::SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    pub(super) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(tcp) => Some((tcp.peer_addr().ok()?, tcp.local_addr().ok()?)),
            Self::Unix(_) => None,
        }
    }
}

macro_rules! either {
    ($self:ident, $stream:ident => $call:expr) => {
        match $self.get_mut() {
            Socket::Tcp(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
            Socket::Unix(stream) => {
                let $stream = Pin::new(stream);
                $call
            }
        }
    };
}

impl AsyncRead for Socket {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_read(cx, buf))
    }
}

impl AsyncWrite for Socket {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write(cx, buf))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        either!(self, stream => stream.poll_write_vectored(cx, bufs))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_flush(cx))
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        either!(self, stream => stream.poll_shutdown(cx))
    }
}

/// What accepts connections.
#[derive(Debug)]
pub(super) enum Listener {
    Tcp(TcpListener),
    Unix { listener: UnixListener, _file: OwnSocketFile },
}

/// The file of a Unix socket, removed with the listener.
#[derive(Debug)]
pub(super) struct OwnSocketFile(PathBuf);

impl Drop for OwnSocketFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// Who connected: an address, or nothing for a Unix socket.
#[derive(Clone, Copy, Debug)]
pub(super) struct Remote(pub(super) Option<SocketAddr>);

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

impl Listener {
    pub(super) async fn bind(address: &Address) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => TcpListener::bind(address).await.map(Self::Tcp),
            Address::Host(host, port) => TcpListener::bind((host.as_str(), *port)).await.map(Self::Tcp),
            Address::Unix(path) => {
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                Ok(Self::Unix { listener, _file: OwnSocketFile(path.clone()) })
            }
        }
    }

    /// The address in use, where port 0 was asked for.
    pub(super) fn local_address(&self, asked: &Address) -> Address {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().map_or_else(|_| asked.clone(), Address::Tcp),
            Self::Unix { .. } => asked.clone(),
        }
    }

    pub(super) async fn accept(&self) -> io::Result<(Socket, Remote)> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await.map(|(tcp, from)| (Socket::from(tcp), Remote(Some(from)))),
            Self::Unix { listener, .. } => listener.accept().await.map(|(unix, _)| (Socket::Unix(unix), Remote(None))),
        }
    }
}

/// A socket file that nobody listens on any more is left from a crash; any other file stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path is taken by a file that is no socket"))
        }
        Ok(_) => match std::os::unix::net::UnixStream::connect(path) {
            Ok(_) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
            Err(_) => std::fs::remove_file(path),
        },
    }
}
