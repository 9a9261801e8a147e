//! Obtains the next certificate: of another gateway, or by an order of this one while it has the lease.

use std::fmt;
use std::future::Future;
use std::time::Duration;

use tokio::time::{Instant, interval, sleep, sleep_until, timeout};

use super::bucket::{BucketError, Revision};
use super::document::{Document, DocumentError, name_of};
use super::error::SharedError;
use super::lease::{BEAT, LEASE, Own, Step, step};
use super::shared::{Seen, Shared, start_of_sign};
use crate::store::{ChallengeAnswer, Entry, Record};

/// The longest time that a holder waits for the other gateways to give the answers to its challenges: one that is
/// slower than this is as good as away.
const ANSWERED: Duration = Duration::from_secs(2);

/// The interval at which a holder looks whether the others have answered.
const LOOK: Duration = Duration::from_millis(5);

/// Returns the time at which a lease ends whose holder is not heard any more, or a little later than now.
fn end_of_lease(heard: Instant) -> Instant {
    heard.checked_add(LEASE).max(Instant::now().checked_add(LOOK)).unwrap_or(heard)
}

/// The reason that there is no certificate.
#[derive(Debug)]
pub(crate) enum ObtainError<E> {
    /// The document cannot be used, or another gateway has failed.
    Shared(SharedError),
    /// The order of this gateway failed.
    Order(E),
}

impl<E> From<SharedError> for ObtainError<E> {
    fn from(error: SharedError) -> Self {
        Self::Shared(error)
    }
}

/// A certificate, and who ordered it.
#[derive(Debug)]
pub(crate) enum Obtained {
    /// This gateway. The certificate counts once it is published.
    Ordered(Record),
    /// Another gateway, which has published it.
    Taken(Record),
}

impl Shared {
    /// Returns a certificate that this gateway does not have: of another gateway, which is waited for within `patience`,
    /// or the one that `order` obtains once this gateway has the lease. One that is not `usable` here is passed over, and
    /// another ordered.
    ///
    /// # Errors
    /// Returns why there is none.
    pub(crate) async fn obtain<E, F>(
        &self,
        patience: Duration,
        usable: impl Fn(&Record) -> bool,
        order: impl FnOnce() -> F,
    ) -> Result<Obtained, ObtainError<E>>
    where
        E: fmt::Display,
        F: Future<Output = Result<Record, E>>,
    {
        if let Some(record) = self.until_lease(patience, usable).await? {
            return Ok(Obtained::Taken(record));
        }
        let ordered = tokio::select! {
            ordered = order() => ordered.map_err(ObtainError::Order),
            () = self.beat() => Err(ObtainError::Shared(self.lost())),
        };
        if let Err(error) = &ordered {
            self.give_up(error).await;
        }
        ordered.map(Obtained::Ordered)
    }

    /// Waits until this gateway has the lease, or until there is a certificate that it does not have.
    async fn until_lease(
        &self,
        patience: Duration,
        usable: impl Fn(&Record) -> bool,
    ) -> Result<Option<Record>, SharedError> {
        let since = Instant::now();
        let first = self.look().await?;
        self.own().failures = first.document.header.failures;
        let mut changes = self.seen();
        loop {
            let now = changes.borrow_and_update().clone();
            if let Some(fault) = &now.fault {
                return Err(self.faulty(fault.clone()));
            }
            let header = &now.document.header;
            match self.next(&now) {
                Step::Adopt => {
                    let record = now.document.contents.record.clone();
                    let record = record.ok_or_else(|| self.faulty(DocumentError::Malformed("no certificate")))?;
                    self.takes(header.generation, header.certificate.clone());
                    if usable(&record) {
                        return Ok(Some(record));
                    }
                    self.has(header.generation, header.certificate.clone());
                }
                Step::Fail => {
                    self.own().failures = header.failures;
                    let reason = now.document.contents.failure.clone();
                    return Err(SharedError::Failed(reason.unwrap_or_else(|| "it does not say why".to_owned())));
                }
                // The one who has it writes the newer certificate into a store that went back, and `next` passes over it.
                Step::Order | Step::Restore => return Ok(None),
                // Whoever writes without end may keep it from the lease, too.
                Step::Take(_) | Step::Wait if since.elapsed() >= patience => return Err(self.slow()),
                Step::Take(token) => self.take(&now, token).await?,
                // Nothing is heard of the holder: whoever waits is told, since it may be in a hurry.
                Step::Wait if now.away.is_some() => drop(self.look().await?),
                Step::Wait => {
                    let ends = end_of_lease(now.heard);
                    let ends = since.checked_add(patience).map_or(ends, |slow| ends.min(slow));
                    tokio::select! {
                        _ = changes.changed() => {}
                        () = sleep_until(ends) => drop(self.look().await?),
                    }
                }
            }
        }
    }

