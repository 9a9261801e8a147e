//! TCP connections of the guest, carried to services on loopback: half-close, reset and backpressure both ways.

use std::collections::BTreeMap;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr};
use std::time::Duration;

use mio::net::TcpStream;
use mio::{Interest, Registry, Token};
use smoltcp::iface::{SocketHandle, SocketSet};
use smoltcp::socket::tcp::{Socket, SocketBuffer, State};

/// Octets of each buffer: what is on its way at the most.
const BUFFER: usize = 64 * 1024;
/// How long a service on loopback may take to accept.
const CONNECT: Duration = Duration::from_secs(1);
/// A guest that does not acknowledge for so long is gone.
const GONE: smoltcp::time::Duration = smoltcp::time::Duration::from_secs(60);

/// One connection.
struct Connection {
    handle: SocketHandle,
    target: SocketAddr,
    stream: Option<TcpStream>,
    /// The guest has said all.
    guest_done: bool,
    /// The service has said all.
    service_done: bool,
}

/// All of them, and the sockets that wait for more.
#[derive(Default)]
pub(super) struct Relay {
    listeners: BTreeMap<u16, (SocketHandle, SocketAddr)>,
    connections: Vec<Connection>,
    pub(super) opened: u64,
}

impl Relay {
    /// One listening socket a port; those that a guest connected to become connections.
    pub(super) fn listen(&mut self, sockets: &mut SocketSet<'_>, forwards: &BTreeMap<u16, SocketAddr>) {
        self.listeners.retain(|port, (handle, target)| {
            if !sockets.get::<Socket<'_>>(*handle).is_listening() {
                let (handle, target) = (*handle, *target);
                let connection = Connection { handle, target, stream: None, guest_done: false, service_done: false };
                self.connections.push(connection);
                return false;
            }
            let kept = forwards.get(port);
            if let Some(now) = kept {
                *target = *now;
            } else {
                sockets.remove(*handle);
            }
            kept.is_some()
        });
        for (port, target) in forwards {
            self.listeners.entry(*port).or_insert_with(|| {
                let [receive, send] = [(); 2].map(|()| SocketBuffer::new(vec![0; BUFFER]));
                let mut socket = Socket::new(receive, send);
                socket.set_timeout(Some(GONE));
                socket.set_nagle_enabled(false);
                socket.set_ack_delay(None);
                socket.listen(*port).expect("a new socket listens on a port that is not 0");
                (sockets.add(socket), *target)
            });
        }
    }

    /// Moves what can be moved.
    pub(super) fn pump(&mut self, sockets: &mut SocketSet<'_>, registry: &Registry, token: Token) {
        let opened = &mut self.opened;
        self.connections.retain_mut(|connection| {
            let kept = connection.pump(sockets.get_mut(connection.handle), registry, token, opened);
            if !kept {
                sockets.remove(connection.handle);
            }
            kept
        });
    }
}

impl Connection {
    /// False when it is over, and nothing is left to be sent.
    fn pump(&mut self, socket: &mut Socket<'_>, registry: &Registry, token: Token, opened: &mut u64) -> bool {
        match socket.state() {
            State::SynReceived => return true,
            // A half-open connection was reset: the socket waits again, and another has its place.
            State::Listen => {
                socket.abort();
                return false;
            }
            State::Closed if self.stream.is_none() => return false,
            _ => {}
        }
        if self.stream.is_none() && !self.service_done {
            self.stream = open(self.target, registry, token);
            if self.stream.is_none() {
                self.service_done = true;
                socket.abort();
                return true;
            }
            *opened += 1;
        }
        let Some(stream) = &mut self.stream else { return socket.state() != State::Closed };
        let fine = to_service(socket, stream).is_ok()
            && (self.service_done || to_guest(socket, stream, &mut self.service_done));
        if !fine {
            socket.abort();
        } else if socket.state() == State::Closed && !(self.guest_done && self.service_done) {
            // The guest reset it, or is gone.
            let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
        } else {
            if !self.guest_done
                && matches!(socket.state(), State::CloseWait | State::TimeWait | State::Closing | State::LastAck)
                && !socket.can_recv()
            {
                self.guest_done = true;
                let _ = stream.shutdown(Shutdown::Write);
            }
            let over = matches!(socket.state(), State::Closed | State::TimeWait);
            if !over {
                return true;
            }
        }
        self.stream = None;
        self.service_done = true;
        // A reset is still to be sent, or the last acknowledgement may have to be sent again.
        socket.state() != State::Closed || socket.remote_endpoint().is_some()
    }
}

fn open(target: SocketAddr, registry: &Registry, token: Token) -> Option<TcpStream> {
    let stream = std::net::TcpStream::connect_timeout(&target, CONNECT).ok()?;
    stream.set_nodelay(true).ok()?;
    stream.set_nonblocking(true).ok()?;
    let mut stream = TcpStream::from_std(stream);
    registry.register(&mut stream, token, Interest::READABLE | Interest::WRITABLE).ok()?;
    Some(stream)
}

/// What the guest sent, as far as the service takes it.
fn to_service(socket: &mut Socket<'_>, stream: &mut TcpStream) -> Result<(), ()> {
    while socket.can_recv() {
        let written = socket.recv(|octets| match stream.write(octets) {
            Ok(count) => (count, Ok(true)),
            Err(error) if error.kind() == ErrorKind::WouldBlock => (0, Ok(false)),
            Err(error) if error.kind() == ErrorKind::Interrupted => (0, Ok(true)),
            Err(_) => (0, Err(())),
        });
        if !written.map_err(|_| ())?? {
            break;
        }
    }
    Ok(())
}

/// What the service said, as far as there is room; false where it was reset.
fn to_guest(socket: &mut Socket<'_>, stream: &mut TcpStream, done: &mut bool) -> bool {
    while socket.can_send() {
        let read = socket.send(|room| match stream.read(room) {
            Ok(0) => (0, Ok(None)),
            Ok(count) => (count, Ok(Some(true))),
            Err(error) if error.kind() == ErrorKind::WouldBlock => (0, Ok(Some(false))),
            Err(error) if error.kind() == ErrorKind::Interrupted => (0, Ok(Some(true))),
            Err(_) => (0, Err(())),
        });
        match read {
            Ok(Ok(Some(true))) => {}
            Ok(Ok(Some(false))) => break,
            Ok(Ok(None)) => {
                *done = true;
                socket.close();
                break;
            }
            Ok(Err(())) | Err(_) => return false,
        }
    }
    true
}
