//! The line to a gateway: a TCP proxy that can be cut and stalled.

use std::io::{Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicU8, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

/// The state of a line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Line {
    Up,
    /// Nothing arrives, and nothing is lost.
    Stalled,
    /// Connections are reset.
    Cut,
}

/// A line.
#[derive(Clone)]
pub struct Proxy {
    state: Arc<AtomicU8>,
    ends: Arc<Mutex<Vec<TcpStream>>>,
}

impl Proxy {
    /// Listens at an address and leads to another one.
    pub fn start(listen: SocketAddr, to: SocketAddr) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen)?;
        let proxy = Self { state: Arc::new(AtomicU8::new(Line::Up as u8)), ends: Arc::default() };
        let accepting = proxy.clone();
        thread::spawn(move || {
            for client in listener.incoming().flatten() {
                let proxy = accepting.clone();
                thread::spawn(move || proxy.carry(client, to));
            }
        });
        Ok(proxy)
    }

    fn is(&self, line: Line) -> bool {
        self.state.load(Ordering::SeqCst) == line as u8
    }

    /// Changes the line. What is cut comes back with new connections alone.
    pub fn set(&self, line: Line) {
        self.state.store(line as u8, Ordering::SeqCst);
        if line == Line::Cut {
            self.reset();
        }
    }

    /// Ends all connections.
    pub fn reset(&self) {
        let mut ends = self.ends.lock().expect("no panic");
        for end in ends.drain(..) {
            // It may have ended.
            let _ = end.shutdown(Shutdown::Both);
        }
    }

    fn carry(&self, client: TcpStream, to: SocketAddr) {
        while self.is(Line::Stalled) {
            thread::sleep(Duration::from_millis(10));
        }
        if self.is(Line::Cut) {
            return;
        }
        let Ok(server) = TcpStream::connect(to) else { return };
        let Ok([a, b, c, d]) = [&client, &server, &client, &server].try_map_clone() else { return };
        {
            let mut ends = self.ends.lock().expect("no panic");
            ends.retain(|end| end.peer_addr().is_ok());
            ends.extend([a, b]);
        }
        let back = self.clone();
        let backwards = thread::spawn(move || back.copy(d, c));
        self.copy(client, server);
        // Both directions are over then.
        let _ = backwards.join();
    }

    fn copy(&self, mut from: TcpStream, mut to: TcpStream) {
        let mut octets = [0; 16 * 1024];
        loop {
            let read = match from.read(&mut octets) {
                Ok(0) => {
                    // The other end may have gone.
                    let _ = to.shutdown(Shutdown::Write);
                    return;
                }
                Ok(read) => read,
                Err(_) => {
                    let _ = to.shutdown(Shutdown::Both);
                    return;
                }
            };
            while self.is(Line::Stalled) {
                thread::sleep(Duration::from_millis(10));
            }
            if to.write_all(&octets[..read]).is_err() {
                let _ = from.shutdown(Shutdown::Both);
                return;
            }
        }
    }
}

/// Clones streams.
trait TryMapClone {
    fn try_map_clone(&self) -> std::io::Result<[TcpStream; 4]>;
}

impl TryMapClone for [&TcpStream; 4] {
    fn try_map_clone(&self) -> std::io::Result<[TcpStream; 4]> {
        let [a, b, c, d] = self;
        Ok([a.try_clone()?, b.try_clone()?, c.try_clone()?, d.try_clone()?])
    }
}
