//! Several gateways with one store in memory: who orders, who takes, and what a store that is away or went back costs.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use pki_types::{CertificateDer, UnixTime};
use tokio::time::{advance, sleep};

use super::document::name_of;
use super::error::SharedError;
use super::memory::Memory;
use super::obtain::{ObtainError, Obtained};
use super::sealing::SealingKeys;
use super::shared::Shared;
use crate::store::{ChallengeAnswer, Entry, Record};

pub(super) const PLACE: &str = "a_example-0";

fn keys() -> Arc<SealingKeys> {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("key");
    std::fs::write(&file, BASE64_STANDARD.encode([7; 32])).unwrap();
    std::fs::set_permissions(&file, std::fs::Permissions::from_mode(0o600)).unwrap();
    Arc::new(SealingKeys::read([file.as_path()].into_iter()).unwrap())
}

pub(super) fn record(number: u32) -> Record {
    let at = |seconds| UnixTime::since_unix_epoch(Duration::from_secs(seconds));
    let [a, b, c, d] = number.to_be_bytes();
    let chain = vec![CertificateDer::from(vec![0x30, 4, a, b, c, d])];
    Record { key: number.to_be_bytes().to_vec(), chain, not_before: at(1), not_after: at(2) }
}

/// A gateway that follows a store, and stops with the value.
pub(super) struct Running {
    pub(super) shared: Arc<Shared>,
    task: tokio::task::JoinHandle<()>,
}

impl Drop for Running {
    fn drop(&mut self) {
        self.task.abort();
    }
}

pub(super) fn gateway(store: &Memory, id: &str) -> Running {
    gateway_with(store, id, (0, None))
}

fn gateway_with(store: &Memory, id: &str, kept: (u64, Option<String>)) -> Running {
    let shared = Arc::new(Shared::new((Arc::new(store.clone()), keys()), PLACE, ("gateway", id), kept));
    let followed = shared.clone();
    Running { shared, task: tokio::spawn(async move { followed.follow().await }) }
}

impl Running {
    /// Follows the store no longer.
    pub(super) fn stop(&self) {
        self.task.abort();
    }

    /// Obtains a certificate; an order takes a second, and counts.
    pub(super) async fn renew(&self, orders: &AtomicU32) -> Result<Obtained, ObtainError<String>> {
        let order = || async {
            sleep(Duration::from_secs(1)).await;
            Ok(record(orders.fetch_add(1, Ordering::SeqCst) + 1))
        };
        let obtained = obtain(&self.shared, order).await?;
        let record = match &obtained {
            Obtained::Ordered(record) => {
                assert_eq!(self.shared.publish(record).await?, self.shared.published());
                record
            }
            Obtained::Taken(record) => record,
        };
        let (generation, certificate) = self.shared.published();
        assert_eq!(name_of(record), certificate);
        self.shared.has(generation, certificate);
        Ok(obtained)
    }
}

/// Obtains a certificate that is usable whatever it is, and waits for another gateway as long as it takes.
pub(super) async fn obtain<E, F>(shared: &Shared, order: impl FnOnce() -> F) -> Result<Obtained, ObtainError<E>>
where
    E: std::fmt::Display,
    F: Future<Output = Result<Record, E>>,
{
    shared.obtain(Duration::from_secs(3600), |_| true, order).await
}

/// Has a gateway take the lease, and drops its order.
pub(super) async fn dies_as_holder(one: &Running) {
    let shared = one.shared.clone();
    let order = tokio::spawn(async move { obtain(&shared, std::future::pending::<Result<Record, String>>).await });
    while !one.shared.holds() {
        tokio::task::yield_now().await;
    }
    order.abort();
    assert!(order.await.unwrap_err().is_cancelled());
}

#[tokio::test(start_paused = true)]
async fn of_eight_gateways_one_orders() {
    let (store, orders) = (Memory::default(), Arc::new(AtomicU32::new(0)));
    let gateways: Vec<_> = (0..8).map(|number| Arc::new(gateway(&store, &number.to_string()))).collect();
    for renewal in 1..=50 {
        let renewing = gateways.iter().map(|gateway| {
            let (gateway, orders) = (gateway.clone(), orders.clone());
            tokio::spawn(async move { gateway.renew(&orders).await.unwrap() })
        });
        for renewed in renewing.collect::<Vec<_>>() {
            renewed.await.unwrap();
        }
        assert_eq!(orders.load(Ordering::SeqCst), renewal);
        assert!(gateways.iter().all(|gateway| gateway.shared.published().0 == u64::from(renewal)));
    }
}

