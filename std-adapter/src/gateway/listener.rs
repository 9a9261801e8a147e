//! One address: accepts, finds the tunnel, serves, drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{OwnedSemaphorePermit, Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::timeout;
use tracing::warn;

use super::connection;
use super::limits::Limits;
use super::socket::Listener;
use super::status::Status;
use super::tunnel::{Route, route_for};
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

/// Serves until the phase says otherwise and the last connection has ended.
pub(super) async fn serve(
    listener: Arc<Listener>,
    state: watch::Receiver<Arc<State>>,
    mut phase: watch::Receiver<Phase>,
    permits: Arc<Semaphore>,
    status: Arc<Status>,
) {
    let mut connections = JoinSet::new();
    // Over the limit one connection waits here and the rest in the listener's queue. A listener that waits for connections holds no
    // permit: it would keep the others from theirs.
    let mut waiting = None;
    let serve = |connections: &mut JoinSet<()>, (socket, remote), permit: OwnedSemaphorePermit| {
        let (state, status) = (state.clone(), status.clone());
        connections.spawn(async move {
            connection::serve(socket, remote, state, &status).await;
            drop(permit);
        });
    };
    while *phase.borrow() == Phase::Accept {
        tokio::select! {
            changed = phase.changed() => if changed.is_err() { break },
            Some(_) = connections.join_next(), if !connections.is_empty() => {}
            // The semaphore is never closed.
            Ok(permit) = permits.clone().acquire_owned(), if waiting.is_some() => {
                if let Some(accepted) = waiting.take() {
                    serve(&mut connections, accepted, permit);
                }
            }
            accepted = listener.accept(), if waiting.is_none() => match accepted {
                Ok(accepted) => match permits.clone().try_acquire_owned() {
                    Ok(permit) => serve(&mut connections, accepted, permit),
                    Err(_) => waiting = Some(accepted),
                },
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
