//! A session: bytes both ways, and the verdict again whenever it may have changed.

use std::fmt;
use std::future::poll_fn;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, AsyncWriteExt};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until, timeout};

use super::listener::State;
use super::socket::Socket;
use super::splice::{Splice, SpliceError};
use super::tunnel::{Route, RouteKind, successor};
use crate::clock;
use crate::tls::{ClientStream, Peer, Refusal, ServerStream};

/// The clock may be set while a session waits for an expiry: it is read at least this often.
const CLOCK_CHECK: Duration = Duration::from_secs(60);

/// A connection whose peers are both there.
pub(super) struct Opened {
    pub(super) route: Arc<Route>,
    pub(super) peer: Option<Arc<Peer>>,
    pub(super) streams: Streams,
}

/// Client and target; one size, so that idle connections of plain tunnels are no larger than they must be.
pub(super) enum Streams {
    Plain(Socket, Socket),
    Server(Box<ServerStream<Socket>>, Socket),
    Client(Socket, Box<ClientStream<Socket>>),
}

/// One side of a session.
trait Side: AsyncRead + AsyncWrite + Unpin {
    /// The server name that a client asked for.
    fn server_name(&self) -> Option<&str> {
        None
    }
}

impl Side for Socket {}

impl Side for ServerStream<Socket> {
    fn server_name(&self) -> Option<&str> {
        self.get_ref().1.server_name()
    }
}

impl Side for ClientStream<Socket> {}

/// How a connection ended.
pub(super) enum End {
    Both,
    Failed(SpliceError),
    Idle,
    /// The peer is no longer let in.
    Over(Withdrawn),
}

/// Why a session that was let in no longer is.
pub(super) enum Withdrawn {
    Peer(Refusal),
    /// Plaintext where TLS is asked for now, say.
    AnotherKind,
    /// No tunnel leads from its address to its target any more.
    Removed,
}

impl fmt::Display for Withdrawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(refusal) => refusal.fmt(f),
            Self::AnotherKind => f.write_str("its tunnel is of another kind now"),
            Self::Removed => f.write_str("its tunnel is no longer configured"),
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

pub(super) async fn carry(opened: Opened, state: watch::Receiver<Arc<State>>) -> (End, (u64, u64)) {
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
        C: Side,
        T: Side,
    {
        let mut splice = Splice::default();
        let mut listened = true;
        let mut withdrawn: Option<(Withdrawn, Instant)> = None;
        let mut idle = Idle { bytes: (0, 0), since: Instant::now() };
        loop {
            let limits = self.state.borrow().limits;
            let wake = [
                withdrawn.as_ref().and_then(|(_, since)| since.checked_add(limits.expired_grace)),
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
            match self.judge(&state, client, target, &judge) {
                Ok(peer) => {
                    withdrawn = None;
                    self.peer = peer;
                }
                Err(refusal) => {
                    let (refusal, since) = withdrawn.unwrap_or((refusal, Instant::now()));
                    if since.elapsed() >= state.limits.expired_grace {
                        return (End::Over(refusal), splice.bytes());
                    }
                    withdrawn = Some((refusal, since));
                }
            }
        }
    }
}

impl Session {
    /// By the rules of now; of a removed tunnel, no rules are left to judge by.
    fn judge<C: Side, T: Side>(
        &self,
        state: &State,
        client: &C,
        target: &T,
        judge: &impl Fn(&C, &T, &RouteKind) -> Result<Option<Arc<Peer>>, Withdrawn>,
    ) -> Result<Option<Arc<Peer>>, Withdrawn> {
        if let Some(route) = successor(&state.everywhere, &self.route, client.server_name()) {
            return judge(client, target, &route.kind);
        }
        match &self.peer {
            _ if !state.limits.keep_removed_sessions => Err(Withdrawn::Removed),
            None => Ok(None),
            // Told to go on, it does as long as some tunnel would let this peer in.
            Some(_) => {
                let judged = state.everywhere.iter().map(|route| judge(client, target, &route.kind));
                judged.filter_map(Result::ok).flatten().next().map(Some).ok_or(Withdrawn::Removed)
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
