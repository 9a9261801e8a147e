//! Shares a worker's credential with other gateways.

use edgetrust_core::rotation::Phase;

use super::Worker;
use crate::acme::Settings;

impl Worker {
    /// Follows a change of the store; returns whether there is a certificate to take now.
    pub(super) async fn attend(&mut self) -> bool {
        let Some(replica) = &mut self.replica else { return false };
        let newer = replica.attend(&self.assignment.settings, &self.responders, &self.live).await;
        // An attempt that is under way takes it by itself.
        newer && matches!(self.machine.state().phase, Phase::Waiting { .. } | Phase::BackingOff { .. })
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
