//! One address: accepts, finds the tunnel, serves, drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::connection;
use super::door::{Door, Guest};
use super::limits::Limits;
use super::opening::Visitor;
use super::shares::Shares;
use super::socket::{Listener, Remote, Socket};
use super::status::Status;
use super::tunnel::{Route, RouteKind, route_for};
use crate::tls::TlsServer;

/// What all connections of an address see; replaced as a whole.
#[derive(Debug)]
pub(super) struct State {
    /// The tunnels of this address.
    pub(super) routes: Vec<Arc<Route>>,
    /// All tunnels of the gateway: a session outlives its tunnel's move to another address, and is judged by its rules there.
    pub(super) everywhere: Arc<[Arc<Route>]>,
    pub(super) limits: Limits,
}

impl State {
    /// The route for a server name: one that names it, else the one without names.
    pub(super) fn route(&self, server_name: Option<&str>) -> Option<&Arc<Route>> {
        route_for(self.routes.iter(), server_name)
    }

    /// The route that knows its clients before they have said a word, if this address has one: they are of this machine, or whoever
    /// comes is let in.
    pub(super) fn known_route(&self) -> Option<&Arc<Route>> {
        self.routes.first().filter(|route| !matches!(route.kind, RouteKind::Server { .. }))
    }

    /// The route that needs no ClientHello to be found: no server name chooses it, and no CA validates its name.
    pub(super) fn only_route(&self) -> Option<&Arc<Route>> {
        match self.routes.as_slice() {
            [only] if only.is_for(None).is_none() && !only.server().is_some_and(TlsServer::is_challenged) => Some(only),
            _ => None,
        }
    }
}

/// What a listener is to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Accept,
    /// Accept no more; connections go on.
    Close,
    /// Accept no more; connections end within this time.
    Drain(Duration),
}

/// Out of descriptors, say: others end meanwhile, and theirs come back.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// What the connections of all addresses have in common.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) shares: Arc<Shares>,
    pub(super) status: Arc<Status>,
}

/// Serves until the phase says otherwise and the last connection has ended.
pub(super) async fn serve(
    listener: Arc<Listener>,
    state: watch::Receiver<Arc<State>>,
    mut phase: watch::Receiver<Phase>,
    door: Arc<Door>,
    common: Common,
) {
    let mut connections = JoinSet::new();
    // One connection waits here for its turn and the rest in the listener's queue.
    let mut waiting = None;
    while *phase.borrow() == Phase::Accept {
        tokio::select! {
            changed = phase.changed() => if changed.is_err() { break },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            visitor = let_in(&mut waiting, &state, &door, &common), if waiting.is_some() => {
                if let Some(visitor) = visitor {
                    connections.spawn(connection::serve(visitor, state.clone(), common.clone()));
                }
            }
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok((socket, remote)) => waiting = greet(socket, remote, &state, &door, &common),
                Err(error) => {
                    warn!("accept: {error}");
                    tokio::time::sleep(AFTER_ACCEPT_ERROR).await;
                }
            },
        }
    }
    drop(listener);
    loop {
        let now = *phase.borrow();
        if let Phase::Drain(deadline) = now {
            let all_ended = async { while connections.join_next().await.is_some() {} };
            if timeout(deadline, all_ended).await.is_err() {
                warn!(connections = connections.len(), "closed at the drain deadline");
            }
            return;
        }
        tokio::select! {
            changed = phase.changed() => if changed.is_err() { return },
            ended = connections.join_next() => if ended.is_none() { return },
        }
    }
}

/// One that was accepted and waits for its turn.
type Accepted = (Socket, Remote, Guest);

/// Counts a new connection, or ends it where its source has too many.
fn greet(
    socket: Socket,
    remote: Remote,
    state: &watch::Receiver<Arc<State>>,
    door: &Arc<Door>,
    common: &Common,
) -> Option<Accepted> {
    match door.enter(remote.0, Instant::now()) {
        Ok(guest) => Some((socket, remote, guest)),
        Err(turned) => {
            socket.reset_on_close();
            let route = state.borrow().only_route().cloned();
            connection::refuse(route.as_deref(), remote, &turned.into(), &common.status);
            None
        }
    }
}

/// Waits for the turn of the one that was accepted: a seat for its handshake, or a connection where there is no handshake to wait for.
async fn let_in(
    waiting: &mut Option<Accepted>,
    state: &watch::Receiver<Arc<State>>,
    door: &Arc<Door>,
    common: &Common,
) -> Option<Visitor> {
    let known = state.borrow().known_route().cloned();
    let permit = match (&known, &mut *waiting) {
        (Some(route), _) => common.shares.take(&route.name).await.ok(),
        (None, Some((.., guest))) => {
            door.seat(guest).await;
            None
        }
        (None, None) => None,
    };
    let (socket, remote, guest) = waiting.take()?;
    Some(Visitor { socket, remote, guest, permit })
}
