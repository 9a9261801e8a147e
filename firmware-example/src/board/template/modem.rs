//! The place of a modem's driver, which carries IP packets; it never gets ready.

use core::future::pending;
use core::task::Context;

use embassy_net::{Ipv4Address, Ipv4Cidr, StaticConfigV4};
use embassy_net_driver::{Capabilities, HardwareAddress, LinkState, RxToken, TxToken};

/// Starts the modem, and waits for its network.
pub(super) async fn start() -> Option<(Driver, Runner)> {
    pending().await
}

/// The part of the driver that runs beside the network: a port spawns it.
pub(super) struct Runner(());

impl Runner {
    pub(super) async fn run(self) -> ! {
        pending().await
    }
}

/// The driver.
pub struct Driver(());

impl Driver {
    /// Returns the addresses that the modem's network has given to it.
    pub(super) fn addresses(&self) -> StaticConfigV4 {
        let address = Ipv4Cidr::new(Ipv4Address::new(192, 0, 2, 7), 32);
        StaticConfigV4 { address, gateway: None, dns_servers: Default::default() }
    }
}

impl embassy_net_driver::Driver for Driver {
    type RxToken<'a> = Packet;
    type TxToken<'a> = Packet;

    fn receive(&mut self, _: &mut Context) -> Option<(Packet, Packet)> {
        None
    }

    fn transmit(&mut self, _: &mut Context) -> Option<Packet> {
        None
    }

    fn link_state(&mut self, _: &mut Context) -> LinkState {
        LinkState::Down
    }

    fn capabilities(&self) -> Capabilities {
        let mut capabilities = Capabilities::default();
        capabilities.max_transmission_unit = 1500;
        capabilities
    }

    fn hardware_address(&self) -> HardwareAddress {
        HardwareAddress::Ip
    }
}

/// The memory of a packet.
pub struct Packet(());

impl RxToken for Packet {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, look: F) -> R {
        look(&mut [])
    }
}

impl TxToken for Packet {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, _: usize, fill: F) -> R {
        fill(&mut [])
    }
}
