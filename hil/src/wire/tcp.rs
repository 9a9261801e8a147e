//! Carries the guest's connections to servers on this machine.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use socket2::SockRef;

/// The number of connections that a port accepts at once, before they are forwarded.
const BACKLOG: usize = 4;
/// The size of the buffer from the guest in octets, as small servers have it.
const FROM_GUEST: usize = 8 * 1024;
const TO_GUEST: usize = 64 * 1024;
/// The time after which a guest that does not acknowledge is given up.
const TIMEOUT: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);

/// One connection with its two halves.
struct Link {
    guest: SocketHandle,
    port: u16,
    server: TcpStream,
    connected: bool,
    /// True if the guest's end of stream was forwarded.
    guest_ended: bool,
    /// True if the server's end of stream was forwarded.
    server_ended: bool,
    /// The number of further octets of the server to forward; `None`: no limit.
    passes: Option<usize>,
    /// True if the server has reset the connection. Octets from before the reset, such as an alert, still reach the
    /// guest.
    broken: bool,
}

/// The state of a link after a round of forwarding.
enum Fate {
    Goes,
    /// Both sides ended in order, and the guest has been told.
    Over,
    /// One side was reset or is gone.
    Reset,
}

/// All connections, and the ports that accept more.
#[derive(Default)]
pub(super) struct Links {
    links: Vec<Link>,
    listening: Vec<(u16, SocketHandle)>,
    next: usize,
    /// True if nothing is read from the guest, so that its window closes.
    pub(super) deaf: bool,
    /// The number of accepted connections, by port.
    pub(super) accepted: BTreeMap<u16, usize>,
}

fn listen(port: u16) -> Option<Socket<'static>> {
    let [from, to] = [FROM_GUEST, TO_GUEST].map(|octets| SocketBuffer::new(vec![0; octets]));
    let mut socket = Socket::new(from, to);
    socket.set_nagle_enabled(false);
    socket.set_timeout(Some(TIMEOUT));
    socket.listen(port).ok()?;
    Some(socket)
}

/// Makes the other side see the end of this stream as a reset.
fn reset(stream: &TcpStream) {
    // It fails only on a stream that is closed already.
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

impl Links {
    /// Listens on exactly the ports of the table.
    pub(super) fn listen(&mut self, sockets: &mut SocketSet<'static>, table: &BTreeMap<u16, SocketAddr>) {
        self.listening.retain(|(port, handle)| {
            let waits = sockets.get::<Socket<'_>>(*handle).state() == State::Listen;
            let kept = !waits || table.contains_key(port);
            if !kept {
                sockets.remove(*handle);
            }
            kept
        });
        for port in table.keys() {
            let count = |(listening, handle): &&(u16, SocketHandle)| {
                listening == port && sockets.get::<Socket<'_>>(*handle).state() == State::Listen
            };
            for _ in self.listening.iter().filter(count).count()..BACKLOG {
                if let Some(socket) = listen(*port) {
                    self.listening.push((*port, sockets.add(socket)));
                }
            }
        }
    }

    /// Accepts the guest's new connections; `first` is the first token of a connection.
    pub(super) fn accept(
        &mut self,
        sockets: &mut SocketSet<'static>,
        table: &BTreeMap<u16, SocketAddr>,
        registry: &Registry,
        first: usize,
    ) {
        let mut kept = Vec::new();
        for (port, handle) in std::mem::take(&mut self.listening) {
            match sockets.get::<Socket<'_>>(handle).state() {
                State::Listen | State::SynReceived => kept.push((port, handle)),
                State::Closed => drop(sockets.remove(handle)),
                _ => {
                    *self.accepted.entry(port).or_default() += 1;
                    match self.connect(port, handle, table, registry, first) {
                        Ok(link) => self.links.push(link),
                        Err(_) => sockets.get_mut::<Socket<'_>>(handle).abort(),
                    }
                }
            }
        }
        self.listening = kept;
    }

    fn connect(
        &mut self,
        port: u16,
        guest: SocketHandle,
        table: &BTreeMap<u16, SocketAddr>,
        registry: &Registry,
        first: usize,
    ) -> io::Result<Link> {
        let address = table.get(&port).ok_or(ErrorKind::ConnectionRefused)?;
        let mut server = TcpStream::connect(*address)?;
        let token = Token(first + self.next);
        self.next += 1;
        registry.register(&mut server, token, Interest::READABLE | Interest::WRITABLE)?;
        // Without it octets come later, and are the same.
        let _ = server.set_nodelay(true);
        let (guest_ended, server_ended, passes, broken) = (false, false, None, false);
        Ok(Link { guest, port, server, connected: false, guest_ended, server_ended, passes, broken })
    }

    /// Forwards all octets that can be forwarded.
    pub(super) fn pump(&mut self, sockets: &mut SocketSet<'static>, registry: &Registry) {
        let deaf = self.deaf;
        self.links.retain_mut(|link| {
            let guest = sockets.get_mut::<Socket<'_>>(link.guest);
            match link.pump(guest, deaf) {
                Fate::Goes => return true,
                Fate::Reset => {
                    reset(&link.server);
                    guest.abort();
                }
                Fate::Over => {}
            }
            // The stream is closed next, which ends its registration in any case.
            let _ = registry.deregister(&mut link.server);
            false
        });
    }

    /// Removes sockets without an owner.
    pub(super) fn sweep(&mut self, sockets: &mut SocketSet<'static>) {
        let held = |handle| {
            self.links.iter().any(|link| link.guest == handle) || self.listening.iter().any(|(_, own)| *own == handle)
        };
        let closed: Vec<_> = sockets
            .iter()
            .filter_map(|(handle, socket)| match socket {
                // An aborted socket must first send its reset.
                smoltcp::socket::Socket::Tcp(tcp)
                    if tcp.state() == State::Closed && tcp.remote_endpoint().is_none() && !held(handle) =>
                {
                    Some(handle)
                }
                _ => None,
            })
            .collect();
        for handle in closed {
            sockets.remove(handle);
        }
    }

    /// Limits each open connection to this number of further octets from its server.
    pub(super) fn mute(&mut self, after: usize) {
        self.links.iter_mut().for_each(|link| link.passes = Some(after));
    }

    /// Resets the connections of a port on both sides.
    pub(super) fn reset(&mut self, sockets: &mut SocketSet<'static>, port: Option<u16>, registry: &Registry) {
        self.links.retain_mut(|link| {
            if port.is_some_and(|port| port != link.port) {
                return true;
            }
            sockets.get_mut::<Socket<'_>>(link.guest).abort();
            reset(&link.server);
            // The stream is closed next, which ends its registration in any case.
            let _ = registry.deregister(&mut link.server);
            false
        });
    }
}

