//! Makes routes, which serve connections, from the settings of tunnels.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::config::{Network, ProxyProtocol};
use edgetrust_core::identity::without_root;
use pki_types::ServerName;

use super::counters::Counters;
use super::health::Health;
use super::side::Side;
use super::target;
use super::targets::{ServerAddress, Targets};
use super::{Address, Limits, TunnelLimits};
use crate::egress::Egress;
use crate::store::StorageError;
use crate::tls::{Certificates, ClientSettings, ServerSettings, ServerTrust, TlsClient, TlsError, TlsServer};

/// One tunnel: as it is configured, or, in a [`Route`], as it serves.
#[derive(Clone, Debug)]
pub struct Tunnel<K = TunnelKind> {
    /// The name in logs.
    pub name: String,
    /// The address that the tunnel listens on, as configured: port 0 stays port 0.
    pub listen: Address,
    /// The address that the tunnel forwards to.
    pub target: Address,
    /// The time for which a target that was not reached is passed over, if there are others.
    pub health_interval: Duration,
    /// The limits of the tunnel.
    pub limits: TunnelLimits,
    /// The kind of tunnel.
    pub kind: K,
}

/// The kind of a tunnel.
#[derive(Clone, Debug)]
pub enum TunnelKind {
    /// Accepts, authorizes, forwards plaintext.
    Server {
        /// The TLS settings; `None` is tier 1: plaintext is accepted.
        tls: Option<ServerSettings>,
        /// The server names that select the tunnel among those on one address; an empty list takes all others.
        sni: Vec<String>,
        /// The PROXY protocol header before the plaintext.
        proxy_protocol: ProxyProtocol,
        /// The load balancers whose PROXY protocol headers say who connects; empty where clients connect themselves.
        accept_proxy: Vec<Network>,
        /// The octets of the largest record that it sends, before encryption.
        max_fragment_size: u16,
        /// The targets that are tried after the first one, in this order.
        others: Vec<Address>,
    },
    /// Accepts plaintext, originates TLS.
    Client {
        /// The TLS settings.
        tls: ClientSettings,
        /// The name that the certificate of the server at the target must be for.
        server_name: ServerName<'static>,
        /// The servers that are tried after the target, in this order.
        others: Vec<ServerAddress>,
        /// The proxy that leads to them.
        via: Option<Arc<Egress>>,
    },
}

/// A tunnel that can serve.
#[derive(Debug)]
pub(super) struct Route {
    tunnel: Tunnel<RouteKind>,
    /// The maximum time from the accepted connection to the reached target.
    pub(super) deadline: Duration,
    pub(super) certificates: Certificates,
    pub(super) insecure: bool,
    /// The load balancers that alone may connect, each connection with a PROXY protocol header; empty if there are none.
    pub(super) balancers: Vec<Network>,
    pub(super) counters: Arc<Counters>,
}

impl Deref for Route {
    type Target = Tunnel<RouteKind>;

    fn deref(&self) -> &Self::Target {
        &self.tunnel
    }
}

#[derive(Debug)]
pub(super) enum RouteKind {
    Plain { proxy_protocol: ProxyProtocol, targets: Targets<()> },
    Server { tls: TlsServer, sni: Vec<String>, proxy_protocol: ProxyProtocol, targets: Targets<()> },
    Client { tls: TlsClient, servers: Targets<ServerName<'static>> },
}

impl RouteKind {
    /// Returns what is known of each target.
    pub(super) fn healths(&self) -> Vec<Arc<Health>> {
        match self {
            Self::Plain { targets, .. } | Self::Server { targets, .. } => targets.healths(),
            Self::Client { servers, .. } => servers.healths(),
        }
    }
}

/// The reason a gateway does not start, or does not take new tunnels.
#[derive(Debug)]
pub enum GatewayError {
    /// An address cannot be listened on.
    Listen(String, Address, std::io::Error),
    /// An address cannot be listened on without a restart, for this reason.
    Restart(String, Address, &'static str),
    /// rustls refuses a tunnel's settings.
    Tls(String, TlsError),
    /// The store of the mesh cannot be used.
    MeshStorage(StorageError),
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(tunnel, address, error) => write!(f, "tunnel {tunnel}: cannot listen on {address}: {error}"),
            Self::Restart(tunnel, address, why) => {
                write!(f, "tunnel {tunnel}: {address} needs a restart: {why}")
            }
            Self::Tls(tunnel, error) => write!(f, "tunnel {tunnel}: {error}"),
            Self::MeshStorage(error) => write!(f, "gateway.mesh.storage: {error}"),
        }
    }
}

impl std::error::Error for GatewayError {}

