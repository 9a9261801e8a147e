//! The control channel of a gateway: what is in force, and how offers come in.

use std::sync::Arc;

use tokio::sync::{Notify, Semaphore, watch};

use super::guests::Guests;
use super::speaking::Speaking;
use crate::gateway::mesh_in_force::News;
use crate::tls::TlsServer;

/// The control channel of a gateway, over all reloads.
#[derive(Debug)]
pub(in crate::gateway) struct Control {
    /// What is in force; none while the channel is off.
    pub(super) now: watch::Sender<Option<Arc<Speaking>>>,
    pub(super) guests: Guests,
    /// One text is judged at a time, so that the work of strangers takes one processor at most.
    judging: Semaphore,
    /// Notified when another mesh has come.
    news: Notify,
}

impl Default for Control {
    fn default() -> Self {
        Self {
            now: watch::Sender::new(None),
            guests: Guests::default(),
            judging: Semaphore::new(1),
            news: Notify::new(),
        }
    }
}

impl Control {
    /// Puts a channel in force, or none.
    pub(in crate::gateway) fn speak(&self, speaking: Option<Arc<Speaking>>) {
        self.now.send_replace(speaking);
    }

    /// Waits until another mesh has come, which is then to be loaded.
    pub(in crate::gateway) async fn news(&self) {
        self.news.notified().await;
    }

    /// Returns whether a tunnel's address takes control connections.
    pub(in crate::gateway) fn is_on(&self) -> bool {
        self.now.borrow().is_some()
    }

    /// Returns the server of a tunnel's control connections.
    pub(in crate::gateway) fn server(&self, tunnel: &str) -> Option<TlsServer> {
        self.speaking()?.servers.get(tunnel).cloned()
    }

    pub(super) fn speaking(&self) -> Option<Arc<Speaking>> {
        self.now.borrow().clone()
    }

    /// Judges a text, and tells the gateway if it is news.
    pub(super) async fn judge(&self, speaking: &Speaking, text: Vec<u8>) -> Result<News, String> {
        if text == speaking.shown.text.as_bytes() {
            return Ok(News::Known);
        }
        let keeper = speaking.keeper.clone();
        // Nobody closes this semaphore.
        let _turn = self.judging.acquire().await.map_err(|error| error.to_string())?;
        let judged = tokio::task::spawn_blocking(move || keeper.offer(text)).await;
        let news = judged.map_err(|error| error.to_string())??;
        if matches!(news, News::Taken(_) | News::Conflict(true)) {
            self.news.notify_one();
        }
        Ok(news)
    }
}