#[tokio::test(start_paused = true)]
async fn a_holder_that_slept_can_write_nothing() {
    let (store, orders) = (Memory::default(), AtomicU32::new(0));
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    // Its order hangs, and with it its signs of life: as a process that is stopped.
    let sleeper = one.shared.clone();
    let asleep = tokio::spawn(async move {
        let taken = obtain(&sleeper, || async {
            sleeper.keep(Entry::Order, Some(b"an order")).await.unwrap();
            Err::<Record, _>("stopped".to_owned())
        });
        taken.await
    });
    assert!(matches!(asleep.await.unwrap(), Err(ObtainError::Order(_))));
    // It failed, which frees the lease; now it takes it again and is dropped in the middle.
    dies_as_holder(&one).await;
    assert_eq!(other.shared.entry(Entry::Order).as_deref(), Some(&b"an order"[..]), "the order goes on elsewhere");
    let obtained = other.renew(&orders).await.unwrap();
    assert!(matches!(obtained, Obtained::Ordered(_)));
    // It wakes up.
    let error = one.shared.publish(&record(99)).await.unwrap_err();
    assert!(matches!(error, SharedError::LeaseLost(_)), "{error}");
    let error = one.shared.keep(Entry::Account, Some(b"another")).await.unwrap_err();
    assert!(matches!(error, SharedError::LeaseLost(_)), "{error}");
    assert!(matches!(one.renew(&orders).await.unwrap(), Obtained::Taken(taken) if taken == record(1)));
    assert_eq!(orders.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn whoever_waits_hears_of_a_failure() {
    let store = Memory::default();
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    let fails = || async {
        sleep(Duration::from_secs(3)).await;
        Err::<Record, _>("the CA is away".to_owned())
    };
    let waits = async {
        while !one.shared.holds() {
            tokio::task::yield_now().await;
        }
        obtain(&other.shared, fails).await
    };
    let (failed, heard) = tokio::join!(obtain(&one.shared, fails), waits);
    assert!(matches!(failed, Err(ObtainError::Order(reason)) if reason == "the CA is away"));
    let Err(ObtainError::Shared(SharedError::Failed(reason))) = heard else { panic!("{heard:?}") };
    assert_eq!(reason, "the CA is away");
}

#[tokio::test(start_paused = true)]
async fn a_store_that_went_back_is_brought_forward() {
    let (store, orders) = (Memory::default(), AtomicU32::new(0));
    let one = gateway(&store, "1");
    one.renew(&orders).await.unwrap();
    let backup = store.backup();
    one.renew(&orders).await.unwrap();
    store.restore(backup);
    while one.shared.went_back().is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!one.shared.has_newer());
    one.shared.restore(&record(2)).await.unwrap();
    assert_eq!(one.shared.published(), (2, name_of(&record(2))));
    // A gateway without a copy of its own takes what stands there.
    let other = gateway(&store, "2");
    assert!(matches!(other.renew(&orders).await.unwrap(), Obtained::Taken(taken) if taken == record(2)));
    // Where nobody has the certificate any more, the next one has a higher generation all the same.
    let lost = gateway_with(&Memory::default(), "3", (7, Some("gone".to_owned())));
    lost.renew(&orders).await.unwrap();
    assert_eq!(lost.shared.published().0, 8);
}

#[tokio::test(start_paused = true)]
async fn without_the_store_nothing_is_ordered_and_nothing_taken() {
    let (store, orders) = (Memory::default(), AtomicU32::new(0));
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    one.renew(&orders).await.unwrap();
    store.set_away(true);
    let failed = other.renew(&orders).await.unwrap_err();
    assert!(matches!(&failed, ObtainError::Shared(error) if error.is_of_the_store()), "{failed:?}");
    advance(Duration::from_secs(60)).await;
    assert!(other.shared.away_for().is_some_and(|away| away >= Duration::from_secs(59)));
    store.set_away(false);
    // The time without the store is not the holder's silence.
    while other.shared.away_for().is_some() {
        sleep(Duration::from_millis(100)).await;
    }
    assert!(!other.shared.seen().borrow().is_lapsed());
    assert!(matches!(other.renew(&orders).await.unwrap(), Obtained::Taken(_)));
    assert_eq!(orders.load(Ordering::SeqCst), 1);
}

#[tokio::test(start_paused = true)]
async fn a_challenge_waits_for_those_who_are_there_and_for_nobody_else() {
    let store = Memory::default();
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    let answer = ChallengeAnswer::Http01 { token: "t".to_owned(), key_authorization: "t.k".to_owned() };
    // Both have said that they are there.
    for gateway in [&one, &other] {
        gateway.shared.attend(0).await;
    }
    while one.shared.gateways().borrow().len() < 2 || other.shared.gateways().borrow().len() < 2 {
        sleep(Duration::from_millis(10)).await;
    }
    let since = tokio::time::Instant::now();
    let attends = async {
        loop {
            let (revision, answers) = other.shared.answers();
            if answers.contains(&answer) {
                sleep(Duration::from_millis(300)).await;
                return other.shared.attend(revision).await;
            }
            sleep(Duration::from_millis(10)).await;
        }
    };
    let orders = obtain(&one.shared, || async {
        one.shared.announce(&answer).await.map_err(|error| error.to_string())?;
        Ok::<_, String>(record(1))
    });
    let (obtained, ()) = tokio::join!(orders, attends);
    obtained.unwrap();
    let waited = since.elapsed();
    assert!(waited >= Duration::from_millis(300) && waited < Duration::from_secs(1), "{waited:?}");
    // One that is gone costs a little, until it counts as gone.
    drop(other);
    let since = tokio::time::Instant::now();
    one.shared.announce(&answer).await.unwrap();
    assert_eq!(since.elapsed().as_secs(), 2);
    advance(Duration::from_secs(25)).await;
    let since = tokio::time::Instant::now();
    one.shared.announce(&answer).await.unwrap();
    assert!(since.elapsed() < Duration::from_millis(100));
}
