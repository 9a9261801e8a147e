//! The addresses of the network.

use std::net::Ipv4Addr;

/// The host's address: router, name server, time server, and every server behind a port.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The guest's address, given by DHCP.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The guest's other address, where DHCP gives it another one.
pub const MOVED: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 16);
/// An address that nobody has.
pub const DEAD: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 3);
