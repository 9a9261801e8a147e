//! One connection: handshake, verdict, target; then it is a session.

use std::fmt;
use std::io;
use std::sync::Arc;

use edgetrust_core::identity::without_root;
use tokio::io::AsyncWriteExt;
use tokio::sync::watch;
use tokio::time::{Instant, timeout};
use tracing::{debug, info, warn};

use super::listener::State;
use super::proxy_protocol::Header;
use super::session::{Carried, End, Opened, Streams, carry};
use super::socket::{Remote, Socket};
use super::status::{Counters, RefusalReason, Status};
use super::tunnel::{Route, RouteKind};
use crate::tls::{AcceptError, ClientHello, Peer, ServerStream};

/// Why a connection never carried a byte.
enum Refused {
    Peer(AcceptError),
    NoTunnel(Option<String>),
    Target(String, io::Error),
    Deadline,
    /// Nobody is refused: a CA validated this name.
    Challenge(String),
}

impl fmt::Display for Refused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(error) => error.fmt(f),
            Self::NoTunnel(Some(name)) => write!(f, "no tunnel here is for the server name {name:?}"),
            Self::NoTunnel(None) => f.write_str("no tunnel here is for clients without a server name"),
            Self::Target(target, error) => write!(f, "target {target}: {error}"),
            Self::Deadline => f.write_str("no handshake and no target within the deadline"),
            Self::Challenge(name) => write!(f, "a CA validated {name}"),
        }
    }
}

impl Refused {
    fn kind(&self) -> RefusalReason {
        match self {
            Self::Peer(AcceptError::Refused(_)) => RefusalReason::Peer,
            Self::Peer(AcceptError::Io(_) | AcceptError::Settings(_)) => RefusalReason::Handshake,
            Self::NoTunnel(_) | Self::Challenge(_) => RefusalReason::ServerName,
            Self::Target(..) => RefusalReason::Target,
            Self::Deadline => RefusalReason::Deadline,
        }
    }
}

impl From<AcceptError> for Refused {
    fn from(error: AcceptError) -> Self {
        Self::Peer(error)
    }
}

impl From<io::Error> for Refused {
    fn from(error: io::Error) -> Self {
        Self::Peer(error.into())
    }
}

pub(super) async fn serve(socket: Socket, remote: Remote, mut state: watch::Receiver<Arc<State>>, status: &Status) {
    // What comes after this, during the handshake too, is a change.
    let now = state.borrow_and_update().clone();
    let limits = now.limits;
    // On the heap, which gets it back: a handshake needs seven times the space of what comes after it.
    let opened = match timeout(limits.handshake_timeout, Box::pin(open(&now, socket))).await {
        Ok(opened) => opened,
        Err(_) => Err((now.only_route().cloned(), Refused::Deadline)),
    };
    // A session keeps its route, and not all of the state of when it began.
    drop(now);
    match opened {
        Err((_, Refused::Challenge(name))) => info!(%remote, %name, "tls-alpn-01 answered"),
        Err((route, reason)) => {
            let tunnel = route.as_ref().map_or("", |route| route.name.as_str());
            route.as_ref().map_or(status.unmatched(), |route| &route.counters).refuse(reason.kind());
            warn!(%tunnel, %remote, "refused: {reason}");
        }
        Ok(opened) => {
            let (route, peer) = (opened.route.clone(), opened.peer.clone());
            let (tunnel, peer) = (&route.name, Shown(peer.as_deref()));
            debug!(%tunnel, %remote, %peer, "open");
            let since = Instant::now();
            route.counters.open();
            let _closed = CloseOnDrop(&route.counters);
            let Carried { end, bytes: (up, down), leaving } = carry(opened, state).await;
            let seconds = since.elapsed().as_secs();
            match end {
                End::Over(_) => {
                    route.counters.end();
                    warn!(%tunnel, %remote, %peer, up, down, seconds, "closed: {end}");
                }
                End::Both => info!(%tunnel, %remote, %peer, up, down, seconds, "closed: {end}"),
                End::Failed(_) | End::Idle | End::HalfClosed => {
                    route.counters.cut();
                    info!(%tunnel, %remote, %peer, up, down, seconds, "closed: {end}");
                }
            }
            if let Some(leaving) = leaving {
                leaving.await;
            }
        }
    }
}

/// Counted however it ends, by a drain too.
struct CloseOnDrop<'a>(&'a Counters);

impl Drop for CloseOnDrop<'_> {
    fn drop(&mut self) {
        self.0.close();
    }
}

/// A peer in the log; a dash where no certificate was asked for or shown.
struct Shown<'a>(Option<&'a Peer>);

