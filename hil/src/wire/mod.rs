//! A network for one guest: frames go through Unix datagram sockets, a thread is router, DHCP, DNS and SNTP server, and TCP
//! connections lead to services on loopback. It needs no privileges and no fixed port.

mod dhcp;
mod dns;
mod link;
mod relay;
mod router;
mod sntp;

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// What the guest gets by DHCP.
pub const GUEST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 15);
/// The router, and every server.
pub const HOST: Ipv4Addr = Ipv4Addr::new(10, 0, 2, 2);

/// How the DHCP server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dhcp {
    /// As RFC 2131 has it.
    Answers,
    /// Not at all.
    Silent,
    /// Not before then.
    From(Instant),
}

/// How the DNS server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Dns {
    /// Names of the table lead to [`HOST`], others do not exist.
    Answers,
    /// Not at all.
    Silent,
    /// SERVFAIL (RFC 1035 section 4.1.1).
    ServFail,
}

/// How the SNTP server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sntp {
    /// The time of this machine, and so many seconds.
    Offset(i64),
    /// Not at all.
    Silent,
    /// Answers that are too short.
    Malformed,
    /// Kiss-o'-death: RATE (RFC 5905 section 7.4).
    KissOfDeath,
    /// An answer to another request: its origin timestamp is not the one that was asked with (RFC 5905 section 8).
    OtherOrigin,
    /// A server that is not synchronized itself: leap indicator 3 (RFC 5905 section 7.3).
    Unsynchronized,
}

/// What a wire begins with.
#[derive(Clone, Debug)]
pub struct Settings {
    /// How addresses are given.
    pub dhcp: Dhcp,
    /// How names are resolved.
    pub dns: Dns,
    /// How the time is told.
    pub sntp: Sntp,
    /// Names that lead to [`HOST`].
    pub names: BTreeSet<String>,
    /// Ports of [`HOST`], and where they lead to; a connection to any other port is reset.
    pub forwards: BTreeMap<u16, SocketAddr>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            dhcp: Dhcp::Answers,
            dns: Dns::Answers,
            sntp: Sntp::Offset(0),
            names: BTreeSet::new(),
            forwards: BTreeMap::new(),
        }
    }
}

/// What went over a wire.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Frames of the guest.
    pub frames: u64,
    /// Frames that were dropped, either way.
    pub dropped: u64,
    /// DHCP messages of the guest.
    pub dhcp: u64,
    /// Questions to the DNS server.
    pub dns: u64,
    /// Requests for the time.
    pub sntp: u64,
    /// TCP connections that were opened.
    pub connections: u64,
}

/// What can be changed while a wire is in use.
struct State {
    settings: Settings,
    cut: bool,
    drop_every: Option<u64>,
    stop: bool,
    counts: Counts,
}

type Shared = Arc<Mutex<State>>;

fn lock(state: &Shared) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A network with its thread; it ends when this is dropped.
pub struct Wire {
    folder: TempDir,
    state: Shared,
    waker: Arc<mio::Waker>,
    thread: Option<JoinHandle<()>>,
}

impl Wire {
    /// Begins.
    ///
    /// # Errors
    /// Where sockets cannot be made.
    pub fn start(settings: Settings) -> io::Result<Self> {
        let folder = tempfile::Builder::new().prefix("wire").tempdir()?;
        let state = State { settings, cut: false, drop_every: None, stop: false, counts: Counts::default() };
        let state = Arc::new(Mutex::new(state));
        let link = link::Link::new(&host_socket(folder.path()), &guest_socket(folder.path()))?;
        let (router, waker) = router::Router::new(link, Arc::clone(&state))?;
        let thread = std::thread::Builder::new().name("wire".to_owned()).spawn(move || router.run())?;
        Ok(Self { folder, state, waker, thread: Some(thread) })
    }

    /// What attaches QEMU's first network card to it.
    pub fn qemu_arguments(&self) -> Vec<String> {
        let [own, other] = [guest_socket(self.folder.path()), host_socket(self.folder.path())];
        let (own, other) = (own.display(), other.display());
        let netdev = format!("dgram,id=wire,local.type=unix,local.path={own},remote.type=unix,remote.path={other}");
        ["-netdev", &netdev, "-net", "nic,netdev=wire"].map(str::to_owned).to_vec()
    }

    /// Where the guest's frames come from and go to: sockets of ours and of the guest.
    pub fn sockets(&self) -> (PathBuf, PathBuf) {
        (host_socket(self.folder.path()), guest_socket(self.folder.path()))
    }

    fn change(&self, change: impl FnOnce(&mut State)) {
        change(&mut lock(&self.state));
        // The thread looks by itself within a moment, too.
        let _ = self.waker.wake();
    }

    /// Another DHCP server.
    pub fn set_dhcp(&self, dhcp: Dhcp) {
        self.change(|state| state.settings.dhcp = dhcp);
    }

    /// A DHCP server that begins to answer after a time.
    pub fn set_dhcp_after(&self, delay: Duration) {
        self.set_dhcp(Dhcp::From(Instant::now() + delay));
    }

    /// Another DNS server.
    pub fn set_dns(&self, dns: Dns) {
        self.change(|state| state.settings.dns = dns);
    }

    /// Another SNTP server.
    pub fn set_sntp(&self, sntp: Sntp) {
        self.change(|state| state.settings.sntp = sntp);
    }

    /// A port leads elsewhere, for new connections; `None`: they are reset.
    pub fn set_forward(&self, port: u16, target: Option<SocketAddr>) {
        self.change(|state| match target {
            Some(target) => drop(state.settings.forwards.insert(port, target)),
            None => drop(state.settings.forwards.remove(&port)),
        });
    }

    /// Drops every frame, or no longer.
    pub fn set_cut(&self, cut: bool) {
        self.change(|state| state.cut = cut);
    }

    /// Drops every nth frame, either way.
    pub fn set_drop_every(&self, nth: Option<u64>) {
        self.change(|state| state.drop_every = nth.filter(|nth| *nth > 0));
    }

    /// What went over it so far.
    pub fn counts(&self) -> Counts {
        lock(&self.state).counts
    }
}

impl Drop for Wire {
    fn drop(&mut self) {
        self.change(|state| state.stop = true);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn host_socket(folder: &Path) -> PathBuf {
    folder.join("host")
}

fn guest_socket(folder: &Path) -> PathBuf {
    folder.join("guest")
}
