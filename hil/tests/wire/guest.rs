//! A guest without a machine: smoltcp at the guest's end of the network.

use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant as StdInstant};

use edgetrust_hil::wire::Wire;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{dhcpv4, dns, tcp, udp};
use smoltcp::time::Instant;
use smoltcp::wire::{DnsQueryType, EthernetAddress, HardwareAddress, IpAddress, IpCidr, Ipv4Address};

const PATIENCE: Duration = Duration::from_secs(60);

struct Card {
    cable: UnixDatagram,
    frame: Option<Vec<u8>>,
}

impl Card {
    /// Waits briefly for a frame.
    fn wait(&mut self) {
        let mut frame = [0; 2048];
        if self.frame.is_none()
            && let Ok(length) = self.cable.recv(&mut frame)
        {
            self.frame = Some(frame[..length].to_vec());
        }
    }
}

struct Octets(Vec<u8>);

impl RxToken for Octets {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, take: F) -> R {
        take(&self.0)
    }
}

struct Out<'a>(&'a UnixDatagram);

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, fill: F) -> R {
        let mut frame = vec![0; length];
        let result = fill(&mut frame);
        self.0.send(&frame).unwrap();
        result
    }
}

impl Device for Card {
    type RxToken<'a> = Octets;
    type TxToken<'a> = Out<'a>;

    fn receive(&mut self, _: Instant) -> Option<(Octets, Out<'_>)> {
        self.frame.take().map(|frame| (Octets(frame), Out(&self.cable)))
    }

    fn transmit(&mut self, _: Instant) -> Option<Out<'_>> {
        Some(Out(&self.cable))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        capabilities.medium = Medium::Ethernet;
        capabilities.max_transmission_unit = 1514;
        capabilities
    }
}

pub struct Guest {
    card: Card,
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: SocketHandle,
    start: StdInstant,
    port: u16,
}

impl Guest {
    pub fn new(wire: &Wire) -> Self {
        let cable = UnixDatagram::from(wire.plug().unwrap());
        cable.set_nonblocking(false).unwrap();
        cable.set_read_timeout(Some(Duration::from_millis(2))).unwrap();
        let mut card = Card { cable, frame: None };
        let config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 15])));
        let interface = Interface::new(config, &mut card, Instant::ZERO);
        let mut sockets = SocketSet::new(Vec::new());
        let dhcp = sockets.add(dhcpv4::Socket::new());
        Self { card, interface, sockets, dhcp, start: StdInstant::now(), port: 49_152 }
    }

    fn step(&mut self) {
        self.card.wait();
        let now = Instant::from_micros(i64::try_from(self.start.elapsed().as_micros()).unwrap());
        self.interface.poll(now, &mut self.card, &mut self.sockets);
    }

    pub fn until<T>(&mut self, what: &str, mut done: impl FnMut(&mut Self) -> Option<T>) -> T {
        let until = StdInstant::now() + PATIENCE;
        loop {
            self.step();
            if let Some(done) = done(self) {
                return done;
            }
            assert!(StdInstant::now() < until, "{what}: not in time");
        }
    }

    /// Returns the address, router and name servers from DHCP, if they have arrived.
    pub fn configured(&mut self) -> Option<(IpCidr, Option<Ipv4Address>, Vec<Ipv4Address>)> {
        match self.sockets.get_mut::<dhcpv4::Socket<'_>>(self.dhcp).poll()? {
            dhcpv4::Event::Configured(config) => {
                let address = IpCidr::Ipv4(config.address);
                let (router, servers) = (config.router, config.dns_servers.iter().copied().collect());
                self.interface.update_ip_addrs(|addresses| addresses.push(address).unwrap());
                self.interface.routes_mut().add_default_ipv4_route(router.unwrap()).unwrap();
                Some((address, router, servers))
            }
            dhcpv4::Event::Deconfigured => None,
        }
    }

    pub fn lease(&mut self) -> (IpCidr, Option<Ipv4Address>, Vec<Ipv4Address>) {
        self.until("a lease", Self::configured)
    }

    pub fn resolve(&mut self, name: &str) -> Result<Vec<IpAddress>, dns::GetQueryResultError> {
        let mut socket = dns::Socket::new(&[IpAddress::v4(10, 0, 2, 2)], vec![]);
        let query = socket.start_query(self.interface.context(), name, DnsQueryType::A).unwrap();
        let handle = self.sockets.add(socket);
        let answer = self.until("a name", |guest| {
            match guest.sockets.get_mut::<dns::Socket<'_>>(handle).get_query_result(query) {
                Err(dns::GetQueryResultError::Pending) => None,
                other => Some(other.map(|addresses| addresses.iter().copied().collect())),
            }
        });
        self.sockets.remove(handle);
        answer
    }

    pub fn send_udp(&mut self, port: u16, octets: &[u8]) -> SocketHandle {
        let buffer = || udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 2048]);
        let mut socket = udp::Socket::new(buffer(), buffer());
        socket.bind(self.port).unwrap();
        self.port += 1;
        socket.send_slice(octets, (IpAddress::v4(10, 0, 2, 2), port)).unwrap();
        self.sockets.add(socket)
    }

    pub fn udp(&mut self, port: u16, octets: &[u8]) -> Vec<u8> {
        let handle = self.send_udp(port, octets);
        self.until("a datagram", |guest| {
            let socket = guest.sockets.get_mut::<udp::Socket<'_>>(handle);
            socket.recv().ok().map(|(octets, _)| octets.to_vec())
        })
    }

    pub fn connect(&mut self, port: u16) -> SocketHandle {
        let buffer = || tcp::SocketBuffer::new(vec![0; 16 * 1024]);
        let mut socket = tcp::Socket::new(buffer(), buffer());
        socket.connect(self.interface.context(), (IpAddress::v4(10, 0, 2, 2), port), self.port).unwrap();
        self.port += 1;
        self.sockets.add(socket)
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }

    /// Waits until the connection is open; returns false if it was reset.
    pub fn opens(&mut self, handle: SocketHandle) -> bool {
        self.until("a connection", |guest| match guest.tcp(handle).state() {
            tcp::State::SynSent => None,
            state => Some(state != tcp::State::Closed),
        })
    }

    pub fn read_all(&mut self, handle: SocketHandle) -> Vec<u8> {
        let mut all = Vec::new();
        self.until("its end", |guest| {
            let socket = guest.tcp(handle);
            while socket.can_recv() {
                socket
                    .recv(|octets| {
                        all.extend_from_slice(octets);
                        (octets.len(), ())
                    })
                    .unwrap();
            }
            (!socket.may_recv()).then_some(())
        });
        all
    }
}
