//! One tunnel: a listener, a TLS configuration that can be replaced, a target.

use std::fmt;
use std::future::Future;
use std::io;
use std::sync::Arc;

use arc_swap::ArcSwap;
use pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt, copy_bidirectional};
use tokio::net::{TcpListener, TcpStream, UnixStream};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;
use tokio::time::timeout;
use tokio_rustls::{TlsAcceptor, TlsConnector};
use tracing::{info, warn};

use super::{Address, Limits};
use crate::tls::{self, ClientSettings, ServerSettings, TlsError};

/// Why a tunnel does not start.
#[derive(Debug)]
pub enum TunnelError {
    /// The listener's address cannot be had.
    Listen(Address, io::Error),
    /// rustls refuses the settings.
    Tls(TlsError),
}

impl fmt::Display for TunnelError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(address, error) => write!(f, "cannot listen on {address}: {error}"),
            Self::Tls(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for TunnelError {}

/// Accepts TLS, authorizes, forwards plaintext to the target.
#[derive(Debug)]
pub struct ServerTunnel {
    listener: TcpListener,
    config: Arc<ArcSwap<rustls::ServerConfig>>,
    target: Address,
    limits: Limits,
}

/// Replaces a running server tunnel's settings.
#[derive(Clone, Debug)]
pub struct Reloader(Arc<ArcSwap<rustls::ServerConfig>>);

impl Reloader {
    /// New connections use the new settings; old ones go on.
    ///
    /// # Errors
    /// Where rustls refuses them: then nothing changes.
    pub fn reload(&self, settings: ServerSettings) -> Result<(), TlsError> {
        self.0.store(settings.into_config()?);
        Ok(())
    }
}

impl ServerTunnel {
    /// Binds the listener.
    ///
    /// # Errors
    /// Where the address cannot be had or the settings are refused.
    pub async fn bind(
        listen: std::net::SocketAddr,
        target: Address,
        settings: ServerSettings,
        limits: Limits,
    ) -> Result<Self, TunnelError> {
        let config = settings.into_config().map_err(TunnelError::Tls)?;
        let listener =
            TcpListener::bind(listen).await.map_err(|error| TunnelError::Listen(Address::Tcp(listen), error))?;
        Ok(Self { listener, config: Arc::new(ArcSwap::new(config)), target, limits })
    }

    /// The address in use, where port 0 was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// A handle for new settings.
    pub fn reloader(&self) -> Reloader {
        Reloader(self.config.clone())
    }

    /// Serves until `stop` resolves, then lets connections end within the drain timeout.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, config, target, limits } = self;
        accept_loop(listener, limits, stop, |tcp, peer| {
            let config = config.load_full();
            let target = target.clone();
            async move {
                match timeout(limits.handshake_timeout, accept(config, tcp, &target)).await {
                    Err(_) => warn!(%peer, "refused: no handshake and no target within the deadline"),
                    Ok(Err(reason)) => warn!(%peer, "refused: {reason}"),
                    Ok(Ok((mut tls, mut plain))) => {
                        info!(%peer, "open");
                        let outcome = copy_bidirectional(&mut tls, &mut plain).await;
                        info!(%peer, end = %End(outcome), "closed");
                    }
                }
            }
        })
        .await;
    }
}

/// Accepts plaintext, originates TLS to the target.
#[derive(Debug)]
pub struct ClientTunnel {
    listener: TcpListener,
    config: Arc<rustls::ClientConfig>,
    target: String,
    server_name: ServerName<'static>,
    limits: Limits,
}

impl ClientTunnel {
    /// Binds the listener; `target` is `HOST:PORT`, looked up for each connection.
    ///
    /// # Errors
    /// Where the address cannot be had or the settings are refused.
    pub async fn bind(
        listen: std::net::SocketAddr,
        target: String,
        server_name: ServerName<'static>,
        settings: ClientSettings,
        limits: Limits,
    ) -> Result<Self, TunnelError> {
        let config = settings.into_config().map_err(TunnelError::Tls)?;
        let listener =
            TcpListener::bind(listen).await.map_err(|error| TunnelError::Listen(Address::Tcp(listen), error))?;
        Ok(Self { listener, config, target, server_name, limits })
    }

