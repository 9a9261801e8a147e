//! Performs the rotation's actions.

use std::time::Instant;

use edgetrust_core::rotation::{Action, Event};
use edgetrust_core::store::Slot;
use edgetrust_core::time::Utc;

use super::Worker;
use crate::acme::{HookCall, credential, run_hook};
use crate::agent::alarm::say;
use crate::agent::assignment::Fallback;
use crate::agent::replica::{Replica, urgent_at};
use crate::clock;
use crate::store::{PemFiles, Record, StorageError};
use crate::tls::Credential;

impl Worker {
    pub(super) async fn perform(&mut self, action: Action) {
        match action {
            Action::Issue { attempt } => {
                log!(info, self.status, attempt, "ordering a certificate");
                let issuer = self.issuer.clone();
                // An expired certificate cannot be presented.
                let active = self.machine.state().active.filter(|active| clock::now() < active.not_after);
                let urgent = active.as_ref().map(|active| urgent_at(active, self.machine.policy()));
                let current = match active {
                    Some(active) => self.record(active.slot).await.ok(),
                    None => None,
                };
                let (status, sharing) = (self.status.clone(), self.replica.as_ref().map(Replica::sharing));
                let assignment = self.assignment.clone();
                self.issuing.begin(async move {
                    let order = || async {
                        let since = Instant::now();
                        let mut issuer = issuer.lock().await;
                        let answer = match &current {
                            Some(current) => issuer.renew(current).await,
                            None => issuer.issue().await,
                        };
                        status.ordered(since.elapsed());
                        answer
                    };
                    match &sharing {
                        None => order().await,
                        Some(sharing) => sharing.obtain(&assignment.settings, urgent, order).await,
                    }
                });
            }
            Action::AbortIssue => {
                self.issuing.give_up();
                self.status.failed("the CA took too long".to_owned());
            }
            Action::Persist { slot } => {
                let event = self.persist(slot).await;
                self.report(event);
            }
            Action::Activate { slot } => self.activate(slot).await,
            Action::ActivateFallback => self.activate_fallback(),
            Action::Confirm { slot } => self.confirm(slot).await,
            Action::Discard { slot } => self.keeper.discard(slot).await,
            Action::Alarm(alarm) => say(alarm, &self.status),
        }
    }

    async fn persist(&mut self, slot: Slot) -> Event {
        match self.keeper.persist(slot).await {
            Ok(()) => Event::Persisted,
            Err(error) => {
                log!(error, self.status, "the new certificate cannot be kept: {error}");
                self.status.failed(error.to_string());
                Event::PersistFailed
            }
        }
    }

    /// Returns the key and the chain of a slot: the issued certificate if its slot is this one, else the stored one.
    async fn record(&mut self, slot: Slot) -> Result<Record, StorageError> {
        self.keeper.record(slot, self.machine.staged()).await
    }

    pub(super) async fn activate(&mut self, slot: Slot) {
        let shown = match self.record(slot).await {
            Ok(record) => credential(&record).map(|shown| (record, shown)).map_err(|error| error.to_string()),
            Err(error) => Err(error.to_string()),
        };
        match shown {
            Ok((record, credential)) => {
                self.live.replace(&credential);
                self.status.is_shown();
                let end = Utc(record.not_after);
                if clock::now() > record.not_after {
                    log!(warn, self.status, expired = %end, "an expired certificate is shown");
                } else {
                    log!(info, self.status, expires = %end, "the issued certificate is shown");
                }
            }
            Err(error) => {
                log!(error, self.status, "the certificate of {slot} cannot be shown: {error}");
                self.status.failed(error);
            }
        }
    }

    pub(super) fn activate_fallback(&mut self) {
        let assignment = self.assignment.clone();
        let Some(Fallback { cert_file, key_file }) = &assignment.fallback else { return };
        let loaded = Credential::load(cert_file, key_file).map_err(|error| error.to_string());
        let usable = loaded.and_then(|credential| match credential.validity() {
            Some((_, not_after)) if clock::now() > not_after => {
                Err(format!("{}: expired at {}", cert_file.display(), Utc(not_after)))
            }
            _ => Ok(credential),
        });
        let event = match usable {
            Ok(credential) => {
                self.live.replace(&credential);
                self.status.is_shown();
                Event::FallbackReady
            }
            Err(error) => {
                log!(error, self.status, "the manual certificate cannot be shown: {error}");
                Event::FallbackRefused
            }
        };
        self.report(event);
    }

    /// Confirms the slot, so that a start begins with it; forgets the order, writes the PEM copies and runs the hook.
    async fn confirm(&mut self, slot: Slot) {
        let kept = self.keeper.confirm(slot, self.machine.staged()).await;
        if let Err(error) = kept {
            log!(error, self.status, "{error}");
            self.status.failed(error.to_string());
        }
        if let Some(sharing) = self.replica.as_ref().map(Replica::sharing) {
            sharing.is_kept();
        }
        self.run_hook();
        self.renewal_info.ask_anew();
        // The requested names may have changed since the certificate was issued.
        if self.is_outdated(&self.assignment) {
            self.report(Event::RotateNow);
        }
    }

    /// Runs the hook concurrently: it may be slow, or connect to this very gateway.
    pub(super) fn run_hook(&mut self) {
        let Some(hook) = self.assignment.settings.hook.clone() else { return };
        let PemFiles { cert_file, key_file } = self.keeper.pem_files();
        let call = HookCall::Renewed { cert_file, key_file, name: self.status.name.clone() };
        let status = self.status.clone();
        self.hooks.retain(|hook| !hook.is_finished());
        self.hooks.push(tokio::spawn(async move {
            match run_hook(&hook, call).await {
                Ok(()) => log!(info, status, "the hook has run"),
                Err(error) => {
                    log!(error, status, "{error}");
                    status.failed(error.to_string());
                }
            }
        }));
    }
}