impl Route {
    /// Makes a tunnel ready to serve; of its targets, those in `known` keep their health.
    pub(super) fn new(
        tunnel: Tunnel,
        gateway: Limits,
        counters: Arc<Counters>,
        known: &[Arc<Health>],
    ) -> Result<Self, GatewayError> {
        let Tunnel { name, listen, target, health_interval: interval, limits, kind } = tunnel;
        let targets = |others: Vec<Address>| {
            let others = others.into_iter().map(|other| (other, ())).collect();
            Targets::new(&name, (target.clone(), ()), others, (interval, None), known)
        };
        let refused = |error| GatewayError::Tls(name.clone(), error);
        let certificates = match &kind {
            TunnelKind::Server { tls, .. } => tls.as_ref().map(ServerSettings::certificates).unwrap_or_default(),
            TunnelKind::Client { tls, .. } => tls.certificates(),
        };
        let insecure =
            matches!(&kind, TunnelKind::Client { tls, .. } if matches!(tls.trust, ServerTrust::DangerNobodyIsVerified));
        let mut balancers = Vec::new();
        let kind = match kind {
            TunnelKind::Server { tls, sni, proxy_protocol, accept_proxy, max_fragment_size, others } => {
                let targets = targets(others);
                balancers = accept_proxy;
                match tls {
                    None => RouteKind::Plain { proxy_protocol, targets },
                    Some(tls) => {
                        let tls = TlsServer::new(tls).map_err(refused)?.with_fragments_of(max_fragment_size);
                        RouteKind::Server { tls, sni, proxy_protocol, targets }
                    }
                }
            }
            TunnelKind::Client { tls, server_name, others, via } => RouteKind::Client {
                tls: TlsClient::new(tls).map_err(refused)?,
                servers: Targets::new(&name, (target.clone(), server_name), others, (interval, via), known),
            },
        };
        let deadline = gateway.handshake_timeout;
        let tunnel = Tunnel { name, listen, target, health_interval: interval, limits, kind };
        Ok(Self { tunnel, deadline, certificates, insecure, balancers, counters })
    }

    /// Returns the time for connecting to a target.
    pub(super) fn patience(&self) -> Duration {
        target::share_of(self.deadline)
    }

    /// Returns the addresses of all targets, for the log.
    pub(super) fn target_names(&self) -> String {
        let targets: Vec<_> = self.kind.healths().iter().map(|health| health.address().to_string()).collect();
        targets.join(", ")
    }

    /// Returns whether this route leads to the same targets as another one.
    fn leads_like(&self, other: &Self) -> bool {
        let (own, others) = (self.kind.healths(), other.kind.healths());
        own.iter().map(|health| health.address()).eq(others.iter().map(|health| health.address()))
    }

    /// Returns how long a connection may carry nothing. Strangers are clients without a certificate; clients of a
    /// client tunnel are of this machine.
    pub(super) fn idle_timeout(&self, authenticated: bool) -> Option<Duration> {
        let stranger = !authenticated && !matches!(self.kind, RouteKind::Client { .. });
        if stranger { self.limits.idle_stranger } else { self.limits.idle_timeout }
    }

    /// Returns the side of TLS that the tunnel takes.
    pub(super) fn side(&self) -> Side {
        match &self.kind {
            RouteKind::Plain { .. } => Side::Plain,
            RouteKind::Server { .. } => Side::Server,
            RouteKind::Client { .. } => Side::Client,
        }
    }

    /// Returns the server that may have to answer a CA's validation.
    pub(super) fn server(&self) -> Option<&TlsServer> {
        match &self.kind {
            RouteKind::Server { tls, .. } => Some(tls),
            RouteKind::Plain { .. } | RouteKind::Client { .. } => None,
        }
    }

    /// Returns whether this route serves clients that request `name` (RFC 6066 section 3); `None` for a route without
    /// names, which serves clients that no other route does.
    pub(super) fn is_for(&self, name: Option<&str>) -> Option<bool> {
        match &self.kind {
            RouteKind::Server { sni, .. } if !sni.is_empty() => {
                let is_own = |name: &str| sni.iter().any(|own| without_root(own).eq_ignore_ascii_case(name));
                Some(name.is_some_and(|name| is_own(without_root(name))))
            }
            _ => None,
        }
    }
}

/// Returns the route that lists a server name, else the route without names.
pub(super) fn route_for<'a>(
    routes: impl Iterator<Item = &'a Arc<Route>> + Clone,
    server_name: Option<&str>,
) -> Option<&'a Arc<Route>> {
    let named = routes.clone().find(|route| route.is_for(server_name) == Some(true));
    named.or_else(|| routes.clone().find(|route| route.is_for(server_name).is_none()))
}

/// Returns the tunnel to which a session of `was` belongs now. A name alone does not identify a tunnel, since names
/// may be swapped. The order is: the tunnel with this name, address and target; then a tunnel of another name from
/// this address to this target; then the tunnel with this name and either the address or the target.
pub(super) fn successor<'a>(now: &'a [Arc<Route>], was: &Route, server_name: Option<&str>) -> Option<&'a Arc<Route>> {
    let unchanged =
        || now.iter().find(|route| route.name == was.name && route.listen == was.listen && route.leads_like(was));
    let renamed = || {
        let own_port = matches!(&was.listen, Address::Tcp(address) if address.port() == 0);
        let here = now.iter().filter(|route| route.listen == was.listen && (!own_port || route.leads_like(was)));
        route_for(here, server_name).filter(|route| route.leads_like(was))
    };
    let changed =
        || now.iter().find(|route| route.name == was.name && (route.listen == was.listen || route.leads_like(was)));
    unchanged().or_else(renamed).or_else(changed)
}
