//! Keeps what a worker has obtained: in the slots of the credential's home, and in memory until it is confirmed.

use std::collections::hash_map::RandomState;
use std::hash::{BuildHasher, Hasher};
use std::sync::Arc;

use edgetrust_core::store::Slot;

use crate::acme::{Settings, forget_done_order, forget_order};
use crate::agent::replica::Replica;
use crate::agent::status::CredentialStatus;
use crate::clock;
use crate::store::{Entry, Held, Kept, PemFiles, Record, StorageError};

/// The home of a worker's credential, and the certificate on its way there.
pub(super) struct Keeper {
    held: Arc<dyn Held>,
    /// The issued certificate, until it is confirmed; the rotation knows its slot.
    staged: Option<Record>,
    status: Arc<CredentialStatus>,
}

impl Keeper {
    pub(super) fn new(held: Arc<dyn Held>, status: Arc<CredentialStatus>) -> Self {
        Self { held, staged: None, status }
    }

    pub(super) fn held(&self) -> &Arc<dyn Held> {
        &self.held
    }

    /// Joins the gateways that share the credential, if the settings name a store; everything is then kept there, too.
    pub(super) async fn share(&mut self, settings: &Settings, seed: u64) -> Result<Option<Replica>, StorageError> {
        let replica = Replica::of(self.held.clone(), settings, seed).await?;
        if let Some(replica) = &replica {
            self.keep_in(replica.held());
        }
        Ok(replica)
    }

    /// Keeps everything in this home from now on.
    pub(super) fn keep_in(&mut self, held: Arc<dyn Held>) {
        self.held = held;
    }

    /// Returns the records that count, and logs what cannot be read.
    pub(super) async fn kept(&self) -> Result<Kept, StorageError> {
        let kept = self.held.kept().await?;
        for error in &kept.errors {
            log!(error, self.status, "{error}: the other slot is used");
        }
        Ok(kept)
    }

    /// Takes an issued certificate, which is in memory until it is written.
    pub(super) fn obtained(&mut self, record: Record) {
        self.staged = Some(record);
    }

    /// Returns the key and the chain of a slot: the issued certificate if its slot is this one, else the stored one.
    pub(super) async fn record(&self, slot: Slot, staged: Option<Slot>) -> Result<Record, StorageError> {
        match self.staged.as_ref().filter(|_| staged == Some(slot)) {
            Some(record) => Ok(record.clone()),
            None => self.held.read(slot).await,
        }
    }

    /// Writes the issued certificate into a slot.
    pub(super) async fn persist(&self, slot: Slot) -> Result<(), StorageError> {
        let staged = self.staged.clone().ok_or_else(|| StorageError::Failed("there is no new certificate".into()))?;
        self.held.stage(slot, staged, clock::now()).await
    }

    /// Confirms a slot, so that a start begins with it, writes the PEM copies and forgets the order.
    ///
    /// # Errors
    /// Returns what could not be kept.
    pub(super) async fn confirm(&mut self, slot: Slot, staged: Option<Slot>) -> Result<(), StorageError> {
        let record = self.record(slot, staged).await;
        let mut kept = self.held.confirm(slot).await;
        if kept.is_ok() {
            kept = match record {
                Ok(record) => self.held.publish(slot, record).await,
                Err(error) => Err(error),
            };
        }
        // The issuer is bypassed, as it may be waiting for the CA.
        if let Err(error) = forget_order(&*self.held).await {
            log!(warn, self.status, "{error}");
        }
        // A certificate on trial at a power failure was issued by the previous run; its hook has not run either way.
        if self.staged.take().is_some() {
            self.status.issued();
        }
        kept
    }

    pub(super) async fn discard(&self, slot: Slot) {
        if let Err(error) = self.held.discard(slot).await {
            log!(warn, self.status, "{error}");
        }
    }

    /// Completes what a crash after the confirmation left: forgets the order and writes the PEM copies. Returns whether
    /// there was something to write.
    pub(super) async fn mend(&self, slot: Slot) -> Result<bool, StorageError> {
        let record = self.held.read(slot).await?;
        forget_done_order(&*self.held, &record.key).await.map_err(|error| StorageError::Failed(error.into()))?;
        let stale = !self.held.is_published(slot).await?;
        if stale {
            self.held.publish(slot, record).await?;
        }
        Ok(stale)
    }

    pub(super) fn pem_files(&self) -> PemFiles {
        self.held.pem_files()
    }

    /// Returns the random number of the home, the same after each start, which spreads renewals over a fleet.
    pub(super) async fn seed(&self) -> u64 {
        let known = self.held.look(Entry::Seed).await.ok().flatten();
        let known = known.and_then(|text| String::from_utf8(text).ok()).and_then(|text| text.trim().parse().ok());
        if let Some(seed) = known {
            return seed;
        }
        let seed = RandomState::new().build_hasher().finish();
        if let Err(error) = self.held.keep(Entry::Seed, format!("{seed}\n").as_bytes()).await {
            log!(warn, self.status, "{error}: after the next start renewals are spread otherwise");
        }
        seed
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::Home;

    #[tokio::test]
    async fn a_home_keeps_its_seed() {
        let parent = tempfile::tempdir().unwrap();
        let home = Home::folder(parent.path().to_str().unwrap());
        let status = Arc::new(CredentialStatus::new("a.example".to_owned(), home.clone()));
        let keeper = Keeper::new(home.take().await.unwrap(), status);
        assert_eq!(keeper.seed().await, keeper.seed().await);
    }
}
