//! A guest without QEMU: a stack of its own at the other end of the wire.

use std::collections::VecDeque;
use std::net::Ipv4Addr;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use edgetrust_hil::wire::Wire;
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::phy::{Device, DeviceCapabilities, Medium, RxToken, TxToken};
use smoltcp::socket::{dhcpv4, dns, tcp, udp};
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};

/// How long anything may take.
pub const PATIENCE: Duration = Duration::from_secs(30);

struct Card {
    socket: UnixDatagram,
    host: PathBuf,
    out: VecDeque<Vec<u8>>,
}

pub struct In(Vec<u8>);

impl RxToken for In {
    fn consume<R, F: FnOnce(&[u8]) -> R>(self, read: F) -> R {
        read(&self.0)
    }
}

pub struct Out<'a>(&'a mut VecDeque<Vec<u8>>);

impl TxToken for Out<'_> {
    fn consume<R, F: FnOnce(&mut [u8]) -> R>(self, length: usize, write: F) -> R {
        let mut frame = vec![0; length];
        let result = write(&mut frame);
        self.0.push_back(frame);
        result
    }
}

impl Device for Card {
    type RxToken<'a> = In;
    type TxToken<'a> = Out<'a>;

    fn receive(&mut self, _: smoltcp::time::Instant) -> Option<(In, Out<'_>)> {
        let mut frame = vec![0; 2048];
        let octets = self.socket.recv(&mut frame).ok()?;
        frame.truncate(octets);
        Some((In(frame), Out(&mut self.out)))
    }

    fn transmit(&mut self, _: smoltcp::time::Instant) -> Option<Out<'_>> {
        Some(Out(&mut self.out))
    }

    fn capabilities(&self) -> DeviceCapabilities {
        let mut capabilities = DeviceCapabilities::default();
        (capabilities.medium, capabilities.max_transmission_unit) = (Medium::Ethernet, 1514);
        capabilities
    }
}

pub struct Guest {
    card: Card,
    interface: Interface,
    pub sockets: SocketSet<'static>,
    begun: Instant,
}

impl Guest {
    pub fn new(wire: &Wire) -> Self {
        let (host, own) = wire.sockets();
        let socket = UnixDatagram::bind(own).unwrap();
        socket.set_nonblocking(true).unwrap();
        let mut card = Card { socket, host, out: VecDeque::new() };
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress([2, 0, 0, 0, 0, 1])));
        config.random_seed = 7;
        let interface = Interface::new(config, &mut card, smoltcp::time::Instant::ZERO);
        Self { card, interface, sockets: SocketSet::new(Vec::new()), begun: Instant::now() }
    }

    pub fn turn(&mut self) {
        let now = i64::try_from(self.begun.elapsed().as_micros()).unwrap();
        self.interface.poll(smoltcp::time::Instant::from_micros(now), &mut self.card, &mut self.sockets);
        while let Some(frame) = self.card.out.pop_front() {
            let _ = self.card.socket.send_to(&frame, &self.card.host);
        }
    }

    /// Turns until something is there; none where it takes longer than that.
    pub fn within<T>(&mut self, time: Duration, mut there: impl FnMut(&mut Self) -> Option<T>) -> Option<T> {
        let until = Instant::now() + time;
        loop {
            self.turn();
            if let Some(found) = there(self) {
                return Some(found);
            }
            if Instant::now() > until {
                return None;
            }
            std::thread::sleep(Duration::from_micros(200));
        }
    }

    pub fn until<T>(&mut self, there: impl FnMut(&mut Self) -> Option<T>) -> T {
        self.within(PATIENCE, there).expect("it did not come about")
    }

    /// A lease: address, router and DNS server.
    pub fn lease(&mut self, time: Duration) -> Option<(Ipv4Addr, Ipv4Addr, Ipv4Addr)> {
        let handle = self.sockets.add(dhcpv4::Socket::new());
        let lease = self.within(time, |guest| {
            let socket = guest.sockets.get_mut::<dhcpv4::Socket<'_>>(handle);
            let Some(dhcpv4::Event::Configured(config)) = socket.poll() else { return None };
            let (address, router) = (config.address, config.router?);
            let server = *config.dns_servers.first()?;
            guest.interface.update_ip_addrs(|list| list.push(IpCidr::Ipv4(address)).unwrap());
            guest.interface.routes_mut().add_default_ipv4_route(router).unwrap();
            Some((address.address(), router, server))
        });
        self.sockets.remove(handle);
        lease
    }

    /// What a name leads to; an error where it does not exist, none where nobody says.
    pub fn resolve(&mut self, server: Ipv4Addr, name: &str, time: Duration) -> Option<Result<IpAddress, ()>> {
        let handle = self.sockets.add(dns::Socket::new(&[IpAddress::Ipv4(server)], vec![]));
        let socket = self.sockets.get_mut::<dns::Socket<'_>>(handle);
        let query = socket.start_query(self.interface.context(), name, smoltcp::wire::DnsQueryType::A).unwrap();
        self.within(time, |guest| {
            let socket = guest.sockets.get_mut::<dns::Socket<'_>>(handle);
            match socket.get_query_result(query) {
                Ok(addresses) => Some(Ok(addresses[0])),
                Err(dns::GetQueryResultError::Pending) => None,
                Err(dns::GetQueryResultError::Failed) => Some(Err(())),
            }
        })
    }

    /// The answer to a datagram.
    pub fn ask(&mut self, to: IpEndpoint, request: &[u8], time: Duration) -> Option<Vec<u8>> {
        let buffers = [(); 2].map(|()| udp::PacketBuffer::new(vec![udp::PacketMetadata::EMPTY; 4], vec![0; 2048]));
        let [receive, send] = buffers;
        let handle = self.sockets.add(udp::Socket::new(receive, send));
        let socket = self.sockets.get_mut::<udp::Socket<'_>>(handle);
        socket.bind(40_000).unwrap();
        socket.send_slice(request, to).unwrap();
        let answer = self.within(time, |guest| {
            guest.sockets.get_mut::<udp::Socket<'_>>(handle).recv().ok().map(|(octets, _)| octets.to_vec())
        });
        self.sockets.remove(handle);
        answer
    }

    /// A connection that is on its way.
    pub fn connect(&mut self, to: (Ipv4Addr, u16), from: u16) -> SocketHandle {
        let [receive, send] = [(); 2].map(|()| tcp::SocketBuffer::new(vec![0; 8 * 1024]));
        let handle = self.sockets.add(tcp::Socket::new(receive, send));
        self.sockets.get_mut::<tcp::Socket<'_>>(handle).connect(self.interface.context(), to, from).unwrap();
        handle
    }

    pub fn tcp(&mut self, handle: SocketHandle) -> &mut tcp::Socket<'static> {
        self.sockets.get_mut(handle)
    }
}
