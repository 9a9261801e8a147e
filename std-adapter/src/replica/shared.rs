//! A credential that several gateways share, as one of them sees it: what stands in the store, what was heard of the
//! others, and what this gateway has of it.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use edgetrust_core::mesh::Digest;
use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use super::bucket::{Bucket, BucketError, News, Revision, Value};
use super::document::{Document, DocumentError, MAX_DOCUMENT, SHARED};
use super::error::SharedError;
use super::lease::{Header, LEASE, Own};
use super::presence::{Gateway, PRESENCE, Presence};
use super::sealing::SealingKeys;
use crate::store::{ChallengeAnswer, Entry};

/// The number of times that a write is tried over what others write.
const ROUNDS: usize = 16;

/// The interval at which the store is asked although nothing was heard: a connection may be dead, or news be lost.
const LOOK: Duration = Duration::from_secs(2);

/// The size limit of a sign of life, in octets.
const MAX_SIGN: usize = 256;

/// The store as a gateway knows it.
#[derive(Clone, Debug)]
pub(crate) struct Seen {
    pub(crate) revision: Revision,
    pub(crate) document: Arc<Document>,
    /// The digest of its text; `None` for none. A store that went back may come to a known revision with another text.
    text: Option<Digest>,
    /// The document was read once, maybe as one that is not there.
    pub(crate) known: bool,
    /// The time at which the document, or a sign of life of the holder, changed last.
    pub(crate) heard: Instant,
    /// The sign of life that was heard last.
    sign: Vec<u8>,
    /// The time since which the store does not answer, and why.
    pub(crate) away: Option<(Instant, String)>,
    /// The reason that what stands in the store cannot be used.
    pub(crate) fault: Option<DocumentError>,
}

impl Seen {
    /// Returns whether nothing was heard of the holder for the length of a lease, although the store was heard.
    pub(crate) fn is_lapsed(&self) -> bool {
        self.away.is_none() && self.heard.elapsed() >= LEASE
    }
}

/// Returns what the signs of life of a lease begin with.
pub(crate) fn start_of_sign(holder: &str, token: u64) -> String {
    format!("{holder} {token} ")
}

