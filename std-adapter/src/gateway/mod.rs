//! Runs a gateway: tunnels that accept, authorize, forward, and can be replaced while they run.

mod address;
mod admin_plan;
mod balancer;
mod buffers;
mod connection;
mod contacts;
mod continuation;
mod control;
mod counters;
mod denial;
mod door;
mod handshakes;
mod health;
mod issuers;
mod leaving;
mod limits;
mod listener;
mod lookup;
mod mesh_file;
mod mesh_in_force;
mod mesh_kept;
mod mesh_status;
mod of_mesh;
mod opening;
mod plan;
mod plan_error;
mod proxy_header;
mod proxy_protocol;
mod queue;
mod rate;
#[cfg(test)]
mod reasons;
mod refusals;
mod revocation;
mod served_mesh;
mod session;
mod sessions;
mod shared_trust;
mod shares;
mod side;
mod socket;
mod splice;
mod state;
mod status;
mod tallies;
mod target;
mod targets;
mod tunnel;
mod usage;
mod verdict;
mod watched;

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::{Arc, Weak};

use edgetrust_core::path::DeniedKey;
use tokio::sync::watch;
use tracing::info;

pub use address::{Address, AddressError};
pub(crate) use admin_plan::AdminPlan;
use contacts::Contacts;
pub use contacts::{Contact, ContactState};
#[cfg(feature = "rehearsal")]
pub use control::decisions;
pub(crate) use control::{Answered, PreparedControl, ask};
pub use counters::{Counters, RefusalReason};
pub(crate) use door::{Door, Guest, Source, Turned};
pub use health::Health;
pub(crate) use leaving::leave_told;
pub use limits::{Limits, TunnelLimits};
pub(crate) use mesh_in_force::{MeshKeeper, MeshRemark, log as log_mesh};
#[cfg(feature = "rehearsal")]
pub(crate) use mesh_kept::Kept;
#[cfg(feature = "rehearsal")]
pub use mesh_kept::Offered;
pub use mesh_status::MeshStatus;
pub(crate) use of_mesh::{MeshText, SiteMesh};
pub use plan::{CredentialProvider, NoAcme, Plan};
pub(crate) use plan::{client_auth, tls_settings};
pub use plan_error::PlanError;
pub(crate) use rate::Rate;
pub use refusals::{Refusal, Refusals};
pub(crate) use revocation::ListEnds;
pub use revocation::ListStatus;
pub(crate) use served_mesh::ServedMesh;
pub(crate) use shared_trust::{SharedTrust, ca_files_of, certificates};
pub(crate) use shares::Shares;
pub use side::Side;
pub(crate) use socket::{Listener, Remote, Socket};
pub use status::{Status, TunnelStatus};
pub(crate) use tallies::Tally;
pub(crate) use target::{addresses, connect, leads_through};
pub use tunnel::{GatewayError, Tunnel, TunnelKind};
pub use usage::Usage;
pub use watched::Watched;

use control::{Control, Dialers};
use denial::InForce;
use door::DoorLimits;
use listener::Tunnels;
use state::{Common, ListenerState};
use tunnel::Route;

use crate::accept::{Accepting, AddressPhase};
use crate::audit::AuditLog;

/// A gateway with running tunnels.
#[derive(Debug)]
pub struct Gateway {
    listeners: HashMap<Key, Running>,
    /// The listeners that accept no more and still have connections.
    closed: Vec<Running>,
    shares: Arc<Shares>,
    limits: Limits,
    status: Arc<Status>,
    control: Arc<Control>,
    dialers: Dialers,
    in_force: InForce,
}

/// A listener's address, with the tunnel's name for port 0: each such tunnel has its own port.
type Key = (Address, Option<String>);

#[derive(Debug)]
struct Running {
    address: Address,
    listener: Weak<Listener>,
    only_v6: bool,
    door: Arc<Door>,
    state: watch::Sender<Arc<ListenerState>>,
    accepting: Accepting,
}

/// Returns the address that takes the IPv4 connections of `[::]`.
fn twin(address: &Address) -> Option<Address> {
    match address {
        Address::Tcp(SocketAddr::V6(six)) if six.ip().is_unspecified() && six.port() != 0 => {
            Some(Address::Tcp(SocketAddr::from((Ipv4Addr::UNSPECIFIED, six.port()))))
        }
        _ => None,
    }
}

/// Returns whether two different addresses share a port, and one of them is for all addresses.
fn overlap(one: &Address, other: &Address) -> bool {
    match (one, other) {
        (Address::Tcp(one), Address::Tcp(other)) => {
            one != other && one.port() == other.port() && (one.ip().is_unspecified() || other.ip().is_unspecified())
        }
        _ => false,
    }
}

