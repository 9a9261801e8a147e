//! One connection: handshake, verdict, target, bytes, and the verdict again whenever it may have changed.

use std::fmt;
use std::future::poll_fn;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::identity::without_root;
use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};
use tracing::{debug, info, warn};

use super::listener::State;
use super::proxy_protocol::Header;
use super::socket::{Remote, Socket};
use super::splice::{Splice, SpliceError};
use super::status::{Counters, RefusalReason, Status};
use super::tunnel::{Route, RouteKind};
use crate::clock;
use crate::tls::{AcceptError, ClientHello, ClientStream, Peer, Refusal, ServerStream};

/// The clock may be set while a session waits for an expiry: it is read at least this often.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

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
            let (end, (up, down)) = carry(opened, state).await;
            let seconds = since.elapsed().as_secs();
            match end {
                End::Over(_) => {
                    route.counters.end();
                    warn!(%tunnel, %remote, %peer, up, down, seconds, "closed: {end}");
                }
                _ => info!(%tunnel, %remote, %peer, up, down, seconds, "closed: {end}"),
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

/// A connection whose peers are both there.
struct Opened {
    route: Arc<Route>,
    peer: Option<Arc<Peer>>,
    streams: Streams,
}

/// Client and target; one size, so that idle connections of plain tunnels are no larger than they must be.
enum Streams {
    Plain(Socket, Socket),
    Server(Box<ServerStream<Socket>>, Socket),
    Client(Socket, Box<ClientStream<Socket>>),
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
            let header = proxy_protocol.then(|| Header { addresses: socket.addresses(), ..Header::default() }.encode());
            let target = reach(route, header).await?;
            Ok(Opened { route: route.clone(), peer: None, streams: Streams::Plain(socket, target) })
        }
        RouteKind::Server { tls, .. } => {
            let (stream, peer) = tls.accept(socket).await?;
            forward(route, stream, peer).await
        }
        RouteKind::Client { tls, server_name } => {
            let target = match route.target.connect().await {
                Ok(target) => target,
                Err(error) => {
                    socket.reset_on_close();
                    return Err(Refused::Target(route.target.to_string(), error));
                }
            };
            match tls.connect(server_name.clone(), target).await {
                Ok((stream, peer)) => {
                    Ok(Opened { route: route.clone(), peer, streams: Streams::Client(socket, Box::new(stream)) })
                }
                Err(error) => {
                    // The client sees a failure, not an empty answer.
                    socket.reset_on_close();
                    Err(error.into())
                }
            }
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
    match reach(route, header).await {
        Ok(target) => Ok(Opened { route: route.clone(), peer, streams: Streams::Server(Box::new(stream), target) }),
        Err(refused) => {
            // No end of TLS (RFC 8446 section 6.1): the client sees a failure, not an empty answer.
            stream.get_ref().0.reset_on_close();
            Err(refused)
        }
    }
}

async fn reach(route: &Route, header: Option<Vec<u8>>) -> Result<Socket, Refused> {
    let reached = async {
        let mut target = route.target.connect().await?;
        if let Some(header) = header {
            target.write_all(&header).await?;
        }
        Ok(target)
    };
    reached.await.map_err(|error| Refused::Target(route.target.to_string(), error))
}

/// How a connection ended.
enum End {
    Both,
    Failed(SpliceError),
    Idle,
    /// The peer is no longer let in.
    Over(Withdrawn),
}

/// Why a session that was let in no longer is.
enum Withdrawn {
    Peer(Refusal),
    /// Plaintext where TLS is asked for now, say.
    AnotherKind,
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(refusal) => refusal.fmt(f),
            Self::AnotherKind => f.write_str("its tunnel is of another kind now"),
        }
    }
}

impl fmt::Display for End {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Both => f.write_str("both sides ended"),
            Self::Failed(SpliceError::Client(error)) => write!(f, "client: {error}"),
            Self::Failed(SpliceError::Target(error)) => write!(f, "target: {error}"),
            Self::Idle => f.write_str("idle for too long"),
            Self::Over(withdrawn) => withdrawn.fmt(f),
        }
    }
}

