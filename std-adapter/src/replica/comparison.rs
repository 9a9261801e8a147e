//! Compares what the store has with what this gateway has: there is a newer certificate to take, or the store went back.

use super::document::name_of;
use super::error::SharedError;
use super::lease::{Step, step};
use super::shared::Shared;
use crate::store::Record;

impl Shared {
    /// Returns the generation and the name of the certificate that the store has.
    pub(crate) fn published(&self) -> (u64, Option<String>) {
        let header = self.now().document.header.clone();
        (header.generation, header.certificate)
    }

    /// Returns whether the store has a certificate that this gateway should take, and did not try to take before.
    pub(crate) fn has_newer(&self) -> bool {
        let seen = self.now();
        let header = &seen.document.header;
        // What a store had before it was away may have been asked for in vain.
        let usable = seen.known && seen.fault.is_none() && seen.away.is_none();
        usable && !self.tried(header) && step(header, &self.own(), false) == Step::Adopt
    }

    /// Returns whether the store has an older certificate than this gateway: it went back, as a restored backup does.
    pub(crate) fn went_back(&self) -> Option<String> {
        let (seen, own) = (self.now(), self.own().clone());
        let back = seen.known && seen.fault.is_none() && step(&seen.document.header, &own, false) == Step::Restore;
        own.certificate.filter(|_| back)
    }

    /// Writes the certificate that this gateway has into a store that went back.
    ///
    /// # Errors
    /// Fails if the store does not answer, or somebody else has written since.
    pub(crate) async fn restore(&self, record: &Record) -> Result<(), SharedError> {
        let seen = self.look().await?;
        let own = self.own().clone();
        if step(&seen.document.header, &own, false) != Step::Restore || name_of(record) != own.certificate {
            return Ok(());
        }
        let mut restored = (*seen.document).clone();
        restored.header = restored.header.restored(&own);
        restored.contents.record = Some(record.clone());
        self.write(seen.revision, restored).await
    }
}
