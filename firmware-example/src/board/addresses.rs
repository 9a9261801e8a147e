//! Defines where the device's own addresses come from.

use embassy_net::{Config, StaticConfigV4};

/// The source of the device's addresses.
pub enum Addresses {
    /// A DHCP server on the network.
    #[cfg(feature = "dhcp")]
    Dhcp,
    /// These: configured, or told by a modem that has attached to its network.
    Static(StaticConfigV4),
}

impl From<Addresses> for Config {
    fn from(addresses: Addresses) -> Self {
        match addresses {
            #[cfg(feature = "dhcp")]
            Addresses::Dhcp => Self::dhcpv4(embassy_net::DhcpConfig::default()),
            Addresses::Static(addresses) => Self::ipv4_static(addresses),
        }
    }
}