impl Link {
    fn pump(&mut self, guest: &mut Socket<'static>, deaf: bool) -> Fate {
        if !self.connected {
            match self.server.take_error() {
                Ok(None) => {}
                Ok(Some(_)) | Err(_) => return Fate::Reset,
            }
            match self.server.peer_addr() {
                Ok(_) => self.connected = true,
                Err(_) => return Fate::Goes,
            }
        }
        if !deaf && !self.broken {
            self.broken = self.guest_to_server(guest).is_err();
        }
        self.broken |= self.server_to_guest(guest).is_err();
        if self.broken {
            return if guest.may_send() && guest.send_queue() > 0 { Fate::Goes } else { Fate::Reset };
        }
        match guest.state() {
            State::Closed | State::TimeWait if self.guest_ended && self.server_ended => Fate::Over,
            // The guest reset the connection, or was given up.
            State::Closed => Fate::Reset,
            _ => Fate::Goes,
        }
    }

    fn guest_to_server(&mut self, guest: &mut Socket<'static>) -> io::Result<()> {
        while guest.can_recv() {
            let written = guest.recv(|octets| match self.server.write(octets) {
                Ok(count) => (count, Ok(count)),
                Err(error) => (0, Err(error)),
            });
            match written {
                Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                Ok(Ok(0)) | Err(_) => break,
                Ok(Ok(_)) => {}
            }
        }
        let ended = matches!(guest.state(), State::CloseWait | State::LastAck | State::Closing | State::TimeWait);
        if ended && !self.guest_ended && guest.recv_queue() == 0 {
            self.guest_ended = true;
            self.server.shutdown(Shutdown::Write)?;
        }
        Ok(())
    }

    fn server_to_guest(&mut self, guest: &mut Socket<'static>) -> io::Result<()> {
        while !self.server_ended && guest.can_send() && self.passes != Some(0) {
            let passes = self.passes.unwrap_or(usize::MAX);
            let read = guest.send(|room| {
                let count = room.len().min(passes);
                match self.server.read(&mut room[..count]) {
                    Ok(count) => (count, Ok(count)),
                    Err(error) => (0, Err(error)),
                }
            });
            match read {
                Ok(Err(error)) if error.kind() == ErrorKind::WouldBlock => return Ok(()),
                Ok(Err(error)) if error.kind() == ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Err(error),
                // The reset was already reported.
                Ok(Ok(0)) if self.broken => break,
                Ok(Ok(0)) => {
                    self.server_ended = true;
                    guest.close();
                }
                Ok(Ok(count)) => self.passes = self.passes.map(|passes| passes.saturating_sub(count)),
                Err(_) => break,
            }
        }
        Ok(())
    }
}
