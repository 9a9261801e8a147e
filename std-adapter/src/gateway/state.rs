//! Holds what connections share: the routes of their address, and what is counted for all.

use std::sync::Arc;

use edgetrust_core::config::Network;

use super::control::Control;
use super::limits::Limits;
use super::shares::Shares;
use super::status::Status;
use super::tunnel::{Route, RouteKind, route_for};
use crate::tls::TlsServer;

/// The state that all connections of an address see; replaced as a whole.
#[derive(Debug)]
pub(super) struct ListenerState {
    /// The tunnels of this address.
    pub(super) routes: Vec<Arc<Route>>,
    /// All tunnels of the gateway: a session outlives its tunnel's move to another address, and is judged by the
    /// tunnel's rules there.
    pub(super) everywhere: Arc<[Arc<Route>]>,
    pub(super) limits: Limits,
}

impl ListenerState {
    /// Returns the route that lists a server name, else the route without names.
    pub(super) fn route(&self, server_name: Option<&str>) -> Option<&Arc<Route>> {
        route_for(self.routes.iter(), server_name)
    }

    /// Returns the route that knows its clients before they send anything, if this address has one: its clients are of
    /// this machine, or every client is admitted.
    pub(super) fn known_route(&self) -> Option<&Arc<Route>> {
        self.routes.first().filter(|route| !matches!(route.kind, RouteKind::Server { .. }))
    }

    /// Returns the load balancers that alone connect here, the same for all tunnels of an address; none if clients do.
    pub(super) fn balancers(&self) -> &[Network] {
        self.routes.first().map(|route| route.balancers.as_slice()).unwrap_or_default()
    }

    /// Returns the route found without a ClientHello: no server name selects the route, and no CA validates its name.
    pub(super) fn only_route(&self) -> Option<&Arc<Route>> {
        match self.routes.as_slice() {
            [only] if only.is_for(None).is_none() && !only.server().is_some_and(TlsServer::is_challenged) => Some(only),
            _ => None,
        }
    }
}

/// The state that the connections of all addresses share.
#[derive(Clone, Debug)]
pub(super) struct Common {
    pub(super) shares: Arc<Shares>,
    pub(super) status: Arc<Status>,
    pub(super) control: Arc<Control>,
}
