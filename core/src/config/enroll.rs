//! A gateway's EST server, and hosts with a port.

/// A gateway's EST server (RFC 7030), as its devices see it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Enroll<'a> {
    /// The EST server's host and port.
    pub server: Remote<'a>,
    /// The name that the EST server's certificate must have: a DNS name or an IP address.
    pub server_name: &'a str,
}

/// A host and a port.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Remote<'a> {
    /// A DNS name or an IP address, without brackets.
    pub host: &'a str,
    /// The port.
    pub port: u16,
}