    /// Returns the next step. A certificate that a store has lost is nothing to wait for.
    fn next(&self, now: &Seen) -> Step {
        let header = &now.document.header;
        let own = self.own().clone();
        match step(header, &own, now.is_lapsed()) {
            Step::Restore => {
                let (generation, certificate) = (header.generation, header.certificate.clone());
                step(header, &Own { generation, certificate, ..own }, now.is_lapsed())
            }
            other => other,
        }
    }

    async fn take(&self, now: &Seen, token: u64) -> Result<(), SharedError> {
        let header = now.document.header.taken(self.name(), token);
        match self.write(now.revision, Document { header, ..(*now.document).clone() }).await {
            Ok(()) => {
                self.own().token = Some(token);
                Ok(())
            }
            Err(SharedError::Store(_, BucketError::Conflict)) => self.look().await.map(drop),
            Err(error) => Err(error),
        }
    }

    /// Frees the lease after an order that failed, and tells the others of it.
    async fn give_up<E: fmt::Display>(&self, error: &ObtainError<E>) {
        let reason = match error {
            ObtainError::Shared(error) => error.to_string(),
            ObtainError::Order(error) => error.to_string(),
        };
        let failed = self.change(|document| {
            document.header = document.header.failed();
            (document.contents.answers, document.contents.failure) = (Vec::new(), Some(reason.clone()));
        });
        // Without an answer the lease ends by itself.
        let _ = failed.await;
        let failures = self.now().document.header.failures;
        let mut own = self.own();
        (own.token, own.failures) = (None, failures);
    }

    /// Takes the lease for a change that is no order, and frees it after that.
    ///
    /// # Errors
    /// Fails if the store does not answer, or the change fails.
    pub(crate) async fn while_held<T, E, F>(&self, work: impl FnOnce() -> F) -> Result<T, ObtainError<E>>
    where
        F: Future<Output = Result<T, E>>,
    {
        self.look().await?;
        let mut changes = self.seen();
        loop {
            let now = changes.borrow_and_update().clone();
            let header = &now.document.header;
            if self.has_lease(header) {
                break;
            }
            if header.holder.is_none() || now.is_lapsed() {
                self.take(&now, header.token.saturating_add(1)).await?;
            } else {
                tokio::select! {
                    _ = changes.changed() => {}
                    () = sleep_until(end_of_lease(now.heard)) => drop(self.look().await?),
                }
            }
        }
        let done = tokio::select! {
            done = work() => done.map_err(ObtainError::Order),
            () = self.beat() => Err(ObtainError::Shared(self.lost())),
        };
        let freed = self.change(|document| document.header.holder = None);
        // Without an answer the lease ends by itself.
        let _ = freed.await;
        self.own().token = None;
        done
    }

    /// Has all gateways answer this challenge, and waits a little until they do.
    ///
    /// # Errors
    /// Fails if this gateway has no lease, or the store does not take it.
    pub(crate) async fn announce(&self, answer: &ChallengeAnswer) -> Result<(), SharedError> {
        let (revision, _) = self
            .change(|document| {
                let answers = &mut document.contents.answers;
                answers.retain(|one| !one.is_for_the_same(answer));
                answers.push(answer.clone());
            })
            .await?;
        // Those who are slower are not waited for.
        let _ = timeout(ANSWERED, self.answered(revision)).await;
        Ok(())
    }

    /// Waits until all gateways that are there give the answers of a revision.
    async fn answered(&self, revision: Revision) {
        let mut gateways = self.gateways();
        loop {
            let slow = gateways
                .borrow_and_update()
                .values()
                .any(|gateway| gateway.name != self.name() && gateway.is_there() && gateway.revision < revision);
            if !slow {
                return;
            }
            tokio::select! {
                changed = gateways.changed() => if changed.is_err() { return },
                // One may have been silent for too long by now.
                () = sleep(BEAT) => {}
            }
        }
    }

    /// Writes a certificate for all gateways, and returns its generation with its name. Whatever was under way is over,
    /// and the lease is free.
    ///
    /// # Errors
    /// Fails if this gateway has no lease any more: the certificate is then not to be shown.
    pub(crate) async fn publish(&self, record: &Record) -> Result<(u64, Option<String>), SharedError> {
        let name = name_of(record).ok_or_else(|| self.faulty(DocumentError::Malformed("a chain without a leaf")))?;
        let least = self.own().generation;
        let published = self.change(|document| {
            document.header = document.header.published(name.clone(), least);
            document.contents.record = Some(record.clone());
            document.contents.entries.remove(&Entry::Order);
            (document.contents.answers, document.contents.failure) = (Vec::new(), None);
        });
        let (_, header) = published.await?;
        self.own().token = None;
        Ok((header.generation, header.certificate))
    }

    /// Says that this gateway is alive, until it has lost the lease.
    async fn beat(&self) {
        let (mut ticks, mut count) = (interval(BEAT), 0_u64);
        loop {
            ticks.tick().await;
            let header = self.now().document.header.clone();
            if !self.has_lease(&header) {
                return;
            }
            count = count.wrapping_add(1);
            self.sign(format!("{}{count}", start_of_sign(self.name(), header.token))).await;
        }
    }
}
