//! A network for one guest: a cable, and at its other end a host with DHCP, DNS, time, and ports that lead to servers on this machine.
//!
//! No right of the system is needed and no port is taken: frames are datagrams on a pair of sockets, and QEMU is given one end as its
//! standard input. All of it can be made to fail while it runs.

mod cable;
mod capture;
mod dhcp;
mod dns;
mod host;
mod ntp;
mod tcp;

use std::collections::{BTreeMap, BTreeSet};
use std::hash::{BuildHasher, RandomState};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixDatagram;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;

use mio::{Poll, Waker};
use serde::Deserialize;

pub use dhcp::Dhcp;
pub use dns::Dns;
pub use ntp::Ntp;

use cable::Cable;
use capture::Capture;
use host::{Host, WAKER};

/// The host's address: router, name server, time server, and every server behind a port.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);
/// The guest's, by DHCP.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);

/// For QEMU's command line: the board's own network card at the cable that [`Wire::plug`] gives as standard input.
pub const QEMU_ARGUMENTS: [&str; 2] = ["-nic", "socket,fd=0"];

/// What is wrong with the cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// Nothing.
    #[default]
    None,
    /// No frame gets through.
    Cut,
    /// One of so many frames is lost, each time the same ones.
    LoseOneIn(u32),
}

/// How the host's services behave.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Modes {
    /// Addresses.
    pub dhcp: Dhcp,
    /// Names.
    pub dns: Dns,
    /// Time.
    pub ntp: Ntp,
}

/// How it begins.
#[derive(Clone, Debug, Default)]
pub struct Settings {
    /// Where the host's ports lead to. A port that is not here resets.
    pub forwards: BTreeMap<u16, SocketAddr>,
    /// Names of the host.
    pub names: BTreeSet<String>,
    /// The host's services.
    pub modes: Modes,
    /// A file for all frames.
    pub capture: Option<PathBuf>,
}

/// What the guest did.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// DHCP messages.
    pub dhcp_requests: usize,
    /// Addresses given.
    pub leases: usize,
    /// Names that were asked for.
    pub names: Vec<String>,
    /// Requests for the time.
    pub time_requests: usize,
    /// Connections, by port.
    pub connections: BTreeMap<u16, usize>,
}

enum Order {
    Stop,
    Deaf(bool),
    Mute(usize),
    Fault(Fault),
    ClockRate(u32),
    Reset(Option<u16>),
}

#[derive(Default)]
struct State {
    forwards: BTreeMap<u16, SocketAddr>,
    names: BTreeSet<String>,
    modes: Modes,
    orders: Vec<Order>,
    seen: Seen,
}

#[derive(Default)]
struct Shared(Mutex<State>);

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.state().orders)
    }

    fn forwards(&self) -> BTreeMap<u16, SocketAddr> {
        self.state().forwards.clone()
    }

    fn modes(&self) -> Modes {
        self.state().modes
    }

    fn knows(&self, name: &str) -> bool {
        self.state().names.contains(name)
    }

    fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.state().seen);
    }
}

/// A running network; it ends when this is dropped.
pub struct Wire {
    shared: Arc<Shared>,
    waker: Waker,
    thread: Option<JoinHandle<()>>,
    guest: UnixDatagram,
}

impl Wire {
    /// A network, running.
    ///
    /// # Errors
    /// The system's.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let (ours, guest) = UnixDatagram::pair()?;
        ours.set_nonblocking(true)?;
        let Settings { forwards, names, modes, capture } = settings;
        let capture = capture.map(|file| Capture::create(&file)).transpose()?;
        let shared = Arc::new(Shared(Mutex::new(State { forwards, names, modes, ..State::default() })));
        let poll = Poll::new()?;
        let waker = Waker::new(poll.registry(), WAKER)?;
        let cable = Cable::new(mio::net::UnixDatagram::from_std(ours), capture);
        let host = Host::new(poll, cable, Arc::clone(&shared), RandomState::new().hash_one(0))?;
        let thread = std::thread::Builder::new().name("wire".into()).spawn(move || host.run())?;
        Ok(Self { shared, waker, thread: Some(thread), guest })
    }

    /// The guest's end, for one guest at a time. Frames for an earlier guest are gone.
    ///
    /// # Errors
    /// The system's.
    pub fn plug(&self) -> io::Result<OwnedFd> {
        self.guest.set_nonblocking(true)?;
        let mut frame = [0; 2048];
        while self.guest.recv(&mut frame).is_ok() {}
        Ok(self.guest.try_clone()?.into())
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut self.shared.state());
        let _ = self.waker.wake();
    }

    /// Where a port leads to from now on; nowhere: it resets. Connections that are go on.
    pub fn set_forward(&self, port: u16, server: Option<SocketAddr>) {
        self.change(|state| {
            match server {
                Some(server) => state.forwards.insert(port, server),
                None => state.forwards.remove(&port),
            };
        });
    }

    /// Resets connections, on both sides; all of them without a port.
    pub fn reset(&self, port: Option<u16>) {
        self.change(|state| state.orders.push(Order::Reset(port)));
    }

    /// How addresses are given.
    pub fn set_dhcp(&self, mode: Dhcp) {
        self.change(|state| state.modes.dhcp = mode);
    }

    /// How names are answered.
    pub fn set_dns(&self, mode: Dns) {
        self.change(|state| state.modes.dns = mode);
    }

    /// How the time is told.
    pub fn set_ntp(&self, mode: Ntp) {
        self.change(|state| state.modes.ntp = mode);
    }

    /// Seconds of the time server in each second.
    pub fn set_clock_rate(&self, rate: u32) {
        self.change(|state| state.orders.push(Order::ClockRate(rate)));
    }

    /// What happens to frames.
    pub fn set_cable(&self, fault: Fault) {
        self.change(|state| state.orders.push(Order::Fault(fault)));
    }

    /// Whether servers take nothing of the guest: its segments are acknowledged until there is no more room (RFC 9293 section 3.8.6).
    pub fn set_deaf(&self, deaf: bool) {
        self.change(|state| state.orders.push(Order::Deaf(deaf)));
    }

    /// Servers of the connections that there are say so many octets more, and then nothing.
    pub fn mute(&self, after: usize) {
        self.change(|state| state.orders.push(Order::Mute(after)));
    }

    /// What the guest did so far.
    pub fn seen(&self) -> Seen {
        self.shared.state().seen.clone()
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.change(|state| state.orders.push(Order::Stop));
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