async fn carry(opened: Opened, state: watch::Receiver<Arc<State>>) -> (End, (u64, u64)) {
    let Opened { route, peer, streams } = opened;
    let session = Session { route, peer, state };
    match streams {
        Streams::Plain(mut client, mut target) => {
            let judge = |_: &Socket, _: &Socket, kind: &RouteKind| match kind {
                RouteKind::Plain { .. } => Ok(None),
                RouteKind::Server { .. } | RouteKind::Client { .. } => Err(Withdrawn::AnotherKind),
            };
            let (end, bytes) = session.run(&mut client, &mut target, judge).await;
            if !matches!(end, End::Both) {
                client.reset_on_close();
                target.reset_on_close();
            }
            (end, bytes)
        }
        Streams::Server(mut client, mut target) => {
            let judge = |client: &ServerStream<Socket>, _: &Socket, kind: &RouteKind| match kind {
                RouteKind::Plain { .. } => Ok(None),
                RouteKind::Server { tls, .. } => tls.admit(client.get_ref().1).map_err(Withdrawn::Peer),
                RouteKind::Client { .. } => Err(Withdrawn::AnotherKind),
            };
            let (end, bytes) = session.run(&mut *client, &mut target, judge).await;
            if !matches!(end, End::Both) {
                target.reset_on_close();
                close(&mut *client, &end).await;
            }
            (end, bytes)
        }
        Streams::Client(mut client, mut target) => {
            let judge = |_: &Socket, target: &ClientStream<Socket>, kind: &RouteKind| match kind {
                RouteKind::Client { tls, server_name } => {
                    tls.admit(target.get_ref().1, server_name).map_err(Withdrawn::Peer)
                }
                RouteKind::Plain { .. } | RouteKind::Server { .. } => Err(Withdrawn::AnotherKind),
            };
            let (end, bytes) = session.run(&mut client, &mut *target, judge).await;
            if !matches!(end, End::Both) {
                client.reset_on_close();
                close(&mut *target, &end).await;
            }
            (end, bytes)
        }
    }
}

/// A gateway that ends a connection says so (RFC 8446 section 6.1); after a failure there is nobody to tell.
async fn close(stream: &mut (impl AsyncWrite + Unpin), end: &End) {
    const PATIENCE: Duration = Duration::from_secs(1);
    if matches!(end, End::Idle | End::Over(_)) {
        let _ = timeout(PATIENCE, stream.shutdown()).await;
    }
}

struct Session {
    route: Arc<Route>,
    peer: Option<Arc<Peer>>,
    state: watch::Receiver<Arc<State>>,
}

impl Session {
    /// Moves bytes until both sides end, it is idle for too long, or the peer is no longer let in.
    async fn run<C, T>(
        mut self,
        client: &mut C,
        target: &mut T,
        judge: impl Fn(&C, &T, &RouteKind) -> Result<Option<Arc<Peer>>, Withdrawn>,
    ) -> (End, (u64, u64))
    where
        C: AsyncRead + AsyncWrite + Unpin,
        T: AsyncRead + AsyncWrite + Unpin,
    {
        let mut splice = Splice::default();
        let mut listened = true;
        let mut withdrawn: Option<(Withdrawn, Instant)> = None;
        let mut idle = Idle { bytes: (0, 0), since: Instant::now() };
        loop {
            let limits = self.state.borrow().limits;
            let wake = [
                withdrawn.as_ref().map(|(_, until)| *until),
                self.peer.as_ref().filter(|_| withdrawn.is_none()).and_then(|peer| next_look(peer)),
                limits.idle_timeout.and_then(|timeout| idle.since.checked_add(timeout)),
            ];
            let wake = wake.into_iter().flatten().min();
            let asleep = async {
                match wake {
                    Some(wake) => sleep_until(wake).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                // Bytes come last: tokio gives a task a budget, and a peer that keeps them flowing must not use all of it before the rules
                // are looked at.
                biased;
                // Without its listener a connection goes on under the last state.
                changed = self.state.changed(), if listened => listened = changed.is_ok(),
                () = asleep => {}
                ended = poll_fn(|cx| splice.poll(cx, client, target, &self.route.counters)) => {
                    let end = ended.map_or_else(End::Failed, |()| End::Both);
                    return (end, splice.bytes());
                }
            }
            if idle.is_over(splice.bytes(), limits.idle_timeout) {
                return (End::Idle, splice.bytes());
            }
            let state = self.state.borrow().clone();
            // A tunnel that is no longer configured takes no new connections; its old ones go on, by its last rules.
            let route = state.everywhere.iter().find(|route| route.name == self.route.name).unwrap_or(&self.route);
            match judge(client, target, &route.kind) {
                Ok(peer) => {
                    withdrawn = None;
                    self.peer = peer;
                }
                Err(refusal) => match withdrawn {
                    Some((refusal, until)) if until <= Instant::now() => return (End::Over(refusal), splice.bytes()),
                    Some(_) => {}
                    None if state.limits.expired_grace.is_zero() => return (End::Over(refusal), splice.bytes()),
                    None => {
                        withdrawn = Instant::now().checked_add(state.limits.expired_grace).map(|until| (refusal, until))
                    }
                },
            }
        }
    }
}

/// One second after the certificate's last, and now and then before.
fn next_look(peer: &Peer) -> Option<Instant> {
    let left = peer.valid_until().as_secs().saturating_add(1).saturating_sub(clock::now().as_secs());
    Instant::now().checked_add(Duration::from_secs(left.max(1)).min(CLOCK_CHECK))
}

/// Since when nothing has been carried.
struct Idle {
    bytes: (u64, u64),
    since: Instant,
}

impl Idle {
    /// Looked at when the time has come, and not at every byte.
    fn is_over(&mut self, bytes: (u64, u64), timeout: Option<Duration>) -> bool {
        if bytes != self.bytes {
            *self = Self { bytes, since: Instant::now() };
            return false;
        }
        timeout.is_some_and(|timeout| self.since.elapsed() >= timeout)
    }
}
