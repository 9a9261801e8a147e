//! Provides a network for one guest: a cable, and at its other end a host with DHCP, DNS, time, and ports that lead to
//! servers on this machine.
//!
//! No privilege is needed and no port is taken: frames are datagrams on a socket pair, and QEMU gets one end as its
//! standard input. Every part can be made to fail while the network runs.

mod addresses;
mod cable;
mod capture;
mod dhcp;
mod dns;
mod host;
mod ntp;
mod state;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::SocketAddr;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::Arc;
use std::thread::JoinHandle;

use mio::{Poll, Waker};

pub use addresses::{DEAD, GUEST, HOST, MOVED};
pub use dhcp::Dhcp;
pub use dns::Dns;
pub use ntp::Ntp;
pub use state::{Fault, Modes, Seen};

use cable::Cable;
use capture::Capture;
use host::{Host, WAKER};
use state::{Order, Shared, State};

/// QEMU arguments that connect the board's own network card to the cable that [`Wire::plug`] gives as standard input.
pub const QEMU_ARGUMENTS: [&str; 2] = ["-nic", "socket,fd=0"];

/// The initial settings of a network.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// The servers that the host's ports lead to. A port that is not listed resets.
    pub forwards: BTreeMap<u16, SocketAddr>,
    /// The host's names.
    pub names: BTreeSet<String>,
    /// The behaviour of the host's services.
    pub modes: Modes,
    /// The file that receives all frames.
    pub capture: Option<PathBuf>,
}

/// A running network; stopped when dropped.
pub struct Wire {
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    guest: UnixDatagram,
}

impl Wire {
    /// Starts a network.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (ours, guest) = UnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let Settings { forwards, names, modes, capture } = settings;
        let capture = capture.map(|file| Capture::create(&file)).transpose()?;
        let shared = Arc::new(Shared::new(State { forwards, names, modes, ..State::default() }));
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let cable = Cable::new(mio::net::UnixDatagram::from_std(ours), capture);
        let host = Host::new(poll, cable, Arc::clone(&shared), RandomState::new().hash_one(0))?;
        let thread = std::thread::Builder::new().name("wire".into()).spawn(move || host.run())?;
        Ok(Self { shared, waker, thread: Some(thread), guest })
    }

    /// Returns the guest's end, for one guest at a time. Frames for an earlier guest are discarded.
    ///
    /// # Errors
    /// Returns the error of the operating system.
    pub fn plug(&self) -> io::Result<OwnedFd> {
        self.guest.set_nonblocking(true)?;
        let mut frame = [0; 2048];
        while self.guest.recv(&mut frame).is_ok() {}
        Ok(self.guest.try_clone()?.into())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        // If the thread cannot be woken, it sees the change after `LONGEST_WAIT`.
        let _ = self.waker.wake();
    }

    /// Sets the server that a port leads to from now on; without one, the port resets. Open connections continue.
    pub fn set_forward(&self, port: u16, server: Option<SocketAddr>) {
        self.change(|state| {
            match server {
                Some(server) => state.forwards.insert(port, server),
                None => state.forwards.remove(&port),
            };
        });
    }

    /// Resets the connections of a port, or all connections, on both sides.
    pub fn reset(&self, port: Option<u16>) {
        self.change(|state| state.orders.push(Order::Reset(port)));
    }

    /// Sets the behaviour of the address service.
    pub fn set_dhcp(&self, mode: Dhcp) {
        self.change(|state| state.modes.dhcp = mode);
    }

    /// Sets the behaviour of the name service.
    pub fn set_dns(&self, mode: Dns) {
        self.change(|state| state.modes.dns = mode);
    }

    /// Sets the behaviour of the time service.
    pub fn set_ntp(&self, mode: Ntp) {
        self.change(|state| state.modes.ntp = mode);
    }

    /// Sets the seconds of the time server in each second.
    pub fn set_clock_rate(&self, rate: u32) {
        self.change(|state| state.orders.push(Order::ClockRate(rate)));
    }

    /// Sets the fault of the cable.
    pub fn set_cable(&self, fault: Fault) {
        self.change(|state| state.orders.push(Order::Fault(fault)));
    }

    /// Sets whether servers stop reading from the guest: its segments are acknowledged until the window closes
    /// (RFC 9293 section 3.8.6).
    pub fn set_deaf(&self, deaf: bool) {
        self.change(|state| state.orders.push(Order::Deaf(deaf)));
    }

    /// Limits the servers of open connections to this number of further octets.
    pub fn mute(&self, after: usize) {
        self.change(|state| state.orders.push(Order::Mute(after)));
    }

    /// Returns the guest's activity so far.
    pub fn seen(&self) -> Seen {
        self.shared.state().seen.clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.change(|state| state.orders.push(Order::Stop));
        if let Some(thread) = self.thread.take() {
            // A thread that panicked has said so on standard error.
            let _ = thread.join();
        }
    }
}
