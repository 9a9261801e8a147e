//! Runs the host at the other end of the cable, in a thread.

use std::io;
use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant as StdInstant};

use mio::{Events, Interest, Poll, Token};
use smoltcp::iface::{Config, Interface, SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket as Udp, UdpMetadata};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint};

use super::addresses::HOST;
use super::cable::Cable;
use super::ntp::Clock;
use super::state::{Order, Shared};
use super::tcp::Links;
use super::{Dhcp, dhcp, dns, ntp};

/// A locally administered MAC address.
const HARDWARE: [u8; 6] = [0x02, 0, 0, 0, 2, 2];
/// The longest wait: a lost event delays work by this time at most.
const LONGEST_WAIT: Duration = Duration::from_millis(100);

pub(super) const WAKER: Token = Token(0);
const CABLE: Token = Token(1);
/// The first token of a connection.
const FIRST: usize = 2;

pub(super) struct Host {
    poll: Poll,
    cable: Cable,
    interface: Interface,
    sockets: SocketSet<'static>,
    dhcp: SocketHandle,
    dns: SocketHandle,
    ntp: SocketHandle,
    links: Links,
    shared: Arc<Shared>,
    start: StdInstant,
    clock: Clock,
}

fn udp(sockets: &mut SocketSet<'static>, port: u16) -> io::Result<SocketHandle> {
    let buffer = || PacketBuffer::new(vec![PacketMetadata::EMPTY; 16], vec![0; 8192]);
    let mut socket = Udp::new(buffer(), buffer());
    socket.bind(port).map_err(|error| io::Error::other(error.to_string()))?;
    Ok(sockets.add(socket))
}

impl Host {
    pub(super) fn new(poll: Poll, mut cable: Cable, shared: Arc<Shared>, seed: u64) -> io::Result<Self> {
        poll.registry().register(&mut cable, CABLE, Interest::READABLE | Interest::WRITABLE)?;
        let mut config = Config::new(HardwareAddress::Ethernet(EthernetAddress(HARDWARE)));
        config.random_seed = seed;
        let mut interface = Interface::new(config, &mut cable, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            // A new interface has no address, and room for several.
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(HOST), 24));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let (dhcp, dns, ntp) = (udp(&mut sockets, 67)?, udp(&mut sockets, 53)?, udp(&mut sockets, 123)?);
        let (links, start, clock) = (Links::default(), StdInstant::now(), Clock::new());
        Ok(Self { poll, cable, interface, sockets, dhcp, dns, ntp, links, shared, start, clock })
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.start.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(64);
        while self.orders() {
            self.cable.receive_all();
            self.step();
            let flushed = self.cable.send_all();
            let wait = self.interface.poll_delay(self.now(), &self.sockets).map(Duration::from);
            let wait = match wait {
                Some(wait) if flushed => wait.min(LONGEST_WAIT),
                _ => LONGEST_WAIT,
            };
            if self.poll.poll(&mut events, Some(wait)).is_err_and(|error| error.kind() != io::ErrorKind::Interrupted) {
                return;
            }
        }
    }

    /// Executes the orders since the last call; returns false if one of them is to stop.
    fn orders(&mut self) -> bool {
        let shared = Arc::clone(&self.shared);
        for order in shared.orders() {
            match order {
                Order::Stop => return false,
                Order::Deaf(deaf) => self.links.deaf = deaf,
                Order::Mute(after) => self.links.mute(after),
                Order::Fault(fault) => self.cable.set_fault(fault),
                Order::ClockRate(rate) => self.clock.set_rate(rate),
                Order::Reset(port) => self.links.reset(&mut self.sockets, port, self.poll.registry()),
            }
        }
        true
    }

    fn step(&mut self) {
        let table = self.shared.forwards();
        self.links.listen(&mut self.sockets, &table);
        let now = self.now();
        self.interface.poll(now, &mut self.cable, &mut self.sockets);
        self.serve_dhcp();
        self.serve_dns();
        self.serve_ntp();
        self.links.accept(&mut self.sockets, &table, self.poll.registry(), FIRST);
        self.links.pump(&mut self.sockets, self.poll.registry());
        self.interface.poll(now, &mut self.cable, &mut self.sockets);
        // Reading made room, and sending made ends known.
        self.links.pump(&mut self.sockets, self.poll.registry());
        self.links.sweep(&mut self.sockets);
        self.shared.note(|seen| seen.connections.clone_from(&self.links.accepted));
    }

    fn serve_dhcp(&mut self) {
        let mode = self.shared.modes().dhcp;
        let silent = match mode {
            Dhcp::Right | Dhcp::Lease(_) | Dhcp::Moved | Dhcp::DeadNameServer => false,
            Dhcp::Silent => true,
            Dhcp::After(seconds) => self.start.elapsed() < Duration::from_secs(seconds),
        };
        let socket = self.sockets.get_mut::<Udp<'_>>(self.dhcp);
        while let Ok((request, _)) = socket.recv() {
            let answered = dhcp::answer(request, HOST, mode.terms());
            self.shared.note(|seen| seen.dhcp_requests += 1);
            let Some(answered) = answered.filter(|_| !silent) else { continue };
            let to = if answered.to_client { mode.terms().address } else { Ipv4Addr::BROADCAST };
            let to = IpEndpoint::new(IpAddress::Ipv4(to), 68);
            let mut meta = UdpMetadata::from(to);
            meta.local_address = Some(IpAddress::Ipv4(HOST));
            if socket.send_slice(&answered.message, meta).is_ok() && answered.leased {
                self.shared.note(|seen| seen.leases += 1);
            }
        }
    }

    fn serve_dns(&mut self) {
        let mode = self.shared.modes().dns;
        let socket = self.sockets.get_mut::<Udp<'_>>(self.dns);
        while let Ok((query, from)) = socket.recv() {
            let Some((message, name)) = dns::answer(query, mode, HOST, |name| self.shared.knows(name)) else {
                continue;
            };
            self.shared.note(|seen| seen.names.push(name));
            if let Some(message) = message {
                // An answer for which the queue has no room is lost, as on any network: the guest asks again.
                let _ = socket.send_slice(&message, from.endpoint);
            }
        }
    }

    fn serve_ntp(&mut self) {
        let (mode, now) = (self.shared.modes().ntp, self.clock.now());
        let socket = self.sockets.get_mut::<Udp<'_>>(self.ntp);
        while let Ok((request, from)) = socket.recv() {
            self.shared.note(|seen| seen.time_requests += 1);
            if let Some(message) = ntp::answer(request, mode, now) {
                // An answer for which the queue has no room is lost, as on any network: the guest asks again.
                let _ = socket.send_slice(&message, from.endpoint);
            }
        }
    }
}
