//! Leads connections to other machines through a proxy, which looks up their names.

mod connect;
mod credentials;
mod destination;
mod environment;
mod fault;
mod settings;
mod socks5;

pub(crate) use destination::Destination;
pub use fault::EgressError;
pub(crate) use fault::ProxyFault;
pub use settings::Egress;
