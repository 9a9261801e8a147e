//! Keeps records in the two slots of a folder.

use std::path::Path;

use edgetrust_core::rotation::SlotCertificate;
use edgetrust_core::store::{Header, MAX_CHAIN, MAX_KEY, NewRecord, Slot, Store, StoreError, certificates};
use pki_types::{CertificateDer, UnixTime};

use super::file::{FileError, FileMedium};
use super::home::{Kept, Record};

/// The slots of a folder; writing requires the folder's lock, reading does not.
#[derive(Debug)]
pub(super) struct Slots {
    store: Store<FileMedium>,
}

impl Slots {
    /// Opens the slots of a folder, which need not exist.
    pub(super) fn new(folder: &Path) -> Result<Self, StoreError<FileError>> {
        Ok(Self { store: Store::new(FileMedium::new(folder))? })
    }

    pub(super) fn kept(&mut self) -> Kept {
        let survey = self.store.survey();
        let selected = survey.selected();
        let record = |slot: Option<Slot>| {
            let slot = slot?;
            let Header { not_before, not_after, written, .. } = *survey.header(slot)?;
            Some(SlotCertificate { slot, not_before, not_after, received: written })
        };
        let errors = [&survey.a, &survey.b].into_iter().filter_map(|slot| slot.as_ref().err()).map(ToString::to_string);
        Kept { active: record(selected.active), trial: record(selected.trial), errors: errors.collect() }
    }

    pub(super) fn read(&mut self, slot: Slot) -> Result<Record, StoreError<FileError>> {
        let buffer = |octets: u32| vec![0; usize::try_from(octets).unwrap_or_default()];
        let (mut key, mut chain) = (buffer(MAX_KEY), buffer(MAX_CHAIN));
        let header = self.header(slot).ok_or(StoreError::NoRecord(slot))?;
        let stored = self.store.read(slot, &mut key, &mut chain)?;
        Ok(Record {
            key: stored.key.to_vec(),
            chain: certificates(stored.chain).map(|der| CertificateDer::from(der.to_vec())).collect(),
            not_before: header.not_before,
            not_after: header.not_after,
        })
    }

    pub(super) fn write(&mut self, slot: Slot, record: &Record, now: UnixTime) -> Result<(), StoreError<FileError>> {
        let chain = record.chain.iter().flat_map(|der| der.iter().copied()).collect::<Vec<u8>>();
        let new = NewRecord {
            key: &record.key,
            chain: &chain,
            not_before: record.not_before,
            not_after: record.not_after,
            // A clock that is ahead is trusted only within the certificate's validity.
            time_seen: now.clamp(record.not_before, record.not_after.max(record.not_before)),
        };
        self.store.write_beside(slot, &new).map(drop)
    }

    pub(super) fn confirm(&mut self, slot: Slot) -> Result<(), StoreError<FileError>> {
        self.store.confirm(slot)
    }

    pub(super) fn discard(&mut self, slot: Slot) -> Result<(), StoreError<FileError>> {
        self.store.discard(slot)
    }

    /// Returns the number of a slot's record, which grows with each record; 0 for none.
    pub(super) fn generation(&mut self, slot: Slot) -> u32 {
        self.header(slot).map_or(0, |header| header.generation)
    }

    fn header(&mut self, slot: Slot) -> Option<Header> {
        self.store.survey().header(slot).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_that_was_never_confirmed_makes_room_for_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let mut slots = Slots::new(parent.path()).unwrap();
        let at = |seconds| UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let record = |number: u8| Record {
            key: vec![number],
            chain: vec![CertificateDer::from(vec![0x30, 1, number])],
            not_before: at(number.into()),
            not_after: at(number.into()),
        };
        slots.write(Slot::A, &record(1), at(9)).unwrap();
        slots.confirm(Slot::A).unwrap();
        slots.write(Slot::B, &record(2), at(9)).unwrap();
        // The confirmation of slot B failed; the rotation continues.
        slots.write(Slot::A, &record(3), at(9)).unwrap();
        let kept = slots.kept();
        assert_eq!((kept.active.unwrap().not_after, kept.trial.unwrap().not_after), (at(2), at(3)));
        assert_eq!(slots.read(kept.trial.unwrap().slot).unwrap(), record(3));
    }
}
