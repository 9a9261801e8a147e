//! A session as control connections see it: certificates are brought to its own task, which judges them.

use std::fmt;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use pki_types::UnixTime;
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

use super::not_continued::NotContinued;
use super::proof::SessionKeys;
use super::proven::Chain;

/// The time for a session's own task to judge certificates.
const PATIENCE: Duration = Duration::from_secs(5);

/// A session, as control connections see it.
pub(in crate::gateway) struct OpenSession {
    keys: SessionKeys,
    place: Mutex<Place>,
    notify: Notify,
}

/// The place for certificates to judge. A channel of tokio would take a kilobyte for each idle session.
enum Place {
    Free,
    Taken(Candidate),
    /// The session has ended.
    Closed,
}

impl fmt::Debug for OpenSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OpenSession")
    }
}

/// Certificates that a session may go on under, once it has judged them.
pub(in crate::gateway) struct Candidate {
    pub(in crate::gateway) chain: Chain,
    judged: oneshot::Sender<Result<UnixTime, NotContinued>>,
}

impl Candidate {
    /// Answers with the last second at which the certificates are valid, or why the session does not go on with them.
    pub(in crate::gateway) fn answer(self, judged: Result<UnixTime, NotContinued>) {
        // Whoever asked may have left meanwhile.
        let _ = self.judged.send(judged);
    }
}

impl OpenSession {
    pub(super) fn new(keys: SessionKeys) -> Self {
        Self { keys, place: Mutex::new(Place::Free), notify: Notify::new() }
    }

    pub(super) fn keys(&self) -> &SessionKeys {
        &self.keys
    }

    /// Waits for certificates to judge.
    pub(in crate::gateway) async fn candidate(&self) -> Candidate {
        loop {
            if let Place::Taken(candidate) = self.put(Place::Free) {
                return candidate;
            }
            self.notify.notified().await;
        }
    }

    /// Ends the session for control connections. Whoever waits for a verdict hears that there is none.
    pub(super) fn close(&self) {
        drop(self.put(Place::Closed));
    }

    /// Puts something in the place, and returns what was there. Once the place is closed it stays so, and what is put there
    /// is gone.
    fn put(&self, new: Place) -> Place {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        if matches!(*place, Place::Closed) { Place::Closed } else { std::mem::replace(&mut place, new) }
    }

    /// Has the session's own task judge certificates. Those of an earlier request that still wait are given up.
    pub(super) async fn judge(&self, chain: Chain) -> Result<UnixTime, NotContinued> {
        let (judged, answer) = oneshot::channel();
        if let Place::Taken(before) = self.put(Place::Taken(Candidate { chain, judged })) {
            before.answer(Err(NotContinued::Displaced));
        }
        self.notify.notify_one();
        match timeout(PATIENCE, answer).await {
            Ok(Ok(judged)) => judged,
            Ok(Err(_)) | Err(_) => Err(NotContinued::Over),
        }
    }
}
