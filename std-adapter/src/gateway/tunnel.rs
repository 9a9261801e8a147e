//! What a tunnel is: from settings to something that serves connections.

use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use edgetrust_core::config::ProxyProtocol;
use edgetrust_core::identity::without_root;
use pki_types::ServerName;

use super::socket::Socket;
use super::status::Counters;
use super::target;
use super::{Address, Limits, TunnelLimits};
use crate::tls::{Certificates, ClientSettings, ServerSettings, ServerTrust, TlsClient, TlsError, TlsServer};

/// One tunnel as it is asked for.
#[derive(Clone, Debug)]
pub struct Tunnel {
    /// Its name in logs.
    pub name: String,
    /// Where it listens.
    pub listen: Address,
    /// Where it forwards to.
    pub target: Address,
    /// What it may cost.
    pub limits: TunnelLimits,
    /// What it does.
    pub kind: TunnelKind,
}

/// What a tunnel does.
#[derive(Clone, Debug)]
pub enum TunnelKind {
    /// Accepts, authorizes, forwards plaintext.
    Server {
        /// None is tier 1: plaintext is accepted.
        tls: Option<ServerSettings>,
        /// The server names that choose it among those that listen on one address; empty takes all others.
        sni: Vec<String>,
        /// What goes before the plaintext.
        proxy_protocol: ProxyProtocol,
    },
    /// Accepts plaintext, originates TLS.
    Client {
        /// How.
        tls: ClientSettings,
        /// The name that the server's certificate must be for.
        server_name: ServerName<'static>,
    },
}

/// A tunnel that can serve.
#[derive(Debug)]
pub(super) struct Route {
    pub(super) name: String,
    /// As it was asked for: port 0 stays port 0.
    pub(super) listen: Address,
    pub(super) target: Address,
    /// How long reaching the target may take.
    patience: Duration,
    pub(super) limits: TunnelLimits,
    pub(super) kind: RouteKind,
    pub(super) certificates: Certificates,
    pub(super) insecure: bool,
    pub(super) counters: Arc<Counters>,
}

#[derive(Debug)]
pub(super) enum RouteKind {
    Plain { proxy_protocol: ProxyProtocol },
    Server { tls: TlsServer, sni: Vec<String>, proxy_protocol: ProxyProtocol },
    Client { tls: TlsClient, server_name: ServerName<'static> },
}

/// Why a gateway does not start, or does not take new tunnels.
#[derive(Debug)]
pub enum GatewayError {
    /// An address cannot be listened on.
    Listen(String, Address, std::io::Error),
    /// An address cannot be listened on while the gateway runs as it does, and why.
    Restart(String, Address, &'static str),
    /// rustls refuses a tunnel's settings.
    Tls(String, TlsError),
}

impl fmt::Display for GatewayError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Listen(tunnel, address, error) => write!(f, "tunnel {tunnel}: cannot listen on {address}: {error}"),
            Self::Restart(tunnel, address, why) => {
                write!(f, "tunnel {tunnel}: {address} needs a restart: {why}")
            }
            Self::Tls(tunnel, error) => write!(f, "tunnel {tunnel}: {error}"),
        }
    }
}

impl std::error::Error for GatewayError {}

impl Route {
    pub(super) fn new(tunnel: Tunnel, gateway: Limits, counters: Arc<Counters>) -> Result<Self, GatewayError> {
        let Tunnel { name, listen, target, limits, kind } = tunnel;
        let refused = |error| GatewayError::Tls(name.clone(), error);
        let certificates = match &kind {
            TunnelKind::Server { tls, .. } => tls.as_ref().map(ServerSettings::certificates).unwrap_or_default(),
            TunnelKind::Client { tls, .. } => tls.certificates(),
        };
        let insecure =
            matches!(&kind, TunnelKind::Client { tls, .. } if matches!(tls.trust, ServerTrust::DangerNobodyIsVerified));
        let kind = match kind {
            TunnelKind::Server { tls: None, proxy_protocol, .. } => RouteKind::Plain { proxy_protocol },
            TunnelKind::Server { tls: Some(settings), sni, proxy_protocol } => {
                RouteKind::Server { tls: TlsServer::new(settings).map_err(refused)?, sni, proxy_protocol }
            }
            TunnelKind::Client { tls, server_name } => {
                RouteKind::Client { tls: TlsClient::new(tls).map_err(refused)?, server_name }
            }
        };
        let patience = target::share_of(gateway.handshake_timeout);
        Ok(Self { name, listen, target, patience, limits, kind, certificates, insecure, counters })
    }

    /// Reaches the target.
    pub(super) async fn connect(&self) -> io::Result<Socket> {
        target::connect(&self.target, self.patience).await
    }

    /// How long one of its connections may carry nothing. Strangers are clients without a certificate; those of a client tunnel are of
    /// this machine.
    pub(super) fn idle_timeout(&self, authenticated: bool) -> Option<Duration> {
        let stranger = !authenticated && !matches!(self.kind, RouteKind::Client { .. });
        if stranger { self.limits.idle_stranger } else { self.limits.idle_timeout }
    }

    /// The server that may have to answer a CA's validation.
    pub(super) fn server(&self) -> Option<&TlsServer> {
        match &self.kind {
            RouteKind::Server { tls, .. } => Some(tls),
            RouteKind::Plain { .. } | RouteKind::Client { .. } => None,
        }
    }

    /// Whether this route serves clients that ask for `name` (RFC 6066 section 3); without names it serves those that no other
    /// does.
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

/// The route for a server name: one that names it, else the one without names.
pub(super) fn route_for<'a>(
    routes: impl Iterator<Item = &'a Arc<Route>> + Clone,
    server_name: Option<&str>,
) -> Option<&'a Arc<Route>> {
    let named = routes.clone().find(|route| route.is_for(server_name) == Some(true));
    named.or_else(|| routes.clone().find(|route| route.is_for(server_name).is_none()))
}

/// The tunnel that a session of `was` belongs to now. A name by itself does not make a tunnel the same, since names may be swapped: first comes
/// the tunnel of this name, address and target, then the one that leads from this address to this target by another name, then the one that
/// kept its name and either of the two.
pub(super) fn successor<'a>(now: &'a [Arc<Route>], was: &Route, server_name: Option<&str>) -> Option<&'a Arc<Route>> {
    let unchanged =
        || now.iter().find(|route| route.name == was.name && route.listen == was.listen && route.target == was.target);
    let renamed = || {
        let own_port = matches!(&was.listen, Address::Tcp(address) if address.port() == 0);
        let here = now.iter().filter(|route| route.listen == was.listen && (!own_port || route.target == was.target));
        route_for(here, server_name).filter(|route| route.target == was.target)
    };
    let changed = || {
        now.iter().find(|route| route.name == was.name && (route.listen == was.listen || route.target == was.target))
    };
    unchanged().or_else(renamed).or_else(changed)
}
