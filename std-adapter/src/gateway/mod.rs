//! Tunnels: accept, authorize, forward.

mod address;
mod limits;
mod tunnel;

pub use address::{Address, AddressError};
pub use limits::Limits;
pub use tunnel::{ClientTunnel, Reloader, ServerTunnel, TunnelError};
