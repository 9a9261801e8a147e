//! Keeps a credential in a folder: two slots, small files, and PEM copies in `live`.

use std::fmt::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use edgetrust_core::store::{Slot, StoreError};
use pki_types::UnixTime;

use super::error::StorageError;
use super::file::FileError;
use super::folder::{Folder, FolderError, leave, look};
use super::home::{Entry, Held, Home, Kept, PemFiles, Pending, Record, Storage};
use super::live::{live_generation, write_live};
use super::slots::Slots;

impl Home {
    /// Returns the home in a folder, which need not exist.
    pub fn folder(path: &str) -> Self {
        // One folder may be written in several ways: with a slash at the end, say.
        let place: PathBuf = Path::new(path).components().collect();
        Self::new(&place.to_string_lossy(), FolderStorage(PathBuf::from(path)))
    }
}

impl From<FolderError> for StorageError {
    fn from(error: FolderError) -> Self {
        match error {
            FolderError::InUse(_) => Self::InUse(error.to_string()),
            FolderError::Io { .. } => Self::failed(error),
        }
    }
}

impl From<StoreError<FileError>> for StorageError {
    fn from(error: StoreError<FileError>) -> Self {
        match error {
            StoreError::Medium(error) => Self::failed(error),
            other => Self::failed(other),
        }
    }
}

/// Runs work in a thread of its own: disks are slow, and handshakes must not wait for them. The work ends even if
/// nobody waits for it any more.
fn aside<T: Send + 'static>(work: impl FnOnce() -> Result<T, StorageError> + Send + 'static) -> Pending<'static, T> {
    Box::pin(
        async move { tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(StorageError::failed(error))) },
    )
}

/// A folder that anybody may hold.
#[derive(Debug)]
struct FolderStorage(PathBuf);

impl fmt::Display for FolderStorage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.display().fmt(f)
    }
}

impl FolderStorage {
    fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Path) -> Result<T, StorageError> + Send + 'static,
    ) -> Pending<'static, T> {
        let path = self.0.clone();
        aside(move || work(&path))
    }
}

impl Storage for FolderStorage {
    fn take(&self) -> Pending<'_, Arc<dyn Held>> {
        self.aside(|path| {
            let folder = Folder::open(path)?;
            let slots = Mutex::new(Slots::new(path)?);
            Ok(Arc::new(HeldFolder(Arc::new(Contents { folder, slots, writing: Arc::default() }))) as Arc<dyn Held>)
        })
    }

    fn kept(&self) -> Pending<'_, Kept> {
        self.aside(|path| Ok(Slots::new(path)?.kept()))
    }

    fn read(&self, slot: Slot) -> Pending<'_, Record> {
        self.aside(move |path| Ok(Slots::new(path)?.read(slot)?))
    }

    fn look(&self, entry: Entry) -> Pending<'_, Option<Vec<u8>>> {
        self.aside(move |path| Ok(look(path, entry.name())?))
    }

    fn leave<'a>(&'a self, entry: Entry, octets: &'a [u8]) -> Pending<'a, ()> {
        let octets = octets.to_vec();
        self.aside(move |path| Ok(leave(path, entry.name(), &octets)?))
    }
}

/// A folder that this process holds. Work that still runs holds it too.
#[derive(Debug)]
struct HeldFolder(Arc<Contents>);

#[derive(Debug)]
struct Contents {
    folder: Folder,
    slots: Mutex<Slots>,
    /// Held by the one write to the small files that is under way. A write goes on when nobody waits for it any more,
    /// and the next one must come after it.
    writing: Arc<tokio::sync::Mutex<()>>,
}

impl Contents {
    /// Locks the slots. The store bears an operation that ended anywhere.
    fn slots(&self) -> MutexGuard<'_, Slots> {
        self.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl HeldFolder {
    fn aside<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Contents) -> Result<T, StorageError> + Send + 'static,
    ) -> Pending<'static, T> {
        let contents = self.0.clone();
        aside(move || work(&contents))
    }

    /// As [`Self::aside`], after all earlier work of this kind.
    fn in_turn<T: Send + 'static>(
        &self,
        work: impl FnOnce(&Contents) -> Result<T, StorageError> + Send + 'static,
    ) -> Pending<'static, T> {
        let contents = self.0.clone();
        Box::pin(async move {
            let turn = contents.writing.clone().lock_owned().await;
            aside(move || {
                let done = work(&contents);
                drop(turn);
                done
            })
            .await
        })
    }
}