    /// The address in use, where port 0 was asked for.
    ///
    /// # Errors
    /// What the system says.
    pub fn local_addr(&self) -> io::Result<std::net::SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until `stop` resolves, then lets connections end within the drain timeout.
    pub async fn run(self, stop: impl Future<Output = ()>) {
        let Self { listener, config, target, server_name, limits } = self;
        accept_loop(listener, limits, stop, |mut plain, peer| {
            let connector = TlsConnector::from(config.clone());
            let (target, server_name) = (target.clone(), server_name.clone());
            async move {
                let connect = async {
                    let tcp = TcpStream::connect(&target).await.map_err(|error| format!("target {target}: {error}"))?;
                    no_delay(&tcp);
                    connector.connect(server_name, tcp).await.map_err(|error| reason(&error))
                };
                match timeout(limits.handshake_timeout, connect).await {
                    Err(_) => warn!(%peer, "refused: no handshake with {target} within the deadline"),
                    Ok(Err(reason)) => warn!(%peer, "refused: {reason}"),
                    Ok(Ok(mut tls)) => {
                        info!(%peer, "open");
                        let outcome = copy_bidirectional(&mut plain, &mut tls).await;
                        info!(%peer, end = %End(outcome), "closed");
                    }
                }
            }
        })
        .await;
    }
}

async fn accept_loop<F>(
    listener: TcpListener,
    limits: Limits,
    stop: impl Future<Output = ()>,
    serve: impl Fn(TcpStream, std::net::SocketAddr) -> F,
) where
    F: Future<Output = ()> + Send + 'static,
{
    let permits = Arc::new(Semaphore::new(limits.connections));
    let mut connections = JoinSet::new();
    tokio::pin!(stop);
    loop {
        let accepted = async {
            // The semaphore is never closed; were it, nothing more would be accepted.
            let permit = permits.clone().acquire_owned().await.ok()?;
            Some((listener.accept().await, permit))
        };
        tokio::select! {
            () = &mut stop => break,
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            accepted = accepted => match accepted {
                None => break,
                Some((Ok((tcp, peer)), permit)) => {
                    no_delay(&tcp);
                    let connection = serve(tcp, peer);
                    connections.spawn(async move {
                        connection.await;
                        drop(permit);
                    });
                }
                Some((Err(error), _)) => {
                    // Out of descriptors, say: others end meanwhile, and their descriptors come back.
                    warn!("accept: {error}");
                    tokio::time::sleep(std::time::Duration::from_millis(50)).await;
                }
            },
        }
    }
    drop(listener);
    let drained = timeout(limits.drain_timeout, async { while connections.join_next().await.is_some() {} }).await;
    if drained.is_err() {
        warn!(connections = connections.len(), "closed at the drain deadline");
    }
}

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

type Accepted = (tokio_rustls::server::TlsStream<TcpStream>, Box<dyn Stream>);

/// Handshake first, then the target: nobody unauthorized reaches it.
async fn accept(config: Arc<rustls::ServerConfig>, tcp: TcpStream, target: &Address) -> Result<Accepted, String> {
    let mut tls = TlsAcceptor::from(config).accept(tcp).await.map_err(|error| reason(&error))?;
    let plain: io::Result<Box<dyn Stream>> = match target {
        Address::Tcp(address) => TcpStream::connect(address).await.map(|tcp| {
            no_delay(&tcp);
            Box::new(tcp) as Box<dyn Stream>
        }),
        Address::Unix(path) => UnixStream::connect(path).await.map(|unix| Box::new(unix) as Box<dyn Stream>),
    };
    match plain {
        Ok(plain) => Ok((tls, plain)),
        Err(error) => {
            let _ = tls.shutdown().await;
            Err(format!("target {target}: {error}"))
        }
    }
}

/// Tunnels carry messages, not bulk alone: small writes go out at once.
fn no_delay(tcp: &TcpStream) {
    if let Err(error) = tcp.set_nodelay(true) {
        warn!("TCP_NODELAY: {error}");
    }
}

/// The core's reason where it refused, else what TLS or the system says.
fn reason(error: &io::Error) -> String {
    let rustls = error.get_ref().and_then(|error| error.downcast_ref::<rustls::Error>());
    match rustls.and_then(tls::refusal) {
        Some(refusal) => refusal.to_string(),
        None => error.to_string(),
    }
}

/// How a connection ended, with the bytes of both directions.
struct End(io::Result<(u64, u64)>);

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.0 {
            Ok((up, down)) => write!(f, "{up} bytes in, {down} bytes out"),
            Err(error) => error.fmt(f),
        }
    }
}