type Routes = HashMap<Key, Vec<Arc<Route>>>;

/// Makes the routes of tunnels. Tunnels that existed before keep their counters, and their
/// targets the health.
fn routes(tunnels: Vec<Tunnel>, limits: Limits, status: &Status) -> Result<Routes, GatewayError> {
    let before = status.tunnels();
    let known = |name: &str| {
        let known = before.iter().find(|tunnel| tunnel.name == name);
        known.map(|tunnel| (tunnel.counters.clone(), tunnel.targets.clone())).unwrap_or_default()
    };
    let mut routes = Routes::new();
    for tunnel in tunnels {
        let own = matches!(&tunnel.listen, Address::Tcp(address) if address.port() == 0);
        let key = (tunnel.listen.clone(), own.then(|| tunnel.name.clone()));
        let (counters, targets) = known(&tunnel.name);
        let route = Route::new(tunnel, limits, counters, &targets)?;
        routes.entry(key).or_default().push(Arc::new(route));
    }
    Ok(routes)
}

/// Returns the limits that apply at an address before the tunnel is known.
fn door_limits(routes: &[Arc<Route>]) -> DoorLimits {
    let limits = routes.iter().map(|route| route.limits.door()).reduce(DoorLimits::larger);
    limits.unwrap_or_else(|| TunnelLimits::default().door())
}

impl Gateway {
    /// Listens on every address, then serves all tunnels. The control channel is there from the first connection on:
    /// whoever finds none does not ask again soon.
    ///
    /// # Errors
    /// Fails if an address cannot be listened on or settings are refused; no tunnel is served then.
    pub(crate) async fn start(
        tunnels: Vec<Tunnel>,
        limits: Limits,
        control: Option<PreparedControl>,
        audit: AuditLog,
    ) -> Result<Self, GatewayError> {
        let contacts = Contacts::default();
        let mut gateway = Self {
            listeners: HashMap::new(),
            closed: Vec::new(),
            shares: Shares::new((limits.connections, limits.waiting), std::iter::empty()),
            limits,
            status: Arc::new(Status::new(contacts.clone(), audit.clone())),
            control: Arc::new(Control::new(contacts, audit)),
            dialers: Dialers::default(),
            in_force: InForce::default(),
        };
        gateway.control.set(control.as_ref().map(PreparedControl::state));
        gateway.reload(tunnels, limits).await?;
        gateway.set_control(control);
        Ok(gateway)
    }

    /// Replaces the tunnels for new connections. Established connections continue, and end only if their peers are no
    /// longer authorized.
    ///
    /// # Errors
    /// Fails if an address cannot be listened on or settings are refused; nothing changes then.
    pub async fn reload(&mut self, tunnels: Vec<Tunnel>, limits: Limits) -> Result<(), GatewayError> {
        let mut routes = routes(tunnels.clone(), limits, &self.status)?;
        // Everything that can fail comes before the first change.
        let bound = self.bind(&routes, &limits).await?;
        self.limits = limits;
        self.in_force.tunnels = tunnels;
        let shares = routes.values().flatten().map(|route| (route.name.as_str(), route.limits.connections));
        self.shares.set((limits.connections, limits.waiting), shares);
        let everywhere: Arc<[Arc<Route>]> = routes.values().flatten().cloned().collect();
        let state = |routes| Arc::new(ListenerState { routes, everywhere: everywhere.clone(), limits });
        let gone: Vec<Key> = self.listeners.keys().filter(|key| !routes.contains_key(key)).cloned().collect();
        for key in gone {
            if let Some(running) = self.listeners.remove(&key) {
                info!(address = %running.address, "no longer listening");
                running.accepting.enter(AddressPhase::Close);
                self.closed.push(running);
            }
        }
        for running in &self.closed {
            running.state.send_replace(state(Vec::new()));
        }
        for (key, listener, only_v6) in bound {
            let routes = routes.remove(&key).unwrap_or_default();
            let address = listener.local_address(&key.0);
            for route in &routes {
                let target = route.target_names();
                info!(tunnel = %route.name, %address, %target, "listening");
            }
            let listener = Arc::new(listener);
            let weak = Arc::downgrade(&listener);
            let door = Door::new(door_limits(&routes));
            let (sender, state_seen) = watch::channel(state(routes));
            let common =
                Common { shares: self.shares.clone(), status: self.status.clone(), control: self.control.clone() };
            let accepting = Accepting::begin(Tunnels { listener, state: state_seen, door: door.clone(), common });
            self.listeners.insert(key, Running { address, listener: weak, only_v6, door, state: sender, accepting });
        }
        for (key, routes) in routes {
            if let Some(running) = self.listeners.get(&key) {
                if let Some(listener) = running.listener.upgrade() {
                    listener.keep_alive(&limits);
                }
                running.door.set_limits(door_limits(&routes));
                running.state.send_replace(state(routes));
            }
        }
        self.status.set_tunnels(self.tunnels_now());
        self.closed.retain(|running| !running.accepting.is_over());
        Ok(())
    }

