//! The home of a credential that several gateways share: its folder, which is this gateway's own copy, and the store.
//! The account and the order are the store's, and a certificate counts once it stands there.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use edgetrust_core::store::Slot;
use pki_types::UnixTime;
use serde::{Deserialize, Serialize};

use super::document::{SHARED, name_of};
use super::error::SharedError;
use super::shared::Shared;
use crate::store::{ChallengeAnswer, Entry, Held, Kept, PemFiles, Pending, Record, StorageError};

/// The number of certificates whose generations are kept: those of both slots, and one that could not be written.
const REMEMBERED: usize = 3;

/// A certificate that this gateway has written, with the generation that it counts as.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    /// The place of the credential in the store.
    place: String,
    /// The generation, and the certificate that has it in the store.
    generation: u64,
    certificate: Option<String>,
    /// The certificate in the slot: this one, or one that this gateway ordered while the store was away.
    shown: Option<String>,
}

/// Reads what a gateway remembers of its slots. A text that is not ours says nothing.
fn remembered(text: Option<Vec<u8>>) -> Vec<Written> {
    text.and_then(|text| serde_json::from_slice(&text).ok()).unwrap_or_default()
}

/// Returns the generation that the folder has a certificate of, with the name of the certificate in the store.
pub(crate) async fn kept_generation(local: &dyn Held, place: &str) -> Result<(u64, Option<String>), StorageError> {
    let mut here = Vec::new();
    for slot in [Slot::A, Slot::B] {
        // A slot that cannot be read has no certificate.
        here.extend(local.read(slot).await.ok().as_ref().and_then(name_of));
    }
    let mut all = remembered(local.look(Entry::Shared).await?);
    all.retain(|one| one.place == place && one.shown.as_ref().is_some_and(|shown| here.contains(shown)));
    let newest = all.into_iter().max_by_key(|one| one.generation);
    Ok(newest.map_or((0, None), |newest| (newest.generation, newest.certificate)))
}

impl From<SharedError> for StorageError {
    fn from(error: SharedError) -> Self {
        Self::failed(error)
    }
}

/// A folder and the store that it shares a credential by.
#[derive(Debug)]
pub(crate) struct SharedHeld {
    local: Arc<dyn Held>,
    shared: Arc<Shared>,
    place: String,
    /// This gateway orders for itself, since the store is away.
    alone: AtomicBool,
}

impl SharedHeld {
    pub(crate) fn new(local: Arc<dyn Held>, shared: Arc<Shared>, place: String) -> Self {
        Self { local, shared, place, alone: AtomicBool::new(false) }
    }

    pub(crate) fn local(&self) -> Arc<dyn Held> {
        self.local.clone()
    }

    /// Has account and order kept in the folder alone, until the store is used again.
    pub(crate) fn set_alone(&self, alone: bool) {
        self.alone.store(alone, Ordering::Release);
    }

    fn is_shared(&self, entry: Entry) -> bool {
        SHARED.contains(&entry) && !self.alone.load(Ordering::Acquire)
    }

    /// Keeps a copy of the shared account, for the time without the store.
    pub(crate) async fn copy_account(&self) -> Result<(), StorageError> {
        let Some(account) = self.shared.entry(Entry::Account) else { return Ok(()) };
        if self.local.look(Entry::Account).await?.as_ref() == Some(&account) {
            return Ok(());
        }
        self.local.keep(Entry::Account, &account).await
    }

    /// Returns the record of this name, if a slot has it.
    pub(crate) async fn record(&self, certificate: &str) -> Option<Record> {
        for slot in [Slot::A, Slot::B] {
            // A slot that cannot be read has no certificate.
            let record = self.local.read(slot).await.ok();
            if let Some(record) = record.filter(|record| name_of(record).as_deref() == Some(certificate)) {
                return Some(record);
            }
        }
        None
    }

    async fn write(&self, slot: Slot, record: Record, now: UnixTime) -> Result<(), StorageError> {
        let shown = name_of(&record);
        let (generation, certificate) = if self.alone.load(Ordering::Acquire) {
            kept_generation(&*self.local, &self.place).await?
        } else {
            let (generation, certificate) = self.shared.published();
            if certificate == shown {
                (generation, certificate)
            } else {
                // Its own answer counts: by now another gateway may have published the next one.
                self.shared
                    .publish(&record)
                    .await
                    .inspect_err(|error| self.shared.set_missed(error.is_of_the_store()))?
            }
        };
        // Before the slot: one that is written and not remembered would count as a certificate of no generation.
        let mut all = remembered(self.local.look(Entry::Shared).await?);
        all.retain(|one| one.shown != shown);
        all.push(Written { place: self.place.clone(), generation, certificate: certificate.clone(), shown });
        all.drain(..all.len().saturating_sub(REMEMBERED));
        let text = serde_json::to_vec(&all).map_err(StorageError::failed)?;
        self.local.keep(Entry::Shared, &text).await?;
        self.local.stage(slot, record, now).await?;
        if !self.alone.load(Ordering::Acquire) {
            self.shared.has(generation, certificate);
        }
        Ok(())
    }
}

impl Held for SharedHeld {
    fn kept(&self) -> Pending<'_, Kept> {
        self.local.kept()
    }

    fn read(&self, slot: Slot) -> Pending<'_, Record> {
        self.local.read(slot)
    }

    /// Publishes a certificate that this gateway has ordered, then writes it into the slot.
    fn stage(&self, slot: Slot, record: Record, now: UnixTime) -> Pending<'_, ()> {
        Box::pin(self.write(slot, record, now))
    }

    fn confirm(&self, slot: Slot) -> Pending<'_, ()> {
        self.local.confirm(slot)
    }

    fn discard(&self, slot: Slot) -> Pending<'_, ()> {
        self.local.discard(slot)
    }

    fn is_published(&self, slot: Slot) -> Pending<'_, bool> {
        self.local.is_published(slot)
    }

    fn publish(&self, slot: Slot, record: Record) -> Pending<'_, ()> {
        self.local.publish(slot, record)
    }

    fn pem_files(&self) -> PemFiles {
        self.local.pem_files()
    }

    fn look(&self, entry: Entry) -> Pending<'_, Option<Vec<u8>>> {
        if !self.is_shared(entry) {
            return self.local.look(entry);
        }
        match (self.shared.entry(entry), entry) {
            // The account that this gateway had before it shared one.
            (None, Entry::Account) => self.local.look(entry),
            (found, _) => Box::pin(async move { Ok(found) }),
        }
    }

    fn keep<'a>(&'a self, entry: Entry, octets: &'a [u8]) -> Pending<'a, ()> {
        if !self.is_shared(entry) {
            return self.local.keep(entry, octets);
        }
        Box::pin(async move { Ok(self.shared.keep(entry, Some(octets)).await?) })
    }

    fn forget(&self, entry: Entry) -> Pending<'_, ()> {
        if !self.is_shared(entry) {
            return self.local.forget(entry);
        }
        Box::pin(async move {
            // Without the lease it is another gateway's, or gone with the certificate that was published.
            if !self.shared.holds() || self.shared.entry(entry).is_none() {
                return Ok(());
            }
            Ok(self.shared.keep(entry, None).await?)
        })
    }

    fn try_writing(&self) -> Pending<'_, ()> {
        self.local.try_writing()
    }

    fn announce(&self, answer: ChallengeAnswer) -> Pending<'_, ()> {
        Box::pin(async move {
            if self.alone.load(Ordering::Acquire) {
                return Ok(());
            }
            Ok(self.shared.announce(&answer).await?)
        })
    }
}
