//! The credential that several gateways share, as one of them sees it.

use std::fmt;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::watch;
use tokio::time::{Instant, interval, sleep_until};

use super::bucket::{Bucket, BucketError, Revision};
use super::document::{Answer, Document, DocumentError, SHARED, name_of};
use super::lease::{BEAT, LEASE, Own, Step, step};
use super::sealing::SealingKeys;
use crate::store::{Entry, Record};

/// The number of times that a write is tried over what others write.
const ROUNDS: usize = 16;

/// The reason that a shared credential cannot be used now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum SharedError {
    /// The store does not answer.
    Store(String, BucketError),
    /// What is stored cannot be used.
    Document(String, DocumentError),
    /// Another gateway has the lease.
    LeaseLost(String),
    /// Another gateway has ordered, and failed.
    Failed(String),
}

impl fmt::Display for SharedError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Store(place, error) => write!(f, "{place}: {error}"),
            Self::Document(place, error) => write!(f, "{place}: {error}"),
            Self::LeaseLost(place) => write!(f, "{place}: another gateway orders now"),
            Self::Failed(reason) => write!(f, "another gateway ordered: {reason}"),
        }
    }
}

impl std::error::Error for SharedError {}

/// What a gateway knows of the document.
#[derive(Clone, Debug, Default)]
struct Seen {
    revision: Revision,
    document: Arc<Document>,
    /// The time at which the document, or a sign of life, changed last.
    heard: Option<Instant>,
}