    /// Listens on the addresses that have no listener yet.
    async fn bind(&self, routes: &Routes, limits: &Limits) -> Result<Vec<(Key, Listener, bool)>, GatewayError> {
        let mut bound = Vec::new();
        for (key, routes_here) in routes {
            let address = &key.0;
            let only_v6 = twin(address).is_some_and(|twin| routes.contains_key(&(twin, None)));
            let name = || routes_here.iter().map(|route| route.name.as_str()).collect::<Vec<_>>().join(", ");
            let restart = |why| GatewayError::Restart(name(), address.clone(), why);
            match self.listeners.get(key) {
                Some(running) if running.only_v6 == only_v6 => {}
                Some(_) if only_v6 => {
                    return Err(restart("it takes IPv4 connections too, and 0.0.0.0 is to take them now"));
                }
                Some(_) => {
                    return Err(restart("it leaves IPv4 connections to 0.0.0.0, which is to be listened on no more"));
                }
                None => {
                    let listener = Listener::bind(address, only_v6, limits).await.map_err(|error| {
                        let in_use = error.kind() == std::io::ErrorKind::AddrInUse;
                        if in_use && self.listeners.keys().any(|(other, _)| overlap(address, other)) {
                            restart("it overlaps with an address that this gateway listens on until then")
                        } else {
                            GatewayError::Listen(name(), address.clone(), error)
                        }
                    })?;
                    bound.push((key.clone(), listener, only_v6));
                }
            }
        }
        Ok(bound)
    }

    /// Returns the address that a tunnel listens on, with the actual port if port 0 was requested.
    pub fn local_address(&self, tunnel: &str) -> Option<Address> {
        self.listeners
            .values()
            .find(|running| running.state.borrow().routes.iter().any(|route| route.name == tunnel))
            .map(|running| running.address.clone())
    }

    fn tunnels_now(&self) -> Vec<TunnelStatus> {
        let tunnel = |running: &Running, route: &Route| TunnelStatus {
            name: route.name.clone(),
            address: running.address.clone(),
            targets: route.kind.healths(),
            door: running.door.clone(),
            shares: self.shares.clone(),
            certificates: route.certificates.clone(),
            side: route.side(),
            insecure: route.insecure,
            counters: route.counters.clone(),
        };
        let all = self.listeners.values().flat_map(|running| {
            let state = running.state.borrow().clone();
            state.routes.iter().map(|route| tunnel(running, route)).collect::<Vec<_>>()
        });
        all.collect()
    }

    /// Returns what the gateway has done and is doing.
    pub fn status(&self) -> &Arc<Status> {
        &self.status
    }

    /// Puts the control channel of a plan in force, after the tunnels of the same plan.
    pub(crate) fn set_control(&mut self, control: Option<PreparedControl>) {
        self.in_force.control = control.as_ref().map(PreparedControl::plan).cloned();
        self.dialers.set(&self.control, control, &self.limits);
    }

    /// Returns whether other gateways are shown this mesh and its rivals; true where they are shown none.
    pub(crate) fn serves(&self, mesh: &ServedMesh) -> bool {
        self.in_force.control.as_ref().is_none_or(|control| control.served.tag() == mesh.tag())
    }

    /// Denies these keys too, for the tunnels and the control channel as they are. `mesh` denies them, which others are to
    /// hear of.
    ///
    /// # Errors
    /// Fails if settings are refused; nothing changes then.
    pub(crate) async fn deny(&mut self, keys: &[DeniedKey], mesh: Option<ServedMesh>) -> Result<(), GatewayError> {
        let InForce { tunnels, control } = self.in_force.denying(keys, mesh)?;
        let control = control.map(PreparedControl::new).transpose()?;
        self.reload(tunnels, self.limits).await?;
        self.set_control(control);
        Ok(())
    }

    /// Waits until another gateway has brought a mesh, which is then to be loaded.
    pub(crate) async fn news(&self) {
        self.control.news().await;
    }

    /// Stops accepting connections; established connections end within the drain timeout.
    pub async fn drain(mut self) {
        self.status.drain();
        self.set_control(None);
        let deadline = AddressPhase::Drain(self.limits.drain_timeout);
        let running: Vec<Running> = self.listeners.drain().map(|(_, running)| running).chain(self.closed).collect();
        for running in &running {
            running.accepting.enter(deadline);
        }
        // Each address enforces the deadline.
        for running in &running {
            running.accepting.over().await;
        }
    }
}
