//! Serves one address: accepts connections, finds their tunnels, and drains.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout};
use tracing::warn;

use super::connection;
use super::door::{Door, Guest};
use super::opening::Visitor;
use super::socket::{Listener, Remote, Socket};
use super::state::{Common, State};

/// The phase of a listener.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Accept,
    /// Accept no more; established connections continue.
    Close,
    /// Accept no more; established connections end within this time.
    Drain(Duration),
}

/// The pause after a failed accept: without free descriptors, say, others end meanwhile and free theirs.
const AFTER_ACCEPT_ERROR: Duration = Duration::from_millis(50);

/// Accepts connections in the accepting phase, then serves them until the last has ended.
pub(super) async fn serve(
    listener: Arc<Listener>,
    state: watch::Receiver<Arc<State>>,
    mut phase: watch::Receiver<Phase>,
    door: Arc<Door>,
    common: Common,
) {
    let mut connections = JoinSet::new();
    // One connection waits here for its turn; the others wait in the listener's queue.
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

/// An accepted connection that waits for its turn.
type Accepted = (Socket, Remote, Guest);

/// Counts a new connection, or resets the connection if its source has too many.
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

/// Waits for the turn of the accepted connection: a seat for its handshake, or a permit without a handshake.
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
