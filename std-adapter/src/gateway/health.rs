//! Keeps what is known of a target: whether it lives, and when one that does not is tried again.

use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::Duration;

use tokio::time::{Instant, sleep};
use tracing::{info, warn};

use super::Address;
use super::target;
use crate::egress::Egress;

/// The longest time for which a server is passed over that answers, and refuses us or is refused.
const LONGEST: Duration = Duration::from_secs(3600);
/// The time limit of a probe.
const PATIENCE: Duration = Duration::from_secs(5);

/// The health of one target of a tunnel; it outlives reloads.
#[derive(Debug)]
pub struct Health {
    tunnel: String,
    address: Address,
    known: Mutex<Known>,
}

#[derive(Debug)]
struct Known {
    is_up: bool,
    interval: Duration,
    via: Option<Arc<Egress>>,
    /// True while a task probes the target.
    probed: bool,
    /// The number of times in succession that the target answered, and then refused us or was refused.
    refusals: u32,
    /// The time before which a probe proves nothing: the target has answered before, and that was not enough.
    held_until: Option<Instant>,
}

/// The way in which a target failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Failure {
    /// There is no connection.
    Connection,
    /// There was a connection, and it was of no use.
    Refusal,
}

impl Health {
    pub(super) fn new(tunnel: &str, address: Address) -> Arc<Self> {
        let known =
            Known { is_up: true, interval: Duration::ZERO, via: None, probed: false, refusals: 0, held_until: None };
        Arc::new(Self { tunnel: tunnel.to_owned(), address, known: Mutex::new(known) })
    }

    /// Locks what is known. A panic elsewhere leaves no part of it.
    fn known(&self) -> MutexGuard<'_, Known> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns the target's address.
    pub fn address(&self) -> &Address {
        &self.address
    }

    /// Returns whether the last connection to the target, or the last probe, was a success; true for one that was never
    /// tried.
    pub fn is_up(&self) -> bool {
        self.known().is_up
    }

    /// Takes over what a configuration says of the target.
    pub(super) fn take_over(self: &Arc<Self>, interval: Duration, via: Option<Arc<Egress>>, has_others: bool) {
        let mut known = self.known();
        (known.interval, known.via) = (interval, via);
        if has_others && !known.is_up {
            self.watch(&mut known);
        }
    }

    /// Notes that the only target of a tunnel was reached or not: nothing is passed over, and nothing is probed.
    pub(super) fn note(&self, is_up: bool) {
        self.known().is_up = is_up;
    }

    /// Passes over the target until a probe finds it alive.
    pub(super) fn failed(self: &Arc<Self>, failure: Failure, reason: &dyn fmt::Display) {
        let mut known = self.known();
        if failure == Failure::Refusal {
            let wait = known.interval.saturating_mul(2_u32.saturating_pow(known.refusals)).min(LONGEST);
            known.refusals = known.refusals.saturating_add(1);
            known.held_until = Instant::now().checked_add(wait);
        }
        if known.is_up {
            warn!(tunnel = %self.tunnel, target = %self.address, "the target is down, and is passed over: {reason}");
        }
        known.is_up = false;
        self.watch(&mut known);
    }

    /// Notes that there is a connection to the target. One that refuses us has to prove more.
    pub(super) fn reached(&self) {
        let mut known = self.known();
        if !known.is_up && known.held_until.is_none() {
            self.comes_back(&mut known);
        }
    }

    /// Notes that a server has accepted us.
    pub(super) fn accepted(&self) {
        let mut known = self.known();
        (known.refusals, known.held_until) = (0, None);
        if !known.is_up {
            self.comes_back(&mut known);
        }
    }

    fn comes_back(&self, known: &mut Known) {
        (known.is_up, known.held_until) = (true, None);
        info!(tunnel = %self.tunnel, target = %self.address, "the target is up again");
    }

    /// Has the target probed, by one task at most.
    fn watch(self: &Arc<Self>, known: &mut Known) {
        if !std::mem::replace(&mut known.probed, true) {
            drop(tokio::spawn(probe(Arc::downgrade(self))));
        }
    }

    /// Returns the time until the next probe; none if there is nothing to find out any more.
    fn next_probe(&self) -> Option<Duration> {
        let mut known = self.known();
        known.probed = !known.is_up;
        let held = known.held_until.map(|until| until.saturating_duration_since(Instant::now()));
        known.probed.then(|| known.interval.max(held.unwrap_or_default()))
    }

    /// Notes that a probe was answered.
    fn answered(&self) {
        let mut known = self.known();
        if !known.is_up && known.held_until.is_none_or(|until| until <= Instant::now()) {
            self.comes_back(&mut known);
        }
    }
}

/// Connects to the target, again and again, until it answers or no tunnel leads there any more.
async fn probe(health: Weak<Health>) {
    while let Some(wait) = health.upgrade().and_then(|health| health.next_probe()) {
        sleep(wait).await;
        let Some(health) = health.upgrade() else { return };
        let via = health.known().via.clone();
        if target::connect(&health.address, via.as_deref(), PATIENCE).await.is_ok() {
            health.answered();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const INTERVAL: Duration = Duration::from_millis(20);

    fn health(address: Address) -> Arc<Health> {
        let health = Health::new("tunnel", address);
        health.take_over(INTERVAL, None, true);
        health
    }

    async fn until(condition: impl Fn() -> bool) {
        while !condition() {
            sleep(Duration::from_millis(1)).await;
        }
    }

    #[tokio::test]
    async fn a_target_that_failed_is_probed_until_it_lives_and_then_no_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        drop(listener);
        let health = health(Address::Tcp(address));
        health.failed(Failure::Connection, &"gone");
        health.failed(Failure::Connection, &"gone");
        sleep(INTERVAL * 3).await;
        assert!(!health.is_up());
        let listener = TcpListener::bind(address).await.unwrap();
        let _probe = listener.accept().await.unwrap();
        until(|| health.is_up() && !health.known().probed).await;
        // The next failure is found out about as the first one was.
        health.failed(Failure::Connection, &"gone");
        let _probe = listener.accept().await.unwrap();
        until(|| health.is_up()).await;
    }

    #[tokio::test]
    async fn who_refuses_us_is_passed_over_for_longer_each_time() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let health = health(Address::Tcp(listener.local_addr().unwrap()));
        let down = async || {
            let since = Instant::now();
            health.failed(Failure::Refusal, &"refused");
            health.reached();
            assert!(!health.is_up(), "a connection is not enough");
            until(|| health.is_up()).await;
            since.elapsed()
        };
        assert!(down().await >= INTERVAL);
        assert!(down().await >= INTERVAL * 2);
        assert!(down().await >= INTERVAL * 4);
        health.failed(Failure::Refusal, &"refused");
        health.accepted();
        assert!(health.is_up() && health.known().refusals == 0);
        health.known().refusals = u32::MAX;
        health.failed(Failure::Refusal, &"refused");
        assert!(health.next_probe().is_some_and(|wait| wait <= LONGEST && wait > LONGEST / 2));
    }

    #[tokio::test]
    async fn nothing_is_probed_where_no_tunnel_leads_any_more() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let health = health(Address::Tcp(listener.local_addr().unwrap()));
        health.failed(Failure::Refusal, &"refused");
        let weak = Arc::downgrade(&health);
        drop(health);
        probe(weak).await;
    }
}
