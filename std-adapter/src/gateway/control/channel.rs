//! The control channel of a gateway: the state in force, and how offers come in.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, watch};

use super::callers::Callers;
use super::state::ControlState;
use crate::audit::AuditLog;
use crate::gateway::contacts::Contacts;
use crate::gateway::continuation::OpenSessions;
use crate::gateway::mesh_kept::Offered;
use crate::tls::TlsServer;

/// The control channel of a gateway, over all reloads.
#[derive(Debug)]
pub(in crate::gateway) struct Control {
    /// The state in force; none while the channel is off.
    pub(super) in_force: watch::Sender<Option<Arc<ControlState>>>,
    pub(super) callers: Callers,
    /// One text is judged at a time, so that the work of strangers takes one processor at most.
    judging: Arc<Semaphore>,
    /// Notified when another mesh has come.
    news: Arc<Notify>,
    /// The sessions that other gateways may continue, and that this one continues there.
    pub(super) sessions: OpenSessions,
    /// The connections to other gateways.
    pub(super) contacts: Contacts,
    pub(super) audit: AuditLog,
}

impl Control {
    /// Creates a channel that is off, and reports its connections to `contacts`.
    pub(in crate::gateway) fn new(contacts: Contacts, audit: AuditLog) -> Self {
        Self {
            contacts,
            audit,
            in_force: watch::Sender::new(None),
            callers: Callers::default(),
            judging: Arc::new(Semaphore::new(1)),
            news: Arc::default(),
            sessions: OpenSessions::default(),
        }
    }
}

impl Control {
    /// Puts a channel in force, or none.
    pub(in crate::gateway) fn set(&self, state: Option<Arc<ControlState>>) {
        self.in_force.send_replace(state);
    }

    /// Waits until another mesh has come, which is then to be loaded.
    pub(in crate::gateway) async fn news(&self) {
        self.news.notified().await;
    }

    /// Returns whether a tunnel's address takes control connections.
    pub(in crate::gateway) fn is_on(&self) -> bool {
        self.in_force.borrow().is_some()
    }

    /// Returns where sessions are added that may be continued; none while the channel is off.
    pub(in crate::gateway) fn sessions(&self) -> Option<&OpenSessions> {
        self.is_on().then_some(&self.sessions)
    }

    /// Returns the server of a tunnel's control connections.
    pub(in crate::gateway) fn server(&self, tunnel: &str) -> Option<TlsServer> {
        self.state()?.servers.get(tunnel).cloned()
    }

    pub(super) fn state(&self) -> Option<Arc<ControlState>> {
        self.in_force.borrow().clone()
    }

    /// Judges a text, and tells the gateway if it is news.
    pub(super) async fn judge(&self, state: &ControlState, text: Vec<u8>) -> Result<Offered, String> {
        if state.served.texts().any(|known| text == known.text.as_bytes()) {
            return Ok(Offered::InForce);
        }
        let (keeper, news) = (state.keeper.clone(), self.news.clone());
        // Nobody closes this semaphore.
        let turn = self.judging.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let judged = tokio::task::spawn_blocking(move || {
            let offered = keeper.offer(text);
            let news = News { has_come: offered.as_ref().is_ok_and(Offered::is_news), notify: news };
            drop(turn);
            (offered, news)
        });
        let (offered, _news) = judged.await.map_err(|error| error.to_string())?;
        offered
    }
}

/// Tells the gateway that a mesh has come, when it is dropped: a reload may end the connection that waits for the verdict,
/// and what was taken by then is news all the same.
struct News {
    has_come: bool,
    notify: Arc<Notify>,
}

impl Drop for News {
    fn drop(&mut self) {
        if self.has_come {
            self.notify.notify_one();
        }
    }
}
