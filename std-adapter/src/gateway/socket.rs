//! Connected TCP and Unix streams, and their listeners.

use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll};

use socket2::{SockRef, TcpKeepalive};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpSocket, TcpStream, UnixListener, UnixStream, lookup_host};

use super::buffers::Buffer;
use super::queue::queued;
use super::{Address, Limits};
use crate::activation;

/// A connected stream.
#[derive(Debug)]
pub enum Socket {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a Unix socket.
    Unix(UnixStream),
}

impl From<TcpStream> for Socket {
    /// Sends small writes at once: tunnels carry messages, not bulk data alone.
    fn from(tcp: TcpStream) -> Self {
        // If the connection is gone, the first read reports the error.
        let _ = tcp.set_nodelay(true);
        Self::Tcp(tcp)
    }
}

impl Socket {
    /// Makes the next close of this connection a reset: the other side must not take a cut stream for a complete one.
    pub(super) fn reset_on_close(&self) {
        if let Self::Tcp(tcp) = self {
            // An error means that the connection is already gone.
            let _ = SockRef::from(tcp).set_linger(Some(std::time::Duration::ZERO));
        }
    }

    /// Returns the octets that the other end's kernel (TCP) or the other end (Unix) has not taken.
    pub(super) fn queued(&self) -> u32 {
        match self {
            Self::Tcp(tcp) => queued(tcp.as_fd()),
            Self::Unix(unix) => queued(unix.as_fd()),
        }
    }

    /// Returns the octets that a reset would overtake; none for a Unix socket, whose reader has them already.
    pub(super) fn unsent(&self) -> u32 {
        match self {
            Self::Tcp(_) => self.queued(),
            Self::Unix(_) => 0,
        }
    }

    /// Returns whether the connection no longer exists.
    pub(super) fn is_gone(&self) -> bool {
        match self {
            Self::Tcp(tcp) => tcp.peer_addr().is_err(),
            Self::Unix(_) => false,
        }
    }

    pub(super) fn is_unix(&self) -> bool {
        matches!(self, Self::Unix(_))
    }

    pub(super) async fn readable(&self) -> io::Result<()> {
        match self {
            Self::Tcp(tcp) => tcp.readable().await,
            Self::Unix(unix) => unix.readable().await,
        }
    }

    /// Reads some of the pending octets and drops them. Returns the number of octets, and whether the stream ended.
    pub(super) fn discard(&self) -> (usize, bool) {
        const READS: usize = 16;
        let mut buffer = Buffer::take();
        let mut octets: usize = 0;
        for _ in 0..READS {
            let read = match self {
                Self::Tcp(tcp) => tcp.try_read(buffer.octets()),
                Self::Unix(unix) => unix.try_read(buffer.octets()),
            };
            match read {
                Ok(count @ 1..) => octets = octets.saturating_add(count),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return (octets, false),
                Ok(0) | Err(_) => return (octets, true),
            }
        }
        (octets, false)
    }

    /// Makes the kernel detect a peer that is gone. An accepted socket inherits this from its listener.
    pub(super) fn keep_alive(&self, limits: &Limits) {
        if let Self::Tcp(tcp) = self {
            keep_alive(&SockRef::from(tcp), limits);
        }
    }

    pub(super) fn addresses(&self) -> Option<(SocketAddr, SocketAddr)> {
        match self {
            Self::Tcp(tcp) => Some((tcp.peer_addr().ok()?, tcp.local_addr().ok()?)),
            Self::Unix(_) => None,
        }
    }
}

/// Sets keep-alive, if the connection is still there.
fn keep_alive(socket: &SockRef<'_>, limits: &Limits) {
    let set = match limits.keepalive_time {
        Some(time) => {
            let keepalive = TcpKeepalive::new().with_time(time).with_interval(limits.keepalive_interval);
            socket.set_tcp_keepalive(&keepalive.with_retries(limits.keepalive_probes))
        }
        None => socket.set_keepalive(false),
    };
    // If the connection is gone, the first read reports the error.
    let _ = set;
    #[cfg(target_os = "linux")]
    // Likewise.
    let _ = socket.set_tcp_user_timeout(limits.user_timeout);
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

/// A TCP or Unix listener.
#[derive(Debug)]
pub(crate) enum Listener {
    Tcp(TcpListener),
    /// The file is dropped before the socket: a process that finds no file may listen there. The file of a socket that was
    /// passed belongs to whoever passed it.
    Unix {
        _file: Option<OwnSocketFile>,
        listener: UnixListener,
    },
}

/// The file of a Unix socket, removed with the listener.
#[derive(Debug)]
pub(crate) struct OwnSocketFile {
    path: PathBuf,
    /// The device and inode: by now, another process may listen on a file of its own at `path`.
    identity: Option<(u64, u64)>,
}

impl OwnSocketFile {
    fn new(path: &Path) -> Self {
        Self { path: path.to_owned(), identity: identity(path) }
    }
}

fn identity(path: &Path) -> Option<(u64, u64)> {
    std::fs::symlink_metadata(path).ok().map(|found| (found.dev(), found.ino()))
}

impl Drop for OwnSocketFile {
    fn drop(&mut self) {
        if self.identity.is_some() && identity(&self.path) == self.identity {
            // What stays is replaced by the next start.
            let _ = std::fs::remove_file(&self.path);
        }
    }
}

/// The address that connected; `None` for a Unix socket.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Remote(pub(crate) Option<SocketAddr>);

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(address) => address.fmt(f),
            None => f.write_str("unix"),
        }
    }
}

