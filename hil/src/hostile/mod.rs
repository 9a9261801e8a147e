//! Provides a TLS 1.3 server with exactly one fault, which records its clients' behaviour, and a client of the same
//! kind.
//!
//! TLS_AES_128_GCM_SHA256 and secp256r1 only. The server requests a client certificate in every mode: a client that
//! shows one, or sends application data, to a server that it should have refused has failed.

mod chains;
pub mod client;
mod clients;
mod keys;
mod messages;
mod modes;
mod seen;
mod session;
mod step;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;
use std::thread::JoinHandle;

use crate::pki::Pki;
pub use clients::{ClientMode, clients};
pub use modes::{Expected, MODES, Mode, mode};
pub use seen::Seen;
use seen::Shared;
use session::{Credentials, Session};

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
        let shared = Arc::new(Shared::default());
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

    /// Stops when the last client is gone, and returns all that the clients did.
    pub fn finish(self) -> Seen {
        let shared = Arc::clone(&self.shared);
        drop(self);
        shared.seen().clone()
    }

    /// Returns the clients' behaviour so far.
    pub fn seen(&self) -> Seen {
        self.shared.seen().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stop();
        // The thread waits for the next connection; if this fails, its listener is gone and so is the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}
