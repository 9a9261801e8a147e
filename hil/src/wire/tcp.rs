//! Connections of the guest, carried to servers on this machine.

use std::collections::BTreeMap;
use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};
use socket2::SockRef;

/// Connections that a port takes at once, before they are carried on.
const BACKLOG: usize = 4;
/// Octets on their way from the guest: what a small server has.
const FROM_GUEST: usize = 8 * 1024;
const TO_GUEST: usize = 64 * 1024;
/// A guest that does not acknowledge for so long is gone.
const TIMEOUT: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);

/// One connection, both halves of it.
struct Link {
    guest: SocketHandle,
    port: u16,
    server: TcpStream,
    connected: bool,
    /// The guest's end was passed on.
    guest_ended: bool,
    /// The server's end was passed on.
    server_ended: bool,
    /// So many octets of the server are still passed on.
    passes: Option<usize>,
    /// The server has reset it. What it said before that, an alert say, still reaches the guest.
    broken: bool,
}

/// What becomes of a link.
enum Fate {
    Goes,
    /// Both ended in order, and the guest knows.
    Over,
    /// One of the two was reset, or is gone.
    Reset,
}

/// All connections, and the ports that take more.
#[derive(Default)]
pub(super) struct Links {
    links: Vec<Link>,
    listening: Vec<(u16, SocketHandle)>,
    next: usize,
    /// Nothing of the guest is taken; its window closes.
    pub(super) deaf: bool,
    /// Connections so far, by port.
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

/// An end that the other side sees as a reset.
fn reset(stream: &TcpStream) {
    let _ = SockRef::from(stream).set_linger(Some(Duration::ZERO));
}

impl Links {
    /// Listens on the ports of the table and on no other; `first` is the first token that is free.
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

    /// Takes up what was connected to.
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
        let _ = server.set_nodelay(true);
        let (guest_ended, server_ended, passes, broken) = (false, false, None, false);
        Ok(Link { guest, port, server, connected: false, guest_ended, server_ended, passes, broken })
    }

    /// Moves what can be moved.
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
            let _ = registry.deregister(&mut link.server);
            false
        });
    }

    /// Removes sockets that nobody has any more.
    pub(super) fn sweep(&mut self, sockets: &mut SocketSet<'static>) {
        let held = |handle| {
            self.links.iter().any(|link| link.guest == handle) || self.listening.iter().any(|(_, own)| *own == handle)
        };
        let closed: Vec<_> = sockets
            .iter()
            .filter_map(|(handle, socket)| match socket {
                // An aborted socket has its reset to send first.
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

    /// Connections that there are pass on so many octets of their servers, and nothing behind them.
    pub(super) fn mute(&mut self, after: usize) {
        self.links.iter_mut().for_each(|link| link.passes = Some(after));
    }

    /// Resets what goes through a port, on both sides.
    pub(super) fn reset(&mut self, sockets: &mut SocketSet<'static>, port: Option<u16>, registry: &Registry) {
        self.links.retain_mut(|link| {
            if port.is_some_and(|port| port != link.port) {
                return true;
            }
            sockets.get_mut::<Socket<'_>>(link.guest).abort();
            reset(&link.server);
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
            // Reset by the guest, or given up.
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
                // After a reset that was told already.
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
