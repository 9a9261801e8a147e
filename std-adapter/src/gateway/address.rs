//! Defines owned addresses of listeners and targets.

use std::fmt;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::str::FromStr;

use edgetrust_core::config::Endpoint;

/// A TCP address, a host that is looked up for each connection, or a Unix socket.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Address {
    /// `127.0.0.1:8081` or `[::1]:8081`.
    Tcp(SocketAddr),
    /// `b.example:8443`.
    Host(String, u16),
    /// `unix:/run/service.sock`.
    Unix(PathBuf),
}

/// The error of text that is not an address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressError(String);

impl fmt::Display for AddressError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "found {:?}, expected ADDRESS:PORT (as 127.0.0.1:8081), HOST:PORT or unix:PATH", self.0)
    }
}

impl std::error::Error for AddressError {}

impl From<Endpoint<'_>> for Address {
    fn from(endpoint: Endpoint<'_>) -> Self {
        match endpoint {
            Endpoint::Tcp(address) => Self::Tcp(address),
            Endpoint::Host(host, port) => Self::Host(host.to_owned(), port),
            Endpoint::Unix(path) => Self::Unix(path.into()),
        }
    }
}

impl FromStr for Address {
    type Err = AddressError;

    fn from_str(text: &str) -> Result<Self, AddressError> {
        Endpoint::parse(text).map(Self::from).ok_or_else(|| AddressError(text.to_owned()))
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => address.fmt(f),
            Self::Host(host, port) => write!(f, "{host}:{port}"),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}
