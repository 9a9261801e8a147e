//! Defines where connections go: the destination, and the proxy before it.

use std::fmt;
use std::net::SocketAddr;

use edgetrust_core::config::{Endpoint, ProxyScheme};

/// A destination, as a proxy is told of it.
#[derive(Clone, Copy, Debug)]
pub enum Destination<'a> {
    Ip(SocketAddr),
    /// A name, which the proxy looks up.
    Name(&'a str, u16),
}

impl fmt::Display for Destination<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ip(address) => address.fmt(f),
            Self::Name(name, port) => write!(f, "{name}:{port}"),
        }
    }
}

/// A proxy's own place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyPlace {
    pub(super) scheme: ProxyScheme,
    pub(super) host: String,
    pub(super) port: u16,
}

impl ProxyPlace {
    /// Makes a place; `None` for a Unix socket, which is no proxy.
    pub(super) fn new(scheme: ProxyScheme, endpoint: &Endpoint<'_>) -> Option<Self> {
        let (host, port) = match endpoint {
            Endpoint::Tcp(address) => (address.ip().to_string(), address.port()),
            Endpoint::Host(host, port) => ((*host).to_owned(), *port),
            Endpoint::Unix(_) => return None,
        };
        Some(Self { scheme, host, port })
    }
}

impl fmt::Display for ProxyPlace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { scheme, host, port } = self;
        if host.contains(':') { write!(f, "{scheme}://[{host}]:{port}") } else { write!(f, "{scheme}://{host}:{port}") }
    }
}
