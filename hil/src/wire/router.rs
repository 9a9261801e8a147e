//! The thread behind a wire: a stack as [`HOST`], its servers, its relay.

use std::collections::BTreeMap;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mio::{Events, Interest, Poll, Token, Waker};
use smoltcp::iface::{Config, Interface, PollIngressSingleResult, SocketHandle, SocketSet};
use smoltcp::socket::udp::{PacketBuffer, PacketMetadata, Socket, UdpMetadata};
use smoltcp::time::Instant;
use smoltcp::wire::{EthernetAddress, HardwareAddress, IpAddress, IpCidr, IpEndpoint, Ipv4Address};

use super::link::Link;
use super::relay::Relay;
use super::{Dhcp, HOST, Shared, dhcp, dns, lock, sntp};

const FRAMES: Token = Token(0);
const WAKER: Token = Token(1);
const STREAMS: Token = Token(2);

/// The thread looks around this often, whatever happens.
const LONGEST_SLEEP: Duration = Duration::from_millis(100);
/// Frames that are taken in one turn.
const TURN: usize = 64;

pub(super) struct Router {
    link: Link,
    state: Shared,
    poll: Poll,
    interface: Interface,
    sockets: SocketSet<'static>,
    relay: Relay,
    dhcp: SocketHandle,
    dns: SocketHandle,
    sntp: SocketHandle,
    frames: u64,
    begun: std::time::Instant,
}

impl Router {
    pub(super) fn new(mut link: Link, state: Shared) -> io::Result<(Self, Arc<Waker>)> {
        let poll = Poll::new()?;
        poll.registry().register(&mut link.socket, FRAMES, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(poll.registry(), WAKER)?);
        let address = HardwareAddress::Ethernet(EthernetAddress([0x52, 0x55, 0x0a, 0x00, 0x02, 0x02]));
        let mut config = Config::new(address);
        // Initial sequence numbers differ from run to run.
        let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
        config.random_seed = u64::from(since.subsec_nanos()) << 32 | u64::from(std::process::id());
        let mut interface = Interface::new(config, &mut link, Instant::ZERO);
        interface.update_ip_addrs(|addresses| {
            let _ = addresses.push(IpCidr::new(IpAddress::Ipv4(HOST), 24));
        });
        let mut sockets = SocketSet::new(Vec::new());
        let [dhcp, dns, sntp] = [67, 53, 123].map(|port| sockets.add(server(port)));
        let (relay, begun) = (Relay::default(), std::time::Instant::now());
        let router = Self { link, state, poll, interface, sockets, relay, dhcp, dns, sntp, frames: 0, begun };
        Ok((router, waker))
    }

    fn now(&self) -> Instant {
        Instant::from_micros(i64::try_from(self.begun.elapsed().as_micros()).unwrap_or(i64::MAX))
    }

    /// Until it is told to stop.
    pub(super) fn run(mut self) {
        let mut events = Events::with_capacity(16);
        loop {
            let (stop, forwards) = {
                let state = lock(&self.state);
                (state.stop, state.settings.forwards.clone())
            };
            if stop {
                return;
            }
            let more = self.turn(&forwards);
            let delay = self.interface.poll_delay(self.now(), &self.sockets).map(Duration::from);
            let delay = if more { Duration::ZERO } else { delay.unwrap_or(LONGEST_SLEEP).min(LONGEST_SLEEP) };
            // An interruption is as good as an event.
            let _ = self.poll.poll(&mut events, Some(delay));
        }
    }

    /// True where there may be more frames at once.
    fn turn(&mut self, forwards: &BTreeMap<u16, SocketAddr>) -> bool {
        self.relay.listen(&mut self.sockets, forwards);
        let mut taken = 0;
        while taken < TURN
            && let Some(frame) = self.link.next()
        {
            taken += 1;
            lock(&self.state).counts.frames += 1;
            if self.passes() {
                self.link.hand_in(frame);
                let now = self.now();
                let result = self.interface.poll_ingress_single(now, &mut self.link, &mut self.sockets);
                // The next frame may ask for the same port.
                if matches!(result, PollIngressSingleResult::SocketStateChanged) {
                    self.relay.listen(&mut self.sockets, forwards);
                }
            }
        }
        self.serve();
        self.relay.pump(&mut self.sockets, self.poll.registry(), STREAMS);
        lock(&self.state).counts.connections = self.relay.opened;
        let now = self.now();
        self.interface.poll(now, &mut self.link, &mut self.sockets);
        while let Some(frame) = self.link.take_out() {
            if self.passes() {
                self.link.send(&frame);
            }
        }
        taken == TURN
    }

    /// Whether a frame gets through.
    fn passes(&mut self) -> bool {
        self.frames += 1;
        let mut state = lock(&self.state);
        let dropped = state.cut || state.drop_every.is_some_and(|nth| self.frames.is_multiple_of(nth));
        state.counts.dropped += u64::from(dropped);
        !dropped
    }

    fn serve(&mut self) {
        let settings = lock(&self.state).settings.clone();
        let awake = match settings.dhcp {
            Dhcp::Answers => true,
            Dhcp::Silent => false,
            Dhcp::From(instant) => std::time::Instant::now() >= instant,
        };
        let everyone = IpEndpoint::new(IpAddress::Ipv4(Ipv4Address::BROADCAST), 68);
        let dhcp = |request: &[u8]| awake.then(|| dhcp::answer(request)).flatten();
        let count = answer(self.sockets.get_mut(self.dhcp), Some(everyone), dhcp);
        lock(&self.state).counts.dhcp += count;
        let names = |request: &[u8]| dns::answer(request, &settings.names, settings.dns);
        let count = answer(self.sockets.get_mut(self.dns), None, names);
        lock(&self.state).counts.dns += count;
        let time = |request: &[u8]| sntp::answer(request, settings.sntp, SystemTime::now());
        let count = answer(self.sockets.get_mut(self.sntp), None, time);
        lock(&self.state).counts.sntp += count;
    }
}

fn server(port: u16) -> Socket<'static> {
    let [receive, send] = [(); 2].map(|()| PacketBuffer::new(vec![PacketMetadata::EMPTY; 16], vec![0; 16 * 1024]));
    let mut socket = Socket::new(receive, send);
    socket.bind(port).expect("a new socket binds to a port that is not 0");
    socket
}

/// Answers all requests that are there, to whoever asked or to `everyone`; how many there were.
fn answer(
    socket: &mut Socket<'_>,
    everyone: Option<IpEndpoint>,
    mut with: impl FnMut(&[u8]) -> Option<Vec<u8>>,
) -> u64 {
    let mut count = 0;
    while let Ok((request, from)) = socket.recv() {
        count += 1;
        if let Some(reply) = with(request) {
            let to = UdpMetadata::from(everyone.unwrap_or(from.endpoint));
            // One that finds no room is lost, as datagrams are.
            let _ = socket.send_slice(&reply, to);
        }
    }
    count
}
