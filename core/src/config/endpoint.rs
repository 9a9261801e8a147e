//! Defines the endpoints of tunnels.

use core::fmt;
use core::net::SocketAddr;

use super::address::{self, socket_address};
use crate::identity::{is_dns_name, without_root};
use crate::text::rsplit_once;

/// A TCP address, a host that is looked up for each connection, or a Unix socket.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Endpoint<'a> {
    /// `127.0.0.1:8081` or `[::1]:8081`.
    Tcp(SocketAddr),
    /// `b.example:8443`.
    Host(&'a str, u16),
    /// `unix:/run/service.sock`.
    Unix(&'a str),
}

impl<'a> Endpoint<'a> {
    /// Reads an endpoint; `None` if malformed.
    pub fn parse(text: &'a str) -> Option<Self> {
        if let Some(path) = text.strip_prefix("unix:") {
            return (!path.is_empty()).then_some(Self::Unix(path));
        }
        if let Some(address) = socket_address(text) {
            return Some(Self::Tcp(address));
        }
        let (host, port) = rsplit_once(text, b':')?;
        // A lookup in a hosts file would not find a name with the dot of the root.
        let host = without_root(host);
        is_dns_name(host).then_some(Self::Host(host, address::port(port)?))
    }

    /// Returns whether plaintext stays on this machine: a loopback address, `localhost` (RFC 6761 section 6.3), or a
    /// Unix socket.
    pub fn is_local(&self) -> bool {
        match self {
            Self::Tcp(address) => address.ip().is_loopback(),
            Self::Host(host, _) => host.eq_ignore_ascii_case("localhost"),
            Self::Unix(_) => true,
        }
    }
}

impl fmt::Display for Endpoint<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{path}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table() {
        for (text, local) in [
            ("127.0.0.1:80", Some(true)),
            ("[::1]:80", Some(true)),
            ("10.0.0.1:80", Some(false)),
            ("unix:/run/a.sock", Some(true)),
            ("localhost:80", Some(true)),
            ("localhost.:80", Some(true)),
            ("b.example.:8443", Some(false)),
            ("b.example..:8443", None),
            ("127.0.0.1.:80", None),
            (".:80", None),
            ("b.example:8443", Some(false)),
            ("unix:", None),
            ("localhost", None),
            ("127.0.0.1", None),
            ("127.0.0.1:+80", None),
            ("300.0.0.1:80", None),
            ("a b:80", None),
            ("a.example:65536", None),
            (":80", None),
        ] {
            assert_eq!(Endpoint::parse(text).map(|endpoint| endpoint.is_local()), local, "{text}");
        }
    }
}
