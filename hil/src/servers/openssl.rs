//! Runs `openssl s_server`, one process for each connection, and forwards the accepted clients to a service.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::process::{Process, carry};
use super::{PATIENCE, free_port};
use crate::log::Log;

/// The interval between two checks whether a connection is over.
const GLANCE: Duration = Duration::from_millis(10);

struct Shared {
    /// Chain, key, roots.
    files: [PathBuf; 3],
    target: SocketAddr,
    stop: AtomicBool,
    /// The failures to start a connection.
    said: Mutex<String>,
    /// The log of each connection.
    logs: Mutex<Vec<Arc<Log>>>,
}

/// A server that requires client certificates; stopped when dropped.
pub struct Openssl {
    address: SocketAddr,
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Openssl {
    /// Starts a server that shows a chain (PEM, leaf first) with its key, requires a client certificate below `roots`,
    /// and forwards accepted clients to `target`.
    ///
    /// # Errors
    /// `Unsupported` if there is no openssl; fails if no socket or thread can be created.
    pub fn start(chain: &Path, key: &Path, roots: &Path, target: SocketAddr) -> io::Result<Self> {
        let mut version = Command::new("openssl");
        version.arg("version");
        Process::start(version)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0))?;
        let address = listener.local_addr()?;
        let files = [chain, key, roots].map(Path::to_owned);
        let shared = Arc::new(Shared {
            files,
            target,
            stop: AtomicBool::new(false),
            said: Mutex::default(),
            logs: Mutex::default(),
        });
        let theirs = Arc::clone(&shared);
        // Each s_server ends with its only connection, and its own port would be deaf for a while after each.
        let thread = std::thread::Builder::new().name("openssl".to_owned()).spawn(move || {
            std::thread::scope(|scope| {
                for stream in listener.incoming() {
                    if theirs.stopped() {
                        return;
                    }
                    if let Ok(stream) = stream {
                        let shared = &theirs;
                        scope.spawn(move || {
                            if let Err(error) = shared.serve(&stream) {
                                shared.note(&format!("{error}\n"));
                            }
                            // The client may have ended the connection before.
                            let _ = stream.shutdown(Shutdown::Both);
                        });
                    }
                }
            });
        })?;
        Ok(Self { address, shared, thread: Some(thread) })
    }

    /// Returns the address of the listener.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Returns the log of all connections.
    pub fn log(&self) -> String {
        let mut said = self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).clone();
        for log in self.shared.logs.lock().unwrap_or_else(PoisonError::into_inner).iter() {
            said.extend(log.lines(0).into_iter().map(|line| line.text + "\n"));
        }
        said
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        // The thread waits for the next connection; if this fails, its listener is gone and so is the thread.
        let _ = TcpStream::connect(self.address);
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}

impl Shared {
    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn note(&self, said: &str) {
        self.said.lock().unwrap_or_else(PoisonError::into_inner).push_str(said);
    }

    fn command(&self, address: SocketAddr) -> Command {
        let mut command = Command::new("openssl");
        let [chain, key, roots] = &self.files;
        command.args(["s_server", "-quiet", "-naccept", "1", "-tls1_3", "-accept", &address.to_string()]);
        command.arg("-cert").arg(chain).arg("-key").arg(key).arg("-cert_chain").arg(chain).arg("-CAfile").arg(roots);
        command.args(["-Verify", "3", "-verify_return_error"]);
        command
    }

    fn serve(&self, client: &TcpStream) -> io::Result<()> {
        let address = free_port(Ipv4Addr::LOCALHOST)?;
        let (mut process, input, output) = Process::piped(self.command(address))?;
        self.logs.lock().unwrap_or_else(PoisonError::into_inner).push(Arc::clone(process.log()));
        let until = Instant::now() + PATIENCE;
        // A probe by connecting would use up the process's only connection.
        while TcpListener::bind(address).is_ok() {
            if process.has_ended() || Instant::now() > until {
                return Err(io::Error::other(format!("openssl s_server: {}", process.said())));
            }
            std::thread::sleep(GLANCE);
        }
        let (server, service) = (TcpStream::connect(address)?, TcpStream::connect(self.target)?);
        std::thread::scope(|scope| {
            scope.spawn(|| {
                carry(client, &server);
                // The other side may have ended the connection before; this holds for every end here.
                let _ = server.shutdown(Shutdown::Write);
            });
            scope.spawn(|| {
                carry(&server, client);
                // As above.
                let _ = client.shutdown(Shutdown::Write);
            });
            scope.spawn(|| {
                carry(output, &service);
                // As above.
                let _ = service.shutdown(Shutdown::Write);
            });
            // s_server recognises no end of input but its own, so the service's end is not forwarded.
            scope.spawn(|| carry(&service, &input));
            while !process.has_ended() && !self.stopped() {
                std::thread::sleep(GLANCE);
            }
            process.kill();
            for stream in [&server, &service] {
                // As above; this ends the threads that still read.
                let _ = stream.shutdown(Shutdown::Both);
            }
            // As above.
            let _ = client.shutdown(Shutdown::Read);
        });
        Ok(())
    }
}