impl Held for HeldFolder {
    fn kept(&self) -> Pending<'_, Kept> {
        self.aside(|contents| Ok(contents.slots().kept()))
    }

    fn read(&self, slot: Slot) -> Pending<'_, Record> {
        self.aside(move |contents| Ok(contents.slots().read(slot)?))
    }

    fn stage(&self, slot: Slot, record: Record, now: UnixTime) -> Pending<'_, ()> {
        self.aside(move |contents| Ok(contents.slots().write(slot, &record, now)?))
    }

    fn confirm(&self, slot: Slot) -> Pending<'_, ()> {
        self.aside(move |contents| Ok(contents.slots().confirm(slot)?))
    }

    fn discard(&self, slot: Slot) -> Pending<'_, ()> {
        self.aside(move |contents| Ok(contents.slots().discard(slot)?))
    }

    fn is_published(&self, slot: Slot) -> Pending<'_, bool> {
        self.aside(move |contents| {
            let generation = contents.slots().generation(slot);
            Ok(live_generation(&contents.folder) == Some(generation))
        })
    }

    fn publish(&self, slot: Slot, record: Record) -> Pending<'_, ()> {
        self.in_turn(move |contents| {
            let generation = contents.slots().generation(slot);
            let chain: String = record.chain.iter().map(|der| pem("CERTIFICATE", der)).collect();
            // A key in a token stays there: other programs get its name.
            let key = record.token().map_or_else(|| pem("PRIVATE KEY", &record.key), |uri| format!("{uri}\n"));
            Ok(write_live(&contents.folder, generation, &chain, &key)?)
        })
    }

    fn pem_files(&self) -> PemFiles {
        let live = self.0.folder.path().join("live");
        let file = |name| live.join(name).display().to_string();
        PemFiles { cert_file: file("cert.pem"), key_file: file("key.pem") }
    }

    fn look(&self, entry: Entry) -> Pending<'_, Option<Vec<u8>>> {
        if entry == Entry::Request {
            // Without a thread: the file is small, another process writes it, and it is looked for every second.
            return Box::pin(async move { Ok(self.0.folder.read(entry.name())?) });
        }
        self.in_turn(move |contents| Ok(contents.folder.read(entry.name())?))
    }

    fn keep<'a>(&'a self, entry: Entry, octets: &'a [u8]) -> Pending<'a, ()> {
        let octets = octets.to_vec();
        self.in_turn(move |contents| Ok(contents.folder.write(entry.name(), &octets)?))
    }

    fn forget(&self, entry: Entry) -> Pending<'_, ()> {
        self.in_turn(move |contents| Ok(contents.folder.remove(entry.name())?))
    }

    fn try_writing(&self) -> Pending<'_, ()> {
        self.in_turn(|contents| Ok(contents.folder.try_writing()?))
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

#[cfg(test)]
mod tests {
    use super::*;
    use pki_types::CertificateDer;
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

    #[tokio::test]
    async fn making_a_home_changes_nothing_and_taking_it_keeps_others_out() {
        let parent = tempfile::tempdir().unwrap();
        let path = parent.path().join("a");
        let (home, same) = (Home::folder(path.to_str().unwrap()), Home::folder(&format!("{}/", path.display())));
        assert_eq!(home, same);
        assert!(home.kept().await.unwrap().active.is_none() && home.look(Entry::Account).await.unwrap().is_none());
        assert!(!path.exists());
        let held = home.take().await.unwrap();
        let error = same.take().await.unwrap_err();
        assert!(matches!(&error, StorageError::InUse(_)), "{error}");
        assert!(error.to_string().ends_with("another process uses this folder"), "{error}");
        drop(held);
        same.take().await.unwrap();
    }

    #[tokio::test]
    async fn a_write_that_nobody_waits_for_comes_before_the_next() {
        let parent = tempfile::tempdir().unwrap();
        let held = Home::folder(parent.path().to_str().unwrap()).take().await.unwrap();
        let long = vec![b'a'; 1 << 16];
        for _ in 0..50 {
            // Polled once, then dropped, as an order that is given up.
            tokio::select! {
                biased;
                _ = held.keep(Entry::Account, &long) => {}
                () = std::future::ready(()) => {}
            }
            let seen = held.look(Entry::Account).await.unwrap();
            assert_eq!(seen.unwrap_or_default().len(), long.len(), "the write is seen as soon as it was begun");
            held.keep(Entry::Account, b"next").await.unwrap();
            assert_eq!(held.look(Entry::Account).await.unwrap().as_deref(), Some(&b"next"[..]));
        }
    }

    #[tokio::test]
    async fn an_error_has_its_cause() {
        let parent = tempfile::tempdir().unwrap();
        let held = Home::folder(parent.path().to_str().unwrap()).take().await.unwrap();
        std::fs::create_dir(parent.path().join("order.json")).unwrap();
        let error = held.keep(Entry::Order, b"one").await.unwrap_err();
        assert!(error.to_string().contains("order.json: cannot be written: "), "{error}");
        let cause = std::error::Error::source(&error).unwrap();
        assert!(cause.is::<std::io::Error>() && error.to_string().ends_with(&cause.to_string()), "{cause}");
    }
}