impl fmt::Display for Shown<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Some(peer) => peer.fmt(f),
            None => f.write_str("-"),
        }
    }
}

type Failed = (Option<Arc<Route>>, Refused);

/// Handshake and verdict first, then the target: nobody unauthorized reaches it.
async fn open(state: &State, socket: Socket) -> Result<Opened, Failed> {
    match state.only_route() {
        Some(route) => open_route(route, socket).await.map_err(|refused| (Some(route.clone()), refused)),
        None => open_by_name(state, socket).await,
    }
}

async fn open_route(route: &Arc<Route>, socket: Socket) -> Result<Opened, Refused> {
    match &route.kind {
        RouteKind::Plain { proxy_protocol } => {
            let waiting = Waiting::new(&socket);
            let header = proxy_protocol.then(|| Header { addresses: socket.addresses(), ..Header::default() }.encode());
            let target = reach(route, header).await?;
            waiting.over();
            Ok(Opened { route: route.clone(), peer: None, streams: Streams::Plain(socket, target) })
        }
        RouteKind::Server { tls, .. } => {
            let (stream, peer) = tls.accept(socket).await?;
            forward(route, stream, peer).await
        }
        RouteKind::Client { tls, server_name } => {
            let waiting = Waiting::new(&socket);
            let target = reach(route, None).await?;
            let (stream, peer) = tls.connect(server_name.clone(), target).await?;
            waiting.over();
            Ok(Opened { route: route.clone(), peer, streams: Streams::Client(socket, Box::new(stream)) })
        }
    }
}

/// A client whose target is not reached yet. Whatever ends the wait, an error, the deadline or the program's end, it sees a reset: plaintext
/// has no alert, and an orderly end would look like an empty answer (RFC 8446 section 6.1 for TLS).
struct Waiting<'a> {
    client: &'a Socket,
    over: bool,
}

impl<'a> Waiting<'a> {
    fn new(client: &'a Socket) -> Self {
        Self { client, over: false }
    }

    fn over(mut self) {
        self.over = true;
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if !self.over {
            self.client.reset_on_close();
        }
    }
}

/// Several tunnels share the address: the server name of the ClientHello chooses (RFC 6066 section 3).
async fn open_by_name(state: &State, socket: Socket) -> Result<Opened, Failed> {
    let hello = ClientHello::read(socket).await.map_err(|error| (None, error.into()))?;
    if hello.is_challenge() {
        // The name may be an address in reverse (RFC 8738 section 6), which no tunnel lists.
        let servers = state.routes.iter().filter_map(|route| route.server());
        let answered = hello.answer_challenge(servers).await.map_err(|error| (None, error.into()))?;
        return Err((None, Refused::Challenge(answered)));
    }
    let Some(route) = state.route(hello.server_name()) else {
        let name = hello.server_name().map(str::to_owned);
        hello.refuse_name().await;
        return Err((None, Refused::NoTunnel(name)));
    };
    let RouteKind::Server { tls, .. } = &route.kind else {
        // Validation lets only TLS servers share an address.
        return Err((Some(route.clone()), Refused::NoTunnel(None)));
    };
    let opened = async {
        let (stream, peer) = hello.accept(tls).await?;
        forward(route, stream, peer).await
    };
    opened.await.map_err(|refused| (Some(route.clone()), refused))
}

/// Reaches the target for a client that is let in.
async fn forward(route: &Arc<Route>, stream: ServerStream<Socket>, peer: Option<Arc<Peer>>) -> Result<Opened, Refused> {
    let header = match &route.kind {
        RouteKind::Server { proxy_protocol: true, .. } => {
            let (socket, tls) = stream.get_ref();
            let header = Header {
                addresses: socket.addresses(),
                authority: tls.server_name().map(without_root),
                tls_version: crate::tls::version_name(tls),
                verified: peer.is_some(),
                common_name: peer.as_ref().and_then(|peer| peer.common_name()),
            };
            Some(header.encode())
        }
        _ => None,
    };
    let waiting = Waiting::new(stream.get_ref().0);
    let target = reach(route, header).await?;
    waiting.over();
    Ok(Opened { route: route.clone(), peer, streams: Streams::Server(Box::new(stream), target) })
}

async fn reach(route: &Route, header: Option<Vec<u8>>) -> Result<Socket, Refused> {
    let reached = async {
        let mut target = route.connect().await?;
        if let Some(header) = header {
            target.write_all(&header).await?;
        }
        Ok(target)
    };
    reached.await.map_err(|error| Refused::Target(route.target.to_string(), error))
}
