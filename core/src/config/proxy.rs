//! Defines the proxies that connections to other machines go through.

use core::fmt;

use super::endpoint::Endpoint;

/// The way out of this machine's network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Egress<'a> {
    /// Through the proxy that `https_proxy` of the environment names, but not to what `no_proxy` lists.
    Environment,
    /// Through this proxy.
    Proxy(Proxy<'a>),
}

/// A proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Proxy<'a> {
    /// The protocol that is spoken with the proxy.
    pub protocol: ProxyScheme,
    /// The proxy's own address, a Unix socket never.
    pub endpoint: Endpoint<'a>,
    /// The file with `user:password`.
    pub credentials_file: Option<&'a str>,
}

/// The protocol that is spoken with a proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ProxyScheme {
    /// CONNECT of HTTP (RFC 9110 section 9.3.6).
    Http,
    /// SOCKS, version 5 (RFC 1928).
    Socks5,
}

impl ProxyScheme {
    /// Splits a proxy's URL into its scheme and what follows.
    pub fn split(url: &str) -> Option<(Self, &str)> {
        let http = url.strip_prefix("http://").map(|rest| (Self::Http, rest));
        http.or_else(|| url.strip_prefix("socks5://").map(|rest| (Self::Socks5, rest)))
    }
}

impl fmt::Display for ProxyScheme {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Http => "http",
            Self::Socks5 => "socks5",
        })
    }
}

impl fmt::Display for Egress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Environment => f.write_str("environment"),
            Self::Proxy(Proxy { protocol, endpoint, .. }) => write!(f, "{protocol}://{endpoint}"),
        }
    }
}
