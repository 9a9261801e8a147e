//! Keeps the state of the control connections to other gateways, for reports.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pki_types::UnixTime;

use crate::clock;

/// The state of the control connection to another gateway.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ContactState {
    /// No attempt has ended yet.
    Trying,
    /// It is connected.
    Connected,
    /// The last connection or attempt has ended, for this reason.
    Failed(String),
}

impl ContactState {
    /// Returns the state's name on pages.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Trying => "trying",
            Self::Connected => "connected",
            Self::Failed(_) => "failed",
        }
    }
}

/// Another gateway where client tunnels lead.
#[derive(Clone, Debug)]
pub struct Contact {
    /// The name that its certificate is for.
    pub gateway: String,
    /// The tunnels that lead there.
    pub tunnels: Vec<String>,
    /// The state of the connection.
    pub state: ContactState,
    /// The time since which it has this state.
    pub since: UnixTime,
}

/// The control connections of one configuration, by the other gateway's name and the first tunnel.
#[derive(Clone, Debug, Default)]
pub struct Contacts(Arc<Mutex<BTreeMap<(String, String), Contact>>>);

impl Contacts {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<(String, String), Contact>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Replaces all. A connection that was there before keeps its state until an attempt ends.
    pub(super) fn replace(&self, all: impl Iterator<Item = (String, Vec<String>)>) {
        let mut contacts = self.lock();
        let before = std::mem::take(&mut *contacts);
        for (gateway, tunnels) in all {
            let key = (gateway.clone(), tunnels.first().cloned().unwrap_or_default());
            let known = before.get(&key).map(|known| (known.state.clone(), known.since));
            let (state, since) = known.unwrap_or_else(|| (ContactState::Trying, clock::now()));
            contacts.insert(key, Contact { gateway, tunnels, state, since });
        }
    }

    /// Records a state of the connection to a gateway.
    pub(super) fn set(&self, gateway: &str, tunnel: &str, state: ContactState) {
        let mut contacts = self.lock();
        let Some(contact) = contacts.get_mut(&(gateway.to_owned(), tunnel.to_owned())) else { return };
        if contact.state.name() != state.name() {
            contact.since = clock::now();
        }
        contact.state = state;
    }

    /// Returns all, by name.
    pub fn all(&self) -> Vec<Contact> {
        self.lock().values().cloned().collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_state_outlives_a_reload_that_keeps_the_connection() {
        let contacts = Contacts::default();
        let b = || ("b.example".to_owned(), vec!["feed".to_owned()]);
        contacts.replace([b(), ("c.example".to_owned(), vec!["feed-c".to_owned()])].into_iter());
        contacts.set("b.example", "feed", ContactState::Connected);
        contacts.set("d.example", "feed", ContactState::Connected);
        let state = |contacts: &Contacts| contacts.all().into_iter().map(|one| one.state.name()).collect::<Vec<_>>();
        assert_eq!(state(&contacts), ["connected", "trying"]);
        contacts.replace([b()].into_iter());
        assert_eq!(state(&contacts), ["connected"]);
        contacts.set("b.example", "feed", ContactState::Failed("no answer".to_owned()));
        assert_eq!(state(&contacts), ["failed"]);
    }
}