/// A shared credential.
pub(crate) struct Shared {
    bucket: Arc<dyn Bucket>,
    /// The place of the credential in the bucket.
    place: String,
    keys: SealingKeys,
    /// The name of this process.
    name: String,
    seen: watch::Sender<Seen>,
    own: Mutex<Own>,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("place", &self.place).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Shared {
    /// `own` is the generation with its certificate that this gateway has a copy of.
    pub(crate) fn new(
        bucket: Arc<dyn Bucket>,
        place: &str,
        keys: SealingKeys,
        name: &str,
        own: (u64, Option<String>),
    ) -> Self {
        let (generation, certificate) = own;
        let own = Own { name: name.to_owned(), token: None, generation, certificate, failures: 0 };
        Self {
            bucket,
            place: place.to_owned(),
            keys,
            name: name.to_owned(),
            seen: watch::Sender::default(),
            own: Mutex::new(own),
        }
    }

    fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn document_key(&self) -> String {
        format!("{}.document", self.place)
    }

    fn beat_key(&self) -> String {
        format!("{}.beat", self.place)
    }

    fn away(&self, error: BucketError) -> SharedError {
        SharedError::Store(format!("{}: {}", self.bucket, self.place), error)
    }

    /// Returns the generation that this gateway has, with the name of its certificate.
    pub(crate) fn generation(&self) -> (u64, Option<String>) {
        let own = self.own();
        (own.generation, own.certificate.clone())
    }

    /// Follows the store until the future is dropped.
    pub(crate) async fn follow(&self) {
        let (mut documents, mut beats) =
            (self.bucket.follow(&self.document_key()), self.bucket.follow(&self.beat_key()));
        loop {
            tokio::select! {
                Ok(()) = documents.changed() => {
                    let value = documents.borrow_and_update().clone();
                    if let Ok(value) = value {
                        // What cannot be opened is told by whoever needs it.
                        let _ = self.take_note(value.revision, value.octets.as_deref());
                    }
                }
                Ok(()) = beats.changed() => {
                    if beats.borrow_and_update().is_ok() {
                        self.seen.send_modify(|seen| seen.heard = Some(Instant::now()));
                    }
                }
                else => std::future::pending().await,
            }
        }
    }

    /// Takes note of a revision, unless a newer one is known.
    fn take_note(&self, revision: Revision, octets: Option<&[u8]>) -> Result<(), SharedError> {
        let document = match octets {
            None => Document::default(),
            Some(octets) => Document::open(octets, &self.place, &self.keys)
                .map_err(|error| SharedError::Document(self.place.clone(), error))?,
        };
        self.note(revision, document);
        Ok(())
    }

    fn note(&self, revision: Revision, document: Document) {
        self.seen.send_if_modified(|seen| {
            let newer = revision > seen.revision || seen.heard.is_none();
            if newer {
                *seen = Seen { revision, document: Arc::new(document), heard: Some(Instant::now()) };
            }
            newer
        });
    }

    /// Asks the store for the document. A store that went back has a lower revision.
    async fn look(&self) -> Result<Seen, SharedError> {
        let value = self.bucket.get(&self.document_key()).await.map_err(|error| self.away(error))?;
        self.take_note(value.revision, value.octets.as_deref())?;
        Ok(self.seen.borrow().clone())
    }

    /// Replaces the document over this revision.
    async fn write(&self, over: Revision, document: Document) -> Result<(), SharedError> {
        let octets = document.seal(&self.place, &self.keys);
        let octets = octets.map_err(|error| SharedError::Document(self.place.clone(), error))?;
        let written = match self.bucket.replace(&self.document_key(), octets.clone(), over).await {
            Err(BucketError::Away(reason)) => {
                // The answer may be lost, and the write not.
                let value = self.bucket.get(&self.document_key()).await.map_err(|error| self.away(error))?;
                if value.octets.as_deref() == Some(&octets) { Ok(value.revision) } else { Err(BucketError::Away(reason)) }
            }
            written => written,
        };
        let revision = written.map_err(|error| self.away(error))?;
        self.note(revision, document);
        Ok(())
    }

    /// Changes the document while this gateway has the lease.
    async fn change(&self, change: impl Fn(&mut Document)) -> Result<(), SharedError> {
        let lost = || SharedError::LeaseLost(self.place.clone());
        for _ in 0..ROUNDS {
            let seen = self.seen.borrow().clone();
            let header = &seen.document.header;
            let token = self.own().token;
            if token != Some(header.token) || header.holder.as_deref() != Some(&self.name) {
                self.own().token = None;
                return Err(lost());
            }
            let mut document = (*seen.document).clone();
            change(&mut document);
            match self.write(seen.revision, document).await {
                Err(SharedError::Store(_, BucketError::Conflict)) => drop(self.look().await?),
                done => return done,
            }
        }
        Err(lost())
    }

    /// Returns a shared entry as it was heard of last.
    pub(crate) fn entry(&self, entry: Entry) -> Option<Vec<u8>> {
        debug_assert!(SHARED.contains(&entry), "{entry:?} is not shared");
        self.seen.borrow().document.contents.entries.get(&entry).cloned()
    }

    /// Replaces a shared entry, or removes it.
    ///
    /// # Errors
    /// Fails if this gateway has no lease, or the store does not take it; then whoever asks the CA does not go on.
    pub(crate) async fn keep(&self, entry: Entry, octets: Option<&[u8]>) -> Result<(), SharedError> {
        self.change(|document| match octets {
            Some(octets) => drop(document.contents.entries.insert(entry, octets.to_vec())),
            None => drop(document.contents.entries.remove(&entry)),
        })
        .await
    }

    /// Returns whether this gateway took the lease, and has not heard that it lost it.
    pub(crate) fn holds(&self) -> bool {
        self.own().token.is_some()
    }

    /// Has all gateways answer these challenges.
    ///
    /// # Errors
    /// Fails if this gateway has no lease, or the store does not take it.
    pub(crate) async fn announce(&self, answers: &[Answer]) -> Result<(), SharedError> {
        self.change(|document| document.contents.answers = answers.to_vec()).await
    }

    /// Returns the answers that all gateways give now.
    pub(crate) fn answers(&self) -> Vec<Answer> {
        self.seen.borrow().document.contents.answers.clone()
    }

    /// Writes a certificate for all gateways. Whatever was under way is over, and the lease is free.
    ///
    /// # Errors
    /// Fails if this gateway has no lease any more: the certificate is then not to be shown.
    pub(crate) async fn publish(&self, record: &Record) -> Result<(), SharedError> {
        let Some(name) = name_of(record) else {
            return Err(SharedError::Document(self.place.clone(), DocumentError::Malformed("a chain without a leaf")));
        };
        self.change(|document| {
            document.header = document.header.published(name.clone());
            document.contents.record = Some(record.clone());
            document.contents.entries.remove(&Entry::Order);
            (document.contents.answers, document.contents.failure) = (Vec::new(), None);
        })
        .await?;
        self.adopted();
        Ok(())
    }

    /// Notes that this gateway has the document's certificate.
    fn adopted(&self) -> Option<Record> {
        let document = self.seen.borrow().document.clone();
        let mut own = self.own();
        (own.generation, own.certificate) = (document.header.generation, document.header.certificate.clone());
        (own.token, own.failures) = (None, document.header.failures);
        document.contents.record.clone()
    }

    /// Waits for a certificate that this gateway does not have.
    pub(crate) async fn newer(&self) {
        let mut seen = self.seen.subscribe();
        loop {
            {
                let seen = seen.borrow_and_update();
                let lapsed = false;
                if seen.heard.is_some() && step(&seen.document.header, &self.own(), lapsed) == Step::Adopt {
                    return;
                }
            }
            if seen.changed().await.is_err() {
                std::future::pending::<()>().await;
            }
        }
    }

    /// Returns a certificate that this gateway does not have: of another gateway, or the one that `order` obtains once
    /// this gateway has the lease.
    ///
    /// # Errors
    /// Returns why there is none.
    pub(crate) async fn obtain<E, F>(&self, current: Option<&Record>, order: impl FnOnce() -> F) -> Result<Record, E>
    where
        E: From<SharedError> + fmt::Display,
        F: Future<Output = Result<Record, E>>,
    {
        let first = self.look().await?;
        self.own().failures = first.document.header.failures;
        let mut seen = self.seen.subscribe();
        loop {
            let now = seen.borrow_and_update().clone();
            let heard = now.heard.unwrap_or_else(Instant::now);
            let ends = heard.checked_add(LEASE).unwrap_or(heard);
            let header = &now.document.header;
            let next = step(header, &self.own(), Instant::now() >= ends);
            match next {
                Step::Adopt => match self.adopted() {
                    Some(record) => return Ok(record),
                    None => return Err(self.without_record().into()),
                },
                Step::Fail => {
                    let reason = now.document.contents.failure.clone().unwrap_or_default();
                    self.own().failures = header.failures;
                    return Err(SharedError::Failed(reason).into());
                }
                Step::Order => break,
                Step::Take(token) => {
                    let taken = Document { header: header.taken(&self.name, token), ..(*now.document).clone() };
                    match self.write(now.revision, taken).await {
                        Ok(()) => self.own().token = Some(token),
                        Err(SharedError::Store(_, BucketError::Conflict)) => drop(self.look().await?),
                        Err(error) => return Err(error.into()),
                    }
                }
                Step::Restore => {
                    let Some(record) = current else { return Err(self.without_record().into()) };
                    let mut restored = (*now.document).clone();
                    restored.header = restored.header.restored(&self.own());
                    restored.contents.record = Some(record.clone());
                    match self.write(now.revision, restored).await {
                        Ok(()) => {}
                        Err(SharedError::Store(_, BucketError::Conflict)) => drop(self.look().await?),
                        Err(error) => return Err(error.into()),
                    }
                }
                Step::Wait => {
                    tokio::select! {
                        _ = seen.changed() => {}
                        () = sleep_until(ends) => drop(self.look().await?),
                    }
                }
            }
        }
        let ordered = tokio::select! {
            ordered = order() => ordered,
            () = self.beat() => Err(SharedError::LeaseLost(self.place.clone()).into()),
        };
        if let Err(error) = &ordered {
            let reason = error.to_string();
            let failed = self.change(|document| {
                document.header = document.header.failed();
                (document.contents.answers, document.contents.failure) = (Vec::new(), Some(reason.clone()));
            });
            // Without an answer the lease ends by itself.
            let _ = failed.await;
            let failures = self.seen.borrow().document.header.failures;
            let mut own = self.own();
            (own.token, own.failures) = (None, failures);
        }
        ordered
    }

    fn without_record(&self) -> SharedError {
        SharedError::Document(self.place.clone(), DocumentError::Malformed("no certificate"))
    }

    /// Says that this gateway is alive, until it has lost the lease.
    async fn beat(&self) {
        let (mut ticks, mut count) = (interval(BEAT), 0_u64);
        loop {
            ticks.tick().await;
            let header = self.seen.borrow().document.header.clone();
            let token = self.own().token;
            if token != Some(header.token) || header.holder.as_deref() != Some(&self.name) {
                return;
            }
            count = count.wrapping_add(1);
            let sign = format!("{} {} {count}", self.name, header.token);
            // Where nobody hears it, the lease ends.
            let put = self.bucket.put(&self.beat_key(), sign.into_bytes());
            let _ = tokio::time::timeout(Duration::from_secs(2), put).await;
        }
    }
}
