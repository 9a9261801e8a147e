//! Shares a worker's credential with other gateways.

use edgetrust_core::rotation::Phase;

use super::Worker;
use crate::acme::Settings;
use crate::agent::replica::{News, Replica};

impl Worker {
    /// Follows a change of the store; returns whether there is a certificate to take, or to order, now.
    pub(super) async fn attend(&mut self) -> bool {
        let Some(replica) = &mut self.replica else { return false };
        let news = replica.attend(&self.assignment.settings, &self.responders, &self.live).await;
        match self.machine.state().phase {
            Phase::Waiting { .. } => news == News::Newer,
            Phase::BackingOff { .. } => news != News::Nothing,
            // An attempt that is under way takes it by itself.
            _ => false,
        }
    }

    /// Returns whether another gateway has published a certificate during an attempt that failed here.
    pub(super) fn missed_newer(&self) -> bool {
        let backing_off = matches!(self.machine.state().phase, Phase::BackingOff { .. });
        backing_off && self.replica.as_ref().is_some_and(Replica::has_newer)
    }

    /// Joins the gateways of other settings than before.
    pub(super) async fn share_anew(&mut self, before: &Settings) {
        let settings = &self.assignment.clone().settings;
        if before.storage.is_some() != settings.storage.is_some() {
            log!(error, self.status, "acme.storage was added or removed: it counts after a restart");
            return;
        }
        let Some(replica) = &self.replica else { return };
        self.keeper.keep_in(replica.local());
        self.replica = match self.keeper.share(settings, self.machine.policy().seed).await {
            Ok(replica) => replica,
            Err(error) => {
                // This gateway keeps what it has, and orders for itself.
                log!(error, self.status, "{error}");
                None
            }
        };
    }
}
