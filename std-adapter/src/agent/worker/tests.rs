//! A worker whose credential is kept in another kind of home: in memory, where each operation takes a while, and where
//! the hold can be lost as a lease can.

use std::collections::HashMap;
use std::fmt;
use std::io::ErrorKind;
use std::net::{Ipv4Addr, TcpListener};
use std::sync::{Mutex, MutexGuard};

use edgetrust_core::config::{AcmeKeys, AcmeOrdering};
use edgetrust_core::rotation::SlotCertificate;
use pki_types::{CertificateDer, UnixTime};

use super::*;
use crate::acme::{Purposes, Settings};
use crate::store::{Entry, Home, Kept, PemFiles, Pending, Storage, StorageError};

#[derive(Debug, Default)]
struct Contents {
    /// The records by their slots, and whether each is confirmed.
    slots: HashMap<u8, (Record, bool)>,
    entries: HashMap<Entry, Vec<u8>>,
    published: Option<Slot>,
    is_held: bool,
    is_lost: bool,
}

#[derive(Clone, Debug, Default)]
struct Memory(Arc<Mutex<Contents>>);

impl Memory {
    fn contents(&self) -> MutexGuard<'_, Contents> {
        self.0.lock().unwrap()
    }

    fn home(&self) -> Home {
        Home::new("memory", self.clone())
    }

    fn after_a_while<'a, T: 'a>(
        &'a self,
        work: impl FnOnce(&mut Contents) -> Result<T, StorageError> + Send + 'a,
    ) -> Pending<'a, T> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            work(&mut self.contents())
        })
    }

    fn change<'a>(&'a self, work: impl FnOnce(&mut Contents) + Send + 'a) -> Pending<'a, ()> {
        self.after_a_while(|contents| {
            if contents.is_lost {
                return Err(StorageError::Failed("another gateway holds it".into()));
            }
            work(contents);
            Ok(())
        })
    }
}

fn number(slot: Slot) -> u8 {
    u8::from(slot == Slot::B)
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("memory")
    }
}

impl Storage for Memory {
    fn take(&self) -> Pending<'_, Arc<dyn Held>> {
        self.after_a_while(|contents| match std::mem::replace(&mut contents.is_held, true) {
            true => Err(StorageError::InUse("memory: another gateway holds it".to_owned())),
            false => Ok(Arc::new(self.clone()) as Arc<dyn Held>),
        })
    }

    fn kept(&self) -> Pending<'_, Kept> {
        Held::kept(self)
    }

    fn read(&self, slot: Slot) -> Pending<'_, Record> {
        Held::read(self, slot)
    }

    fn look(&self, entry: Entry) -> Pending<'_, Option<Vec<u8>>> {
        Held::look(self, entry)
    }

    fn leave<'a>(&'a self, entry: Entry, octets: &'a [u8]) -> Pending<'a, ()> {
        Held::keep(self, entry, octets)
    }
}

impl Held for Memory {
    fn kept(&self) -> Pending<'_, Kept> {
        self.after_a_while(|contents| {
            let record = |confirmed| {
                let slot = Slot::BOTH.into_iter().find(|slot| {
                    contents.slots.get(&number(*slot)).is_some_and(|(_, is_confirmed)| *is_confirmed == confirmed)
                })?;
                let (Record { not_before, not_after, .. }, _) = contents.slots.get(&number(slot))?;
                Some(SlotCertificate { slot, not_before: *not_before, not_after: *not_after, received: *not_before })
            };
            Ok(Kept { active: record(true), trial: record(false), errors: Vec::new() })
        })
    }

    fn read(&self, slot: Slot) -> Pending<'_, Record> {
        self.after_a_while(move |contents| {
            let record = contents.slots.get(&number(slot)).map(|(record, _)| record.clone());
            record.ok_or_else(|| StorageError::Failed(format!("{slot} holds no record").into()))
        })
    }

    fn stage(&self, slot: Slot, record: Record, _: UnixTime) -> Pending<'_, ()> {
        self.change(move |contents| drop(contents.slots.insert(number(slot), (record, false))))
    }

    fn confirm(&self, slot: Slot) -> Pending<'_, ()> {
        self.change(move |contents| {
            for (place, (_, is_confirmed)) in &mut contents.slots {
                *is_confirmed = *place == number(slot);
            }
        })
    }

    fn discard(&self, slot: Slot) -> Pending<'_, ()> {
        self.change(move |contents| drop(contents.slots.remove(&number(slot))))
    }

    fn is_published(&self, slot: Slot) -> Pending<'_, bool> {
        self.after_a_while(move |contents| Ok(contents.published == Some(slot)))
    }

    fn publish(&self, slot: Slot, _: Record) -> Pending<'_, ()> {
        self.change(move |contents| contents.published = Some(slot))
    }

    fn pem_files(&self) -> PemFiles {
        PemFiles { cert_file: "cert".to_owned(), key_file: "key".to_owned() }
    }

    fn look(&self, entry: Entry) -> Pending<'_, Option<Vec<u8>>> {
        self.after_a_while(move |contents| Ok(contents.entries.get(&entry).cloned()))
    }

    fn keep<'a>(&'a self, entry: Entry, octets: &'a [u8]) -> Pending<'a, ()> {
        self.change(move |contents| drop(contents.entries.insert(entry, octets.to_vec())))
    }

    fn forget(&self, entry: Entry) -> Pending<'_, ()> {
        self.change(move |contents| drop(contents.entries.remove(&entry)))
    }

    fn try_writing(&self) -> Pending<'_, ()> {
        self.change(|_| {})
    }
}

