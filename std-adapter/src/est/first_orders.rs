//! Holds the orders of first certificates that are under way. Each goes on when its device is gone, and is joined by the
//! device when it asks again.

use std::collections::HashMap;
use std::future::Future;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use pki_types::CertificateDer;
use tokio::sync::watch;

use super::denial::Denial;
use super::secret::KeptHash;

/// The outcome of an order: what the device is sent.
pub(super) type Outcome = Result<Vec<CertificateDer<'static>>, Denial>;

/// The orders under way, one for each name; they outlive reloads.
#[derive(Clone, Debug, Default)]
pub(super) struct FirstOrders(Arc<Mutex<HashMap<String, UnderWay>>>);

#[derive(Debug)]
struct UnderWay {
    key: KeptHash,
    outcome: watch::Receiver<Option<Outcome>>,
}

impl FirstOrders {
    fn under_way(&self) -> MutexGuard<'_, HashMap<String, UnderWay>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Begins an order of a claimed name, or joins the one of the same key.
    ///
    /// # Errors
    /// Fails while the order of another key ends.
    pub(super) fn begin(
        &self,
        name: &str,
        key: KeptHash,
        order: impl Future<Output = Outcome> + Send + 'static,
    ) -> Result<watch::Receiver<Option<Outcome>>, Denial> {
        let mut under_way = self.under_way();
        match under_way.get(name) {
            Some(running) if running.key.is(&key) => return Ok(running.outcome.clone()),
            // Its claim was given back just now.
            Some(_) => return Err(Denial::later("the order of another key is about to end")),
            None => {}
        }
        let (done, outcome) = watch::channel(None);
        under_way.insert(name.to_owned(), UnderWay { key, outcome: outcome.clone() });
        drop(under_way);
        let mark = Mark { orders: self.clone(), name: name.to_owned() };
        tokio::spawn(async move {
            let outcome = order.await;
            // Whoever asks from now on finds it in the file.
            drop(mark);
            done.send_replace(Some(outcome));
        });
        Ok(outcome)
    }
}

/// The mark of an order, until it is dropped.
struct Mark {
    orders: FirstOrders,
    name: String,
}

impl Drop for Mark {
    fn drop(&mut self) {
        self.orders.under_way().remove(&self.name);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};
    use tokio::sync::Notify;

    #[tokio::test]
    async fn one_order_of_a_name_answers_all_who_ask_with_its_key() {
        let (orders, go, begun) = (FirstOrders::default(), Arc::new(Notify::new()), Arc::new(AtomicU32::new(0)));
        let key = KeptHash::of_key(b"key");
        let order = || {
            let (go, begun) = (go.clone(), begun.clone());
            async move {
                begun.fetch_add(1, Ordering::Relaxed);
                go.notified().await;
                Ok(vec![vec![7].into()])
            }
        };
        let first = orders.begin("a", key, order()).unwrap();
        let second = orders.begin("a", key, order()).unwrap();
        orders.begin("a", KeptHash::of_key(b"other"), order()).unwrap_err();
        orders.begin("b", KeptHash::of_key(b"other"), async { Err(Denial::later("no CA")) }).unwrap();
        go.notify_one();
        for mut outcome in [first, second] {
            let answer = outcome.wait_for(Option::is_some).await.unwrap().clone().unwrap().unwrap();
            assert_eq!(answer, [CertificateDer::from(vec![7])]);
        }
        assert_eq!(begun.load(Ordering::Relaxed), 1);
        while !orders.under_way().is_empty() {
            tokio::task::yield_now().await;
        }
        // An order that panics is over too.
        let mut outcome = orders.begin("a", key, async { panic!("of the test") }).unwrap();
        outcome.wait_for(Option::is_some).await.unwrap_err();
        assert!(orders.under_way().is_empty());
    }
}
