//! Performs the rotation's actions.

use edgetrust_core::rotation::{Action, Event};
use edgetrust_core::store::Slot;
use edgetrust_core::time::Utc;

use super::{Fallback, Storage, Worker, say};
use crate::acme::{Issued, forget_order, run_hook};
use crate::clock;
use crate::tls::Credential;

impl Worker {
    pub(super) async fn perform(&mut self, action: Action) {
        match action {
            Action::Issue { attempt } => {
                log!(info, self.status, attempt, "ordering a certificate");
                let issuer = self.issuer.clone();
                // An expired certificate cannot be presented.
                let current = self.machine.state().active.filter(|active| clock::now() < active.not_after);
                let current = current.and_then(|active| self.record(active.slot).ok());
                self.issuing = Some(Box::pin(async move {
                    match current {
                        Some(current) => issuer.lock().await.renew(&current).await,
                        None => issuer.lock().await.issue().await,
                    }
                }));
            }
            Action::AbortIssue => {
                self.issuing = None;
                self.status.failed("the CA took too long".to_owned());
            }
            Action::Persist { slot } => {
                let event = self.persist(slot).await;
                self.report(event);
            }
            Action::Activate { slot } => self.activate(slot),
            Action::ActivateFallback => self.activate_fallback(),
            Action::Confirm { slot } => self.confirm(slot).await,
            Action::Discard { slot } => {
                let result =
                    self.with_storage(move |storage| storage.discard(slot).map_err(|error| error.to_string())).await;
                if let Err(error) = result {
                    log!(warn, self.status, "{error}");
                }
            }
            Action::Alarm(alarm) => say(alarm, &self.status),
        }
    }

    /// Runs work on the storage in a blocking thread: disks are slow, and handshakes must not wait for them.
    async fn with_storage<T: Send + 'static>(
        &mut self,
        work: impl FnOnce(&mut Storage) -> Result<T, String> + Send + 'static,
    ) -> Result<T, String> {
        let Some(mut storage) = self.storage.take() else { return Err("the storage is in use".to_owned()) };
        let worked = tokio::task::spawn_blocking(move || {
            let result = work(&mut storage);
            (storage, result)
        });
        let (storage, result) = worked.await.map_err(|error| error.to_string())?;
        self.storage = Some(storage);
        result
    }

    async fn persist(&mut self, slot: Slot) -> Event {
        let Some(issued) = self.staged.clone() else { return Event::PersistFailed };
        match self.with_storage(move |storage| storage.write(slot, &issued).map_err(|error| error.to_string())).await {
            Ok(()) => Event::Persisted,
            Err(error) => {
                log!(error, self.status, "the new certificate cannot be kept: {error}");
                self.status.failed(error);
                Event::PersistFailed
            }
        }
    }

    /// Returns the key and the chain of a slot: the staged certificate if it is of this slot, else the stored one.
    pub(super) fn record(&mut self, slot: Slot) -> Result<Issued, String> {
        if let Some(issued) = self.staged.as_ref().filter(|_| self.machine.staged() == Some(slot)) {
            return Ok(issued.clone());
        }
        let storage = self.storage.as_mut().ok_or("the storage is in use")?;
        let kept = storage.kept();
        let found = [kept.active, kept.trial].into_iter().flatten().find(|record| record.slot == slot);
        let record = found.ok_or_else(|| format!("{slot} holds no record"))?;
        storage.read(&record).map_err(|error| error.to_string())
    }

    pub(super) fn activate(&mut self, slot: Slot) {
        match self.record(slot).and_then(|issued| issued.credential().map(|credential| (issued, credential))) {
            Ok((issued, credential)) => {
                self.live.replace(&credential);
                let end = Utc(issued.not_after);
                if clock::now() > issued.not_after {
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
        let issued = self.record(slot);
        let folder = self.folder.clone();
        let kept = self.with_storage(move |storage| {
            storage.confirm(slot).map_err(|error| error.to_string())?;
            storage.write_live(&folder, slot, &issued?)
        });
        let kept = kept.await;
        // The issuer is bypassed, as it may be waiting for the CA.
        if let Err(error) = forget_order(&self.folder) {
            log!(warn, self.status, "{error}");
        }
        // A certificate on trial at a power failure was issued by the previous run; its hook has not run either way.
        if self.staged.take().is_some() {
            self.status.issued();
        }
        if let Err(error) = kept {
            log!(error, self.status, "{error}");
            self.status.failed(error);
        }
        self.run_hook();
        self.ask_at = Some(clock::now());
        // The requested names may have changed since the certificate was issued.
        if self.names_changed(&self.assignment) {
            self.report(Event::RotateNow);
        }
    }

    /// Runs the hook concurrently: it may be slow, or connect to this very gateway.
    pub(super) fn run_hook(&mut self) {
        let Some(hook) = self.assignment.settings.hook.clone() else { return };
        let live = self.folder.path().join("live");
        let variables = [
            ("EDGETRUST_CERT_FILE", live.join("cert.pem").display().to_string()),
            ("EDGETRUST_KEY_FILE", live.join("key.pem").display().to_string()),
            ("EDGETRUST_NAME", self.status.name.clone()),
        ];
        let status = self.status.clone();
        self.hooks.retain(|hook| !hook.is_finished());
        self.hooks.push(tokio::spawn(async move {
            match run_hook(&hook, &[], &variables).await {
                Ok(()) => log!(info, status, "the hook has run"),
                Err(error) => {
                    log!(error, status, "{error}");
                    status.failed(error.to_string());
                }
            }
        }));
    }
}
