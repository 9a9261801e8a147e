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
        let keeper = state.keeper.clone();
        // Nobody closes this semaphore.
        let turn = self.judging.clone().acquire_owned().await.map_err(|error| error.to_string())?;
        let judge = move || {
            let _turn = turn;
            keeper.offer(text)
        };
        tell(self.news.clone(), judge).await
    }
}

/// Runs `judge`, which may block, and notifies `news` if what it has taken is news, whoever waits for it by then.
async fn tell(
    news: Arc<Notify>,
    judge: impl FnOnce() -> Result<Offered, String> + Send + 'static,
) -> Result<Offered, String> {
    let judged = tokio::task::spawn_blocking(move || {
        let offered = judge();
        let news = News { has_come: offered.as_ref().is_ok_and(Offered::is_news), notify: news };
        (offered, news)
    });
    let (offered, _news) = judged.await.map_err(|error| error.to_string())?;
    offered
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

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::channel;
    use std::time::Duration;

    use edgetrust_core::mesh::{Digest, Edition};
    use futures_util::FutureExt;

    const PATIENCE: Duration = Duration::from_secs(60);

    fn taken() -> Result<Offered, String> {
        Ok(Offered::Taken(Edition { generation: 1, sequence: 2, digest: Digest::new([0; 32]) }))
    }

    #[tokio::test]
    async fn what_was_taken_is_news_though_the_connection_that_brought_it_is_cut() {
        let news = Arc::<Notify>::default();
        let (begun, begins) = channel();
        let (go_on, goes_on) = channel();
        let waits = tokio::spawn(tell(news.clone(), move || {
            begun.send(()).unwrap();
            goes_on.recv().unwrap();
            taken()
        }));
        // A reload cuts the connection while the text is judged.
        tokio::task::spawn_blocking(move || begins.recv()).await.unwrap().unwrap();
        waits.abort();
        assert!(waits.await.unwrap_err().is_cancelled());
        go_on.send(()).unwrap();
        tokio::time::timeout(PATIENCE, news.notified()).await.expect("the news");
    }

    #[tokio::test]
    async fn only_what_is_new_is_news() {
        let news = Arc::<Notify>::default();
        tell(news.clone(), || Ok(Offered::InForce)).await.unwrap();
        tell(news.clone(), || Err("refused".to_owned())).await.unwrap_err();
        assert!(news.notified().now_or_never().is_none());
        tell(news.clone(), taken).await.unwrap();
        tokio::time::timeout(PATIENCE, news.notified()).await.expect("the news");
    }
}