impl Listener {
    /// Listens on an address; `only_v6` leaves the IPv4 addresses of `[::]` to others.
    pub(crate) async fn bind(address: &Address, only_v6: bool, limits: &Limits) -> io::Result<Self> {
        match address {
            Address::Tcp(address) => listen(*address, only_v6, limits).map(Self::Tcp),
            Address::Host(host, port) => {
                let mut failed = io::Error::from(io::ErrorKind::AddrNotAvailable);
                for address in lookup_host((host.as_str(), *port)).await? {
                    match listen(address, only_v6, limits) {
                        Ok(listener) => return Ok(Self::Tcp(listener)),
                        Err(error) => failed = error,
                    }
                }
                Err(failed)
            }
            Address::Unix(path) => {
                if let Some(listener) = activation::passed().unix(path)? {
                    return Ok(Self::Unix { _file: None, listener });
                }
                remove_stale(path)?;
                let listener = UnixListener::bind(path)?;
                Ok(Self::Unix { _file: Some(OwnSocketFile::new(path)), listener })
            }
        }
    }

    /// Sets the limits by which the kernel detects that the peer of a newly accepted connection is gone.
    pub(super) fn keep_alive(&self, limits: &Limits) {
        if let Self::Tcp(tcp) = self {
            keep_alive(&SockRef::from(tcp), limits);
        }
    }

    /// Returns the address in use, with the actual port if port 0 was requested.
    pub(crate) fn local_address(&self, asked: &Address) -> Address {
        match self {
            Self::Tcp(tcp) => tcp.local_addr().map_or_else(|_| asked.clone(), Address::Tcp),
            Self::Unix { .. } => asked.clone(),
        }
    }

    pub(crate) async fn accept(&self) -> io::Result<(Socket, Remote)> {
        match self {
            Self::Tcp(tcp) => tcp.accept().await.map(|(tcp, from)| (Socket::from(tcp), Remote(Some(from)))),
            Self::Unix { listener, .. } => listener.accept().await.map(|(unix, _)| (Socket::Unix(unix), Remote(None))),
        }
    }
}

/// Listens on a TCP address. Accepted sockets inherit keep-alive, which is therefore set before the first can connect.
fn listen(address: SocketAddr, only_v6: bool, limits: &Limits) -> io::Result<TcpListener> {
    const QUEUE: u32 = 1024;
    if let Some(listener) = activation::passed().tcp(address)? {
        let socket = SockRef::from(&listener);
        if address.is_ipv6() && address.ip().is_unspecified() && socket.only_v6()? != only_v6 {
            let (found, expected) = if only_v6 { ("both", "ipv6-only") } else { ("ipv6-only", "both") };
            let error = format!("found a passed socket with BindIPv6Only={found}, expected BindIPv6Only={expected}");
            return Err(io::Error::new(io::ErrorKind::InvalidInput, error));
        }
        keep_alive(&socket, limits);
        return Ok(listener);
    }
    let socket = if address.is_ipv4() { TcpSocket::new_v4()? } else { TcpSocket::new_v6()? };
    if only_v6 {
        SockRef::from(&socket).set_only_v6(true)?;
    }
    socket.set_reuseaddr(true)?;
    socket.bind(address)?;
    keep_alive(&SockRef::from(&socket), limits);
    socket.listen(QUEUE)
}

/// Removes a socket file that a crash left, with no listener any more; any other file stays.
fn remove_stale(path: &Path) -> io::Result<()> {
    match std::fs::symlink_metadata(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(found) if !found.file_type().is_socket() => {
            Err(io::Error::new(io::ErrorKind::AlreadyExists, "the path is taken by a file that is no socket"))
        }
        Ok(_) => {
            // Without waiting: a full queue means that somebody listens.
            let socket = socket2::Socket::new(socket2::Domain::UNIX, socket2::Type::STREAM, None)?;
            socket.set_nonblocking(true)?;
            match socket.connect(&socket2::SockAddr::unix(path)?) {
                Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => std::fs::remove_file(path),
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                Ok(()) => Err(io::Error::from(io::ErrorKind::AddrInUse)),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    Err(io::Error::new(io::ErrorKind::AddrInUse, "somebody listens there, and its queue is full"))
                }
                // A socket of another type, or of another user.
                Err(error) => Err(io::Error::new(error.kind(), format!("the path is taken by a socket: {error}"))),
            }
        }
    }
}
