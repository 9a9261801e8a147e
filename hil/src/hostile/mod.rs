//! Provides a TLS 1.3 server with exactly one fault, which records its clients' behaviour, and a client of the same
//! kind.
//!
//! TLS_AES_128_GCM_SHA256 and secp256r1 only. The server requests a client certificate in every mode: a client that
//! shows one, or sends application data, to a server that it should have refused has failed.

mod chains;
pub mod client;
mod keys;
mod messages;
mod modes;
mod session;
mod step;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use crate::pki::Pki;
pub use modes::{Expected, MODES, Mode, mode};
use session::{Credentials, Session};

/// The clients' recorded behaviour, over all connections.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Seen {
    /// The number of accepted connections.
    pub connections: usize,
    /// The number of connections with a ClientHello.
    pub hellos: usize,
    /// The clients' alerts: level and description (RFC 8446 section 6).
    pub alerts: Vec<(u8, u8)>,
    /// The number of client certificates received.
    pub certificates: usize,
    /// The number of connections with a correct client Finished.
    pub finished: usize,
    /// The received application data.
    pub application_data: Vec<u8>,
}

impl Seen {
    /// Returns whether a client disclosed its certificate or its data.
    pub fn gave_away(&self) -> bool {
        self.certificates > 0 || !self.application_data.is_empty()
    }
}

struct Shared {
    seen: Mutex<Seen>,
    stop: AtomicBool,
}

impl Shared {
    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

/// A server on loopback that serves one connection after the other; stopped when dropped.
pub struct Server {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Server {
    /// Starts a server for this mode and server name.
    ///
    /// # Errors
    /// Fails if no socket or thread can be created.
    pub fn start(mode: &'static Mode, pki: &Pki, name: &str) -> io::Result<Self> {
        let credentials = Credentials::new(mode, pki, name);
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let shared = Arc::new(Shared { seen: Mutex::default(), stop: AtomicBool::new(false) });
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name(format!("hostile {}", mode.name)).spawn(move || {
            for stream in listener.incoming() {
                if theirs.stopped() {
                    return;
                }
                let Ok(stream) = stream else { continue };
                theirs.seen().connections += 1;
                Session::new(stream, &credentials, &theirs).run(mode);
            }
        })?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Returns the address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the clients' behaviour so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The thread waits for the next connection.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
