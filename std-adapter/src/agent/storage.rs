//! Stores a credential in the two slots and the folder around them.

use std::collections::hash_map::RandomState;
use std::fmt::Write as _;
use std::hash::{BuildHasher, Hasher};
use std::path::Path;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::rotation::Credential as Record;
use edgetrust_core::store::{Header, MAX_CHAIN, MAX_KEY, NewRecord, Slot, Store, StoreError, certificates};
use pki_types::CertificateDer;

use super::status::CredentialStatus;
use crate::acme::Issued;
use crate::clock;
use crate::store::{FileError, FileMedium, Folder, live_generation, write_live};

/// The slots of a folder; writing requires the folder's lock, reading does not.
#[derive(Debug)]
pub struct Storage {
    store: Store<FileMedium>,
}

/// The contents of a folder.
#[derive(Clone, Debug)]
pub struct Kept {
    /// The newest confirmed record.
    pub active: Option<Record>,
    /// A newer record that was never confirmed.
    pub trial: Option<Record>,
    /// The read errors.
    pub errors: Vec<String>,
}

impl Storage {
    /// Opens the slots of a folder, which need not exist.
    ///
    /// # Errors
    /// Fails if slots cannot be kept in files.
    pub fn new(folder: &Path) -> Result<Self, StoreError<FileError>> {
        Ok(Self { store: Store::new(FileMedium::new(folder))? })
    }

    /// Returns the records that count, and every read error.
    pub fn kept(&mut self) -> Kept {
        let survey = self.store.survey();
        let selected = survey.selected();
        let record = |slot: Option<Slot>| {
            let slot = slot?;
            let Header { not_before, not_after, written, .. } = *survey.header(slot)?;
            Some(Record { slot, not_before, not_after, received: written })
        };
        let errors = [&survey.a, &survey.b].into_iter().filter_map(|slot| slot.as_ref().err()).map(ToString::to_string);
        Kept { active: record(selected.active), trial: record(selected.trial), errors: errors.collect() }
    }

    /// Returns the key and the chain of a slot.
    ///
    /// # Errors
    /// Returns why they cannot be read.
    pub fn read(&mut self, record: &Record) -> Result<Issued, StoreError<FileError>> {
        let buffer = |octets: u32| vec![0; usize::try_from(octets).unwrap_or_default()];
        let (mut key, mut chain) = (buffer(MAX_KEY), buffer(MAX_CHAIN));
        let stored = self.store.read(record.slot, &mut key, &mut chain)?;
        Ok(Issued {
            key: stored.key.to_vec(),
            chain: certificates(stored.chain).map(|der| CertificateDer::from(der.to_vec())).collect(),
            not_before: record.not_before,
            not_after: record.not_after,
        })
    }

    pub(super) fn write(&mut self, slot: Slot, issued: &Issued) -> Result<(), StoreError<FileError>> {
        let chain = issued.chain.iter().flat_map(|der| der.iter().copied()).collect::<Vec<u8>>();
        let record = NewRecord {
            key: &issued.key,
            chain: &chain,
            not_before: issued.not_before,
            not_after: issued.not_after,
            // A clock that is ahead is trusted only within the certificate's validity.
            time_seen: clock::now().clamp(issued.not_before, issued.not_after.max(issued.not_before)),
        };
        self.store.write_beside(slot, &record).map(drop)
    }

    pub(super) fn confirm(&mut self, slot: Slot) -> Result<(), StoreError<FileError>> {
        self.store.confirm(slot)
    }

    pub(super) fn discard(&mut self, slot: Slot) -> Result<(), StoreError<FileError>> {
        self.store.discard(slot)
    }

    fn generation(&mut self, slot: Slot) -> u32 {
        self.store.survey().header(slot).map_or(0, |header| header.generation)
    }

    /// Returns whether the PEM copies are of this slot; a crash may have prevented them.
    pub(super) fn is_live(&mut self, folder: &Folder, slot: Slot) -> bool {
        let generation = self.generation(slot);
        live_generation(folder) == Some(generation)
    }

    /// Writes the PEM copies for other programs.
    pub(super) fn write_live(&mut self, folder: &Arc<Folder>, slot: Slot, issued: &Issued) -> Result<(), String> {
        let generation = self.generation(slot);
        let chain: String = issued.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
        write_live(folder, generation, &chain, &pem("PRIVATE KEY", &issued.key)).map_err(|error| error.to_string())
    }
}

/// Encodes a PEM block (RFC 7468 section 2).
fn pem(label: &str, der: &[u8]) -> String {
    let base64 = BASE64_STANDARD.encode(der);
    let mut out = format!("-----BEGIN {label}-----\n");
    let mut rest = base64.as_str();
    while let Some((line, after)) = rest.split_at_checked(rest.len().min(64)).filter(|(line, _)| !line.is_empty()) {
        // Writing to a String cannot fail.
        let _ = writeln!(out, "{line}");
        rest = after;
    }
    out + &format!("-----END {label}-----\n")
}

/// Returns the folder's random number, the same after each start, which spreads renewals over a fleet.
pub(super) fn seed(folder: &Folder, status: &CredentialStatus) -> u64 {
    const FILE: &str = "seed";
    let known = folder.read(FILE).ok().flatten();
    let known = known.and_then(|text| String::from_utf8(text).ok()).and_then(|text| text.trim().parse().ok());
    known.unwrap_or_else(|| {
        let seed = RandomState::new().build_hasher().finish();
        if let Err(error) = folder.write(FILE, format!("{seed}\n").as_bytes()) {
            log!(warn, status, "{error}: after the next start renewals are spread otherwise");
        }
        seed
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use pki_types::pem::PemObject;

    #[test]
    fn pem_is_read_back() {
        for size in [0_u8, 1, 47, 48, 49, 200] {
            let der: Vec<u8> = (0..size).collect();
            let text = pem("CERTIFICATE", &der);
            assert!(text.lines().all(|line| line.len() <= 64), "{text}");
            assert_eq!(CertificateDer::from_pem_slice(text.as_bytes()).unwrap().as_ref(), der);
        }
    }

    #[test]
    fn a_record_that_was_never_confirmed_makes_room_for_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let mut storage = Storage::new(parent.path()).unwrap();
        let at = |seconds| pki_types::UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        let issued = |number: u8| Issued {
            key: vec![number],
            chain: vec![CertificateDer::from(vec![0x30, 1, number])],
            not_before: at(number.into()),
            not_after: at(number.into()),
        };
        storage.write(Slot::A, &issued(1)).unwrap();
        storage.confirm(Slot::A).unwrap();
        storage.write(Slot::B, &issued(2)).unwrap();
        // The confirmation of slot B failed; the rotation continues.
        storage.write(Slot::A, &issued(3)).unwrap();
        let kept = storage.kept();
        assert_eq!((kept.active.unwrap().not_after, kept.trial.unwrap().not_after), (at(2), at(3)));
        assert_eq!(storage.read(&kept.trial.unwrap()).unwrap().chain, issued(3).chain);
    }

    #[test]
    fn a_folder_keeps_its_seed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = Folder::open(parent.path()).unwrap();
        let status = CredentialStatus::new("a.example".to_owned(), parent.path().to_owned());
        assert_eq!(seed(&folder, &status), seed(&folder, &status));
    }
}