/// A shared credential.
pub(crate) struct Shared {
    bucket: Arc<dyn Bucket>,
    pub(crate) keys: Arc<SealingKeys>,
    /// The place of the credential in the store.
    place: String,
    /// The name of this gateway, and what tells it from others of this name.
    name: String,
    id: String,
    seen: watch::Sender<Seen>,
    own: Mutex<Own>,
    /// The certificate that was taken last, whether or not it could be kept.
    taken: Mutex<(u64, Option<String>)>,
    gateways: watch::Sender<BTreeMap<String, Gateway>>,
    /// The revision whose answers this gateway gives; `None` for a command, which is no gateway.
    attended: Mutex<Option<Revision>>,
    /// The store went back: whoever follows it hears nothing until it has come to where it was.
    back: AtomicBool,
    /// An attempt has failed for want of the store.
    missed: AtomicBool,
    /// The number of times that the lease was lost since a certificate was kept.
    losses: AtomicU32,
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Shared").field("place", &self.place).field("name", &self.name).finish_non_exhaustive()
    }
}

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Shared {
    /// Creates the view of a gateway that has kept a certificate of this generation, or none.
    pub(crate) fn new(
        (bucket, keys): (Arc<dyn Bucket>, Arc<SealingKeys>),
        place: &str,
        (name, id): (&str, &str),
        kept: (u64, Option<String>),
    ) -> Self {
        let (generation, certificate) = kept.clone();
        let seen = Seen {
            revision: 0,
            document: Arc::default(),
            text: None,
            known: false,
            heard: Instant::now(),
            sign: Vec::new(),
            away: None,
            fault: None,
        };
        Self {
            bucket,
            keys,
            place: place.to_owned(),
            name: format!("{name}-{id}"),
            id: id.to_owned(),
            seen: watch::Sender::new(seen),
            own: Mutex::new(Own { name: format!("{name}-{id}"), token: None, generation, certificate, failures: 0 }),
            taken: Mutex::new(kept),
            gateways: watch::Sender::default(),
            attended: Mutex::default(),
            back: AtomicBool::new(false),
            missed: AtomicBool::new(false),
            losses: AtomicU32::new(0),
        }
    }

    pub(crate) fn own(&self) -> MutexGuard<'_, Own> {
        lock(&self.own)
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    fn document_key(&self) -> String {
        format!("{}.document", self.place)
    }

    /// Says that the holder is alive.
    pub(crate) async fn sign(&self, sign: String) {
        // Where nobody hears it, the lease ends.
        let _ = self.bucket.put(&format!("{}.beat", self.place), sign.into_bytes()).await;
    }

    fn presence_key(&self) -> String {
        format!("{}.gateway.{}", self.place, self.id)
    }

    fn at_store(&self) -> String {
        format!("{}: {}", self.bucket, self.place)
    }

    fn failed(&self, error: BucketError) -> SharedError {
        SharedError::Store(self.at_store(), error)
    }

    /// Notes that an attempt failed for want of the store, or that another begins.
    pub(crate) fn set_missed(&self, missed: bool) {
        self.missed.store(missed, Ordering::Release);
    }

    /// Returns whether an attempt had failed for want of the store, once.
    pub(crate) fn take_missed(&self) -> bool {
        self.missed.swap(false, Ordering::AcqRel)
    }

    pub(crate) fn slow(&self) -> SharedError {
        SharedError::Slow(self.at_store())
    }

    /// Counts a write that failed since another gateway, or somebody else, had written.
    fn loses(&self) -> SharedError {
        self.losses.fetch_add(1, Ordering::AcqRel);
        self.lost()
    }

    /// Returns how often a lease was lost since this gateway kept a certificate.
    pub(crate) fn losses(&self) -> u32 {
        self.losses.load(Ordering::Acquire)
    }

    pub(crate) fn lost(&self) -> SharedError {
        SharedError::LeaseLost(self.at_store())
    }

    pub(crate) fn faulty(&self, error: DocumentError) -> SharedError {
        SharedError::Document(self.at_store(), error)
    }

    /// Returns a receiver of everything that is learned of the store.
    pub(crate) fn seen(&self) -> watch::Receiver<Seen> {
        self.seen.subscribe()
    }

    pub(crate) fn now(&self) -> Seen {
        self.seen.borrow().clone()
    }

    /// Returns the time for which the store has been away.
    pub(crate) fn away_for(&self) -> Option<Duration> {
        self.seen.borrow().away.as_ref().map(|(since, _)| since.elapsed())
    }

    /// Returns a receiver of what is heard of other gateways.
    pub(crate) fn gateways(&self) -> watch::Receiver<BTreeMap<String, Gateway>> {
        self.gateways.subscribe()
    }

    /// Follows the store until the future is dropped.
    pub(crate) async fn follow(&self) {
        let (mut looks, mut presences) = (interval(LOOK), interval(PRESENCE));
        // A process that was stopped has nothing to make up for.
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        presences.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            let mut news = self.bucket.follow(&self.place, MAX_DOCUMENT);
            loop {
                tokio::select! {
                    one = news.recv() => match one {
                        Some(one) => self.hear(one).await,
                        None => break,
                    },
                    // What it finds is noted; whoever needs the document is told what is wrong.
                    _ = looks.tick() => drop(self.look().await),
                    _ = presences.tick() => self.tell().await,
                }
                if self.back.swap(false, Ordering::AcqRel) {
                    self.gateways.send_modify(BTreeMap::clear);
                    break;
                }
            }
        }
    }

    async fn hear(&self, news: News) {
        match news {
            News::Heard => self.is_heard(),
            News::Away(reason) => self.is_away(reason),
            News::Value(key, value) => {
                let Some(key) = key.strip_prefix(&format!("{}.", self.place)) else { return };
                if key == "document" {
                    let (known, revision) = {
                        let seen = self.seen.borrow();
                        (seen.known, seen.revision)
                    };
                    if known && value.revision <= revision {
                        // A store that went back, or an old message: its leader knows.
                        drop(self.look().await);
                    } else {
                        self.note(value, None);
                    }
                } else if key == "beat" {
                    self.hear_sign(value.octets.as_deref().unwrap_or_default());
                } else if let Some(id) = key.strip_prefix("gateway.") {
                    let gateway = value.octets.as_deref().and_then(Gateway::heard);
                    self.gateways.send_modify(|all| Presence::note(all, id, gateway));
                }
            }
        }
    }

    /// Hears a sign of life. It counts once, although a store that is followed anew tells the last one again, and only
    /// from the one who has the lease.
    fn hear_sign(&self, sign: &[u8]) {
        self.seen.send_if_modified(|seen| {
            let header = &seen.document.header;
            let holder = header.holder.as_deref().unwrap_or_default();
            let counts = sign.starts_with(start_of_sign(holder, header.token).as_bytes())
                && sign.len() <= MAX_SIGN
                && seen.sign != sign;
            if counts {
                seen.sign = sign.to_vec();
                seen.heard = Instant::now();
            }
            counts
        });
    }

    /// The time without the store does not count as a holder's silence.
    fn is_heard(&self) {
        self.seen.send_if_modified(|seen| {
            let was_away = seen.away.take().is_some();
            if was_away {
                seen.heard = Instant::now();
            }
            was_away
        });
    }

    fn is_away(&self, reason: String) {
        self.seen.send_if_modified(|seen| {
            let since = seen.away.as_ref().map(|(since, _)| *since);
            seen.away = Some((since.unwrap_or_else(Instant::now), reason));
            since.is_none()
        });
    }

    /// Takes note of a value of the document. A lower revision than the one that is known counts only where the leader
    /// was asked after it was known: `over` is then that one.
    fn note(&self, value: Value, over: Option<Revision>) {
        let text = value.octets.as_deref().map(Digest::of);
        let known = {
            let seen = self.seen.borrow();
            seen.known && value.revision == seen.revision && seen.text == text && seen.fault.is_none()
        };
        let opened = match &value.octets {
            _ if known => return,
            None => Ok(Document::default()),
            Some(octets) => Document::open(octets, &self.place, &self.keys),
        };
        self.seen.send_if_modified(|seen| {
            if value.revision < seen.revision && over != Some(seen.revision) {
                return false;
            }
            if value.revision < seen.revision {
                self.back.store(true, Ordering::Release);
            }
            let changed = value.revision != seen.revision || text != seen.text;
            let fault = seen.fault.take();
            (seen.revision, seen.text, seen.known) = (value.revision, text, true);
            match opened {
                Ok(document) => seen.document = Arc::new(document),
                Err(error) => seen.fault = Some(error),
            }
            if changed {
                seen.heard = Instant::now();
            }
            changed || fault != seen.fault
        });
    }

    /// Asks the store's leader for the document.
    ///
    /// # Errors
    /// Fails if the store does not answer, or what stands in it cannot be used.
    pub(crate) async fn look(&self) -> Result<Seen, SharedError> {
        let before = self.seen.borrow().revision;
        match self.bucket.get(&self.document_key()).await {
            Ok(value) => {
                self.is_heard();
                self.note(value, Some(before));
            }
            Err(error) => {
                self.is_away(error.to_string());
                return Err(self.failed(error));
            }
        }
        let seen = self.now();
        match seen.fault.clone() {
            Some(fault) => Err(self.faulty(fault)),
            None => Ok(seen),
        }
    }

    /// Replaces the document over this revision.
    ///
    /// # Errors
    /// Fails if somebody else has written since, or the store does not answer.
    pub(crate) async fn write(&self, over: Revision, document: Document) -> Result<(), SharedError> {
        let octets = document.seal(&self.place, &self.keys).map_err(|error| self.faulty(error))?;
        let written = match self.bucket.replace(&self.document_key(), octets.clone(), over).await {
            Err(BucketError::Away(reason)) => {
                // The answer may be lost, and the write not.
                let value = self.bucket.get(&self.document_key()).await.map_err(|error| {
                    self.is_away(error.to_string());
                    self.failed(error)
                })?;
                if value.octets.as_deref() == Some(&octets) {
                    Ok(value.revision)
                } else {
                    Err(BucketError::Away(reason))
                }
            }
            written => written,
        };
        let revision = written.map_err(|error| self.failed(error))?;
        self.note(Value { revision, octets: Some(octets) }, None);
        Ok(())
    }

    /// Changes the document while this gateway has the lease. Returns the revision that has the change, or a later one, and
    /// the header that was written.
    ///
    /// # Errors
    /// Fails if this gateway has no lease any more, or the store does not answer.
    pub(crate) async fn change(&self, change: impl Fn(&mut Document)) -> Result<(Revision, Header), SharedError> {
        for _ in 0..ROUNDS {
            let seen = self.now();
            if !self.has_lease(&seen.document.header) {
                self.own().token = None;
                return Err(self.loses());
            }
            let mut document = (*seen.document).clone();
            change(&mut document);
            let header = document.header.clone();
            match self.write(seen.revision, document).await {
                Err(SharedError::Store(_, BucketError::Conflict)) => drop(self.look().await?),
                Err(error) => return Err(error),
                Ok(()) => return Ok((self.seen.borrow().revision, header)),
            }
        }
        Err(self.loses())
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
        let kept = self.change(|document| match octets {
            Some(octets) => drop(document.contents.entries.insert(entry, octets.to_vec())),
            None => drop(document.contents.entries.remove(&entry)),
        });
        kept.await.map(drop)
    }

    /// Returns whether this gateway took the lease, and has not heard that it lost it.
    pub(crate) fn holds(&self) -> bool {
        let seen = self.now();
        self.has_lease(&seen.document.header)
    }

    /// Returns whether the lease of a header is the one that this gateway took.
    pub(crate) fn has_lease(&self, header: &Header) -> bool {
        self.own().token == Some(header.token) && header.holder.as_deref() == Some(&self.name)
    }

    /// Returns the answers that all gateways are to give, and the revision of the document that has them.
    pub(crate) fn answers(&self) -> (Revision, Vec<ChallengeAnswer>) {
        let seen = self.seen.borrow();
        (seen.revision, seen.document.contents.answers.clone())
    }

    /// Tells the others what this gateway has, after it has taken up the answers of a revision.
    pub(crate) async fn attend(&self, revision: Revision) {
        *lock(&self.attended) = Some(revision);
        self.tell().await;
    }

    async fn tell(&self) {
        if self.seen.borrow().away.is_some() {
            return;
        }
        let Some(revision) = *lock(&self.attended) else { return };
        let generation = self.own().generation;
        let said = Presence { name: self.name.clone(), generation, revision }.text();
        // The next one is told in a while.
        let _ = self.bucket.put(&self.presence_key(), said).await;
    }

    /// Notes that this gateway keeps a certificate of this generation.
    pub(crate) fn has(&self, generation: u64, certificate: Option<String>) {
        *lock(&self.taken) = (generation, certificate.clone());
        self.losses.store(0, Ordering::Release);
        let mut own = self.own();
        (own.generation, own.certificate, own.token) = (generation, certificate, None);
    }

    /// Notes that a certificate was taken, whether or not it can be kept.
    pub(crate) fn takes(&self, generation: u64, certificate: Option<String>) {
        *lock(&self.taken) = (generation, certificate);
    }

    /// Returns whether the certificate of a header was taken last, whether or not it could be kept.
    pub(super) fn tried(&self, header: &Header) -> bool {
        *lock(&self.taken) == (header.generation, header.certificate.clone())
    }
}
