//! Several gateways with one store in memory: what a holder that is gone, a store that went back, and others who write
//! into it cost.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use tokio::time::{Instant, sleep, timeout};

use super::bucket::Bucket;
use super::error::SharedError;
use super::memory::Memory;
use super::obtain::{ObtainError, Obtained};
use super::tests::{PLACE, dies_as_holder, gateway, obtain, record};
use crate::store::{ChallengeAnswer, Record};

/// Its answers are the other's from then on, and it gives them.
#[tokio::test(start_paused = true)]
async fn a_lease_that_was_taken_over_is_not_held() {
    let (store, orders) = (Memory::default(), AtomicU32::new(0));
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    dies_as_holder(&one).await;
    let answer = ChallengeAnswer::Http01 { token: "t".to_owned(), key_authorization: "t.k".to_owned() };
    let ordered = obtain(&other.shared, || async {
        orders.fetch_add(1, Ordering::SeqCst);
        other.shared.announce(&answer).await.map_err(|error| error.to_string())?;
        sleep(Duration::from_secs(1)).await;
        assert!(!one.shared.holds(), "another gateway has the lease");
        assert_eq!(one.shared.answers().1, std::slice::from_ref(&answer));
        Ok::<_, String>(record(1))
    });
    assert!(matches!(ordered.await.unwrap(), Obtained::Ordered(_)));
}

/// A store that went back says nothing to those who follow it, until it has come to where it was.
#[tokio::test(start_paused = true)]
async fn signs_of_life_are_heard_after_a_restored_backup() {
    let (store, orders) = (Memory::default(), AtomicU32::new(0));
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    one.renew(&orders).await.unwrap();
    other.renew(&orders).await.unwrap();
    let backup = store.backup();
    for _ in 0..20 {
        one.renew(&orders).await.unwrap();
    }
    let newest = record(orders.load(Ordering::SeqCst));
    store.restore(backup);
    while one.shared.went_back().is_none() {
        sleep(Duration::from_millis(100)).await;
    }
    one.shared.restore(&newest).await.unwrap();
    other.renew(&orders).await.unwrap();
    // An order that takes longer than a lease.
    let slow = || async {
        sleep(Duration::from_secs(60)).await;
        Ok::<_, String>(record(99))
    };
    let waits = async {
        while !one.shared.holds() {
            sleep(Duration::from_millis(10)).await;
        }
        other.renew(&orders).await
    };
    let ordering = async {
        let obtained = obtain(&one.shared, slow).await.unwrap();
        one.shared.publish(&record(99)).await.unwrap();
        obtained
    };
    let (ordered, waited) = tokio::join!(ordering, waits);
    assert!(matches!(ordered, Obtained::Ordered(_)));
    assert!(matches!(waited.unwrap(), Obtained::Taken(taken) if taken == record(99)));
    assert_eq!(orders.load(Ordering::SeqCst), 21);
}

/// Whoever may write into the store cannot keep a lease alive that is another's, or say the same again.
#[tokio::test(start_paused = true)]
async fn signs_of_life_of_others_do_not_count() {
    let (store, orders) = (Memory::default(), AtomicU32::new(0));
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    dies_as_holder(&one).await;
    let beat = format!("{PLACE}.beat");
    let last = store.get(&beat).await.unwrap().octets.unwrap();
    let forge = async {
        for number in 0_u32.. {
            let sign = if number % 2 == 0 { last.clone() } else { format!("x 7 {number}").into_bytes() };
            store.put(&beat, sign).await.unwrap();
            sleep(Duration::from_secs(1)).await;
        }
    };
    let since = Instant::now();
    tokio::select! {
        () = forge => {}
        renewed = other.renew(&orders) => assert!(matches!(renewed.unwrap(), Obtained::Ordered(_))),
    }
    assert!(since.elapsed() < Duration::from_secs(15), "{:?}", since.elapsed());
}

/// A holder that is alive and does not come to an end, or whose signs are forged, is waited for while there is time.
#[tokio::test(start_paused = true)]
async fn a_holder_is_waited_for_within_patience() {
    let store = Memory::default();
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    let shared = one.shared.clone();
    let order = tokio::spawn(async move { obtain(&shared, std::future::pending::<Result<Record, String>>).await });
    while !one.shared.holds() {
        sleep(Duration::from_millis(10)).await;
    }
    let since = Instant::now();
    let patience = Duration::from_secs(40);
    let waits = other.shared.obtain(patience, |_| true, || async { Err::<Record, _>(String::new()) });
    let error = waits.await.unwrap_err();
    assert!(
        matches!(&error, ObtainError::Shared(error @ SharedError::Slow(_)) if error.is_of_the_store()),
        "{error:?}"
    );
    assert!(
        since.elapsed() >= patience && since.elapsed() < patience + Duration::from_secs(3),
        "{:?}",
        since.elapsed()
    );
    order.abort();
}

/// One who waits for a holder learns at once that the store is away.
#[tokio::test(start_paused = true)]
async fn nobody_waits_for_a_holder_that_cannot_be_heard() {
    let store = Memory::default();
    let (one, other) = (gateway(&store, "1"), gateway(&store, "2"));
    dies_as_holder(&one).await;
    let away = async {
        sleep(Duration::from_secs(1)).await;
        store.set_away(true);
    };
    let waits = obtain(&other.shared, || async { Err::<Record, _>(String::new()) });
    let (waited, ()) = tokio::join!(timeout(Duration::from_secs(4), waits), away);
    let error = waited.expect("it waits no longer").unwrap_err();
    assert!(matches!(&error, ObtainError::Shared(SharedError::Store(..))), "{error:?}");
}

/// A store that went back, and on from there, has another text at a revision that was known.
#[tokio::test(start_paused = true)]
async fn another_text_of_a_known_revision_is_read() {
    let (store, orders) = (Memory::default(), AtomicU32::new(0));
    let one = gateway(&store, "1");
    one.renew(&orders).await.unwrap();
    let backup = store.backup();
    for _ in 0..5 {
        one.renew(&orders).await.unwrap();
    }
    let known = one.shared.look().await.unwrap().revision;
    // It hears nothing of what happens meanwhile.
    one.stop();
    store.restore(backup);
    let other = gateway(&store, "2");
    other.renew(&orders).await.unwrap();
    other.renew(&orders).await.unwrap();
    let newest = other.shared.published();
    let document = format!("{PLACE}.document");
    let text = store.get(&document).await.unwrap().octets.unwrap();
    while store.put("pad", Vec::new()).await.unwrap() < known - 1 {}
    assert_eq!(store.put(&document, text).await, Ok(known));
    let seen = one.shared.look().await.unwrap();
    assert_eq!((seen.document.header.generation, seen.document.header.certificate.clone()), newest);
}
