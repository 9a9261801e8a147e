//! Runs real peers of a device, as processes and threads that end with their owner.

mod est;
mod gateway;
mod openssl;
mod process;
mod service;
mod step_ca;

use std::io;
use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::time::Duration;

pub use est::Est;
pub use gateway::{Gateway, program};
pub use openssl::Openssl;
pub use process::Process;
pub use service::{Answers, Post, Service};
pub use step_ca::StepCa;

/// The time limit for a server to be ready; only a faulty server takes this long.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// Returns the top folder of the repository.
fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.parent().unwrap_or(here).to_owned()
}

/// Returns a port that is free at the moment.
fn free_port(address: Ipv4Addr) -> io::Result<SocketAddr> {
    TcpListener::bind((address, 0))?.local_addr()
}
