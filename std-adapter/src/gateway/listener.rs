//! Receives the clients of tunnels at one address.

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::time::Instant;
use tracing::warn;

use super::balancer::lets_in;
use super::connection;
use super::door::Door;
use super::opening::{Refused, Visitor};
use super::socket::Listener;
use super::state::{Common, ListenerState};
use crate::accept::{AddressPhase, Reception};

/// An address of tunnels.
pub(super) struct Tunnels {
    pub(super) listener: Arc<Listener>,
    pub(super) state: watch::Receiver<Arc<ListenerState>>,
    pub(super) door: Arc<Door>,
    pub(super) common: Common,
}

impl Reception for Tunnels {
    type Visitor = Visitor;

    /// Accepts a connection and counts it, or resets it if its source has too many, or if it is none of the load balancers.
    async fn accept(&self) -> io::Result<Option<Visitor>> {
        let (socket, remote) = self.listener.accept().await?;
        let balanced = {
            let state = self.state.borrow();
            let balancers = state.balancers();
            lets_in(balancers, remote.0).then_some(!balancers.is_empty()).ok_or(Refused::NoBalancer)
        };
        // A load balancer is no source: its clients are.
        let entered = balanced.and_then(|balanced| {
            let source = remote.0.filter(|_| !balanced);
            Ok((balanced, self.door.enter(source, Instant::now())?))
        });
        Ok(match entered {
            Ok((balanced, guest)) => Some(Visitor { socket, remote, guest, permit: None, balanced }),
            Err(refused) => {
                socket.reset_on_close();
                let route = self.state.borrow().only_route().cloned();
                // Nothing was read from it, so nothing waits: this may be cancelled.
                drop(connection::refuse(route.as_deref(), remote, &refused, &self.common.status));
                None
            }
        })
    }

    fn failed(&self, error: &io::Error) {
        warn!("accept: {error}");
    }

    fn cut(connections: usize) {
        warn!(connections, "closed at the drain deadline");
    }

    /// Resets the connection: to a plaintext client an orderly end would look like an empty answer.
    fn turn_away(visitor: Visitor) {
        visitor.socket.reset_on_close();
    }

    /// Waits for a seat for the connection's handshake, or for a permit if it has no handshake.
    async fn turn(&self, visitor: &mut Visitor) {
        let known = self.state.borrow().known_route().filter(|_| !visitor.balanced).cloned();
        match known {
            Some(route) => visitor.permit = self.common.shares.take(&route.name).await.ok(),
            None => self.door.seat(&mut visitor.guest).await,
        }
    }

    fn serve(
        &self,
        visitor: Visitor,
        phase: &watch::Receiver<AddressPhase>,
    ) -> impl Future<Output = ()> + Send + 'static {
        connection::serve(visitor, self.state.clone(), self.common.clone(), phase.clone())
    }
}
