//! `openssl s_server`, which takes one connection after the other and carries it to a service.

use std::io;
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::process::{Process, carry};
use super::{PATIENCE, free_port};

/// Between two looks whether a connection is over.
const GLANCE: Duration = Duration::from_millis(20);

struct Shared {
    /// Chain, key, roots.
    files: [PathBuf; 3],
    address: SocketAddr,
    target: SocketAddr,
    stop: AtomicBool,
    said: Mutex<String>,
}

/// A server that demands a certificate; it ends when this is dropped.
pub struct Openssl {
    shared: Arc<Shared>,
    thread: Option<JoinHandle<()>>,
}

impl Openssl {
    /// Shows a chain (PEM, leaf first) with its key, demands a certificate below `roots`, and carries whom it takes in to `target`.
    ///
    /// # Errors
    /// Where it cannot be started.
    pub fn start(chain: &Path, key: &Path, roots: &Path, target: SocketAddr) -> io::Result<Self> {
        let shared = Arc::new(Shared {
            files: [chain, key, roots].map(Path::to_owned),
            address: free_port(Ipv4Addr::LOCALHOST)?,
            target,
            stop: AtomicBool::new(false),
            said: Mutex::default(),
        });
        let first = shared.listen()?;
        let theirs = Arc::clone(&shared);
        let thread = std::thread::Builder::new().name("openssl".to_owned()).spawn(move || theirs.run(first))?;
        Ok(Self { shared, thread: Some(thread) })
    }

    /// Where it listens.
    pub fn address(&self) -> SocketAddr {
        self.shared.address
    }

    /// What it said of the connections that are over.
    pub fn log(&self) -> String {
        self.shared.said.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl Drop for Openssl {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

type Listening = (Process, std::process::ChildStdin, std::process::ChildStdout);

impl Shared {
    /// For one connection; it is known to listen when its port is taken.
    fn listen(&self) -> io::Result<Listening> {
        let mut command = Command::new("openssl");
        let [chain, key, roots] = &self.files;
        command.args(["s_server", "-quiet", "-naccept", "1", "-tls1_3", "-accept", &self.address.to_string()]);
        command.arg("-cert").arg(chain).arg("-key").arg(key).arg("-cert_chain").arg(chain).arg("-CAfile").arg(roots);
        command.args(["-Verify", "3", "-verify_return_error"]);
        let (mut process, input, output) = Process::piped(command)?;
        let until = std::time::Instant::now() + PATIENCE;
        while std::net::TcpListener::bind(self.address).is_ok() {
            if process.has_ended() || std::time::Instant::now() > until {
                return Err(io::Error::other(format!("openssl s_server: {}", process.said())));
            }
            std::thread::sleep(GLANCE);
        }
        Ok((process, input, output))
    }

    fn stopped(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }

    fn run(&self, first: Listening) {
        let mut next = Ok(first);
        while let Ok((mut process, input, output)) = next {
            let Ok(service) = TcpStream::connect(self.target) else { return };
            let Ok((there, back)) = service.try_clone().and_then(|there| Ok((there, service.try_clone()?))) else {
                return;
            };
            std::thread::scope(|scope| {
                scope.spawn(move || {
                    carry(output, &there);
                    let _ = there.shutdown(Shutdown::Write);
                });
                // s_server knows no end of its input but its own: that of the service is not passed on.
                scope.spawn(|| carry(back, &input));
                while !process.has_ended() && !self.stopped() {
                    std::thread::sleep(GLANCE);
                }
                process.kill();
                let _ = service.shutdown(Shutdown::Both);
            });
            self.said.lock().unwrap_or_else(PoisonError::into_inner).push_str(&process.said());
            if self.stopped() {
                return;
            }
            next = self.listen();
        }
    }
}
