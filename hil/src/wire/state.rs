//! Holds what the network is told to do, and what it has seen of the guest.

use std::collections::{BTreeMap, BTreeSet};
use std::net::SocketAddr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use serde::Deserialize;

use super::{Dhcp, Dns, Ntp};

/// The fault of the cable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Fault {
    /// The cable has no fault.
    #[default]
    None,
    /// No frame gets through.
    Cut,
    /// One in this number of frames is lost, the same frames in each run.
    LoseOneIn(u32),
}

/// The behaviour of the host's services.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Modes {
    /// The address service.
    pub dhcp: Dhcp,
    /// The name service.
    pub dns: Dns,
    /// The time service.
    pub ntp: Ntp,
}

/// The guest's recorded activity.
#[derive(Clone, Debug, Default)]
pub struct Seen {
    /// The number of DHCP messages.
    pub dhcp_requests: usize,
    /// The number of addresses given.
    pub leases: usize,
    /// The names that were queried.
    pub names: Vec<String>,
    /// The number of requests for the time.
    pub time_requests: usize,
    /// The number of connections, by port.
    pub connections: BTreeMap<u16, usize>,
}

pub(super) enum Order {
    Stop,
    Deaf(bool),
    Mute(usize),
    Fault(Fault),
    ClockRate(u32),
    Reset(Option<u16>),
}

#[derive(Default)]
pub(super) struct State {
    pub(super) forwards: BTreeMap<u16, SocketAddr>,
    pub(super) names: BTreeSet<String>,
    pub(super) modes: Modes,
    pub(super) orders: Vec<Order>,
    pub(super) seen: Seen,
}

#[derive(Default)]
pub(super) struct Shared(Mutex<State>);

impl Shared {
    pub(super) fn new(state: State) -> Self {
        Self(Mutex::new(state))
    }

    pub(super) fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn orders(&self) -> Vec<Order> {
        std::mem::take(&mut self.state().orders)
    }

    pub(super) fn forwards(&self) -> BTreeMap<u16, SocketAddr> {
        self.state().forwards.clone()
    }

    pub(super) fn modes(&self) -> Modes {
        self.state().modes
    }

    pub(super) fn knows(&self, name: &str) -> bool {
        self.state().names.contains(name)
    }

    pub(super) fn note(&self, note: impl FnOnce(&mut Seen)) {
        note(&mut self.state().seen);
    }
}