/// Settings for a directory at this port of this machine.
fn settings(home: Home, port: u16) -> Settings {
    let root = CertificateDer::from(&include_bytes!("../../../../firmware-example/src/bin/bench/root.der")[..]);
    Settings {
        domains: vec!["a.example".to_owned()],
        home,
        roots: vec![root.clone()].into(),
        anchors: vec![root],
        denied_keys: Vec::new(),
        eab: None,
        storage: None,
        via: None,
        ordering: AcmeOrdering {
            directory_url: format!("https://127.0.0.1:{port}/directory"),
            renew_before_s: 3600,
            http_listen: (Ipv4Addr::LOCALHOST, 1).into(),
            keys: AcmeKeys::default(),
        },
        purposes: Purposes::default(),
    }
}

async fn worker(memory: &Memory, port: u16) -> (Worker, watch::Sender<Arc<Assignment>>) {
    let home = memory.home();
    let held = home.take().await.unwrap();
    let status = Arc::new(CredentialStatus::new("a.example".to_owned(), home.clone()));
    let (assigned, seen) = watch::channel(Arc::new(Assignment { settings: settings(home, port), fallback: None }));
    let worker = Worker::restore(seen, held, Responders::default(), LiveCredential::new(), status).await;
    (worker.unwrap(), assigned)
}

/// A port that refuses connections.
fn closed_port() -> u16 {
    TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn an_attempt_keeps_its_account_where_the_credential_is_kept() {
    let memory = Memory::default();
    let (worker, _assigned) = worker(&memory, closed_port()).await;
    assert!(matches!(memory.home().take().await.unwrap_err(), StorageError::InUse(_)));
    let Once::Failed(reason) = worker.once(false).await else { panic!("there is no CA") };
    assert!(reason.contains("Connection refused"), "{reason}");
    let contents = memory.contents();
    assert!(contents.entries.contains_key(&Entry::Seed) && contents.entries.contains_key(&Entry::Account));
}

#[tokio::test]
async fn whoever_has_lost_the_hold_asks_the_ca_for_nothing() {
    let memory = Memory::default();
    let directory = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
    directory.set_nonblocking(true).unwrap();
    let (worker, _assigned) = worker(&memory, directory.local_addr().unwrap().port()).await;
    memory.contents().is_lost = true;
    let Once::Failed(reason) = worker.once(false).await else { panic!("nothing can be kept") };
    assert!(reason.contains("another gateway holds it"), "{reason}");
    assert_eq!(directory.accept().unwrap_err().kind(), ErrorKind::WouldBlock);
    assert!(!memory.contents().entries.contains_key(&Entry::Account));
}

#[tokio::test]
async fn a_request_that_is_left_in_the_home_is_answered_there() {
    let memory = Memory::default();
    let (worker, _assigned) = worker(&memory, closed_port()).await;
    request::ask(&memory.home(), "17").await.unwrap();
    let running = tokio::spawn(worker.run());
    let answer = loop {
        if let Some(answer) = request::answered(&memory.home(), "17").await.unwrap() {
            break answer;
        }
        sleep(Duration::from_millis(10)).await;
    };
    running.abort();
    assert!(answer.unwrap_err().contains("Connection refused"));
    assert!(!memory.contents().entries.contains_key(&Entry::Request));
}

#[tokio::test]
async fn a_confirmed_certificate_is_published_and_its_order_forgotten() {
    let memory = Memory::default();
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let record = Record { key: vec![1], chain: vec![vec![0x30, 0].into()], not_before: at(1), not_after: at(2) };
    memory.contents().entries.insert(Entry::Order, b"{}".to_vec());
    let status = Arc::new(CredentialStatus::new("a.example".to_owned(), memory.home()));
    let mut keeper = Keeper::new(memory.home().take().await.unwrap(), status.clone());
    keeper.obtained(record.clone());
    keeper.persist(Slot::B).await.unwrap();
    assert_eq!(keeper.kept().await.unwrap().trial.unwrap().slot, Slot::B);
    keeper.confirm(Slot::B, Some(Slot::B)).await.unwrap();
    assert_eq!(keeper.kept().await.unwrap().active.unwrap().slot, Slot::B);
    assert_eq!(keeper.record(Slot::B, None).await.unwrap(), record);
    let contents = memory.contents();
    assert_eq!((contents.published, contents.entries.len(), status.issued_total()), (Some(Slot::B), 0, 1));
}
