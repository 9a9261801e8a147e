//! Shares out concurrent connections among tunnels, so that no tunnel takes all of them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

use super::door::Turned;
use super::usage::Usage;

/// Limits concurrent connections. Half of all are divided among the tunnels, a part of its own for each; the other
/// half is for whoever comes first. A tunnel whose connections never end thus leaves the others their parts.
#[derive(Debug)]
pub(crate) struct Shares(Mutex<Books>);

#[derive(Debug, Default)]
struct Books {
    total: usize,
    /// The maximum number of one tunnel's admitted clients that wait; clients beyond this number are refused.
    waiting: usize,
    tunnels: HashMap<Arc<str>, Share>,
}

#[derive(Debug, Default)]
struct Share {
    /// The tunnel's own limit, if there is one.
    limit: Option<usize>,
    /// The part that no other tunnel takes.
    reserved: usize,
    used: usize,
    waiting: usize,
    freed: Arc<Notify>,
}

impl Share {
    fn beyond(&self) -> usize {
        self.used.saturating_sub(self.reserved)
    }
}

/// A permit for one connection, which counts while the permit is held.
#[derive(Debug)]
pub(crate) struct Permit {
    shares: Arc<Shares>,
    tunnel: Arc<str>,
}

impl Shares {
    pub(crate) fn new<'a>(
        limits: (usize, usize),
        tunnels: impl Iterator<Item = (&'a str, Option<usize>)>,
    ) -> Arc<Self> {
        let shares = Arc::new(Self(Mutex::default()));
        shares.set(limits, tunnels);
        shares
    }

    /// Locks the counts. A panic elsewhere leaves no partial count.
    fn books(&self) -> MutexGuard<'_, Books> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sets the total, the number of clients of a tunnel that may wait, and the tunnels' limits. Established connections stay, even if there are too many.
    pub(crate) fn set<'a>(
        &self,
        (total, waiting): (usize, usize),
        tunnels: impl Iterator<Item = (&'a str, Option<usize>)>,
    ) {
        let tunnels: Vec<_> = tunnels.collect();
        let mut books = self.books();
        (books.total, books.waiting) = (total, waiting);
        books.tunnels.retain(|_, share| share.used > 0 || share.waiting > 0);
        for share in books.tunnels.values_mut() {
            (share.limit, share.reserved) = (None, 0);
        }
        let part = total.checked_div(tunnels.len().saturating_mul(2)).unwrap_or(0);
        for (name, limit) in tunnels {
            if !books.tunnels.contains_key(name) {
                books.tunnels.insert(name.into(), Share::default());
            }
            if let Some(share) = books.tunnels.get_mut(name) {
                (share.limit, share.reserved) = (limit, limit.map_or(part, |limit| limit.min(part)));
            }
        }
        books.wake();
    }

    /// Returns how much of a tunnel's limits is used; its connections are limited by those of all, if not by its own limit.
    pub(super) fn usages(&self, tunnel: &str) -> [Usage; 2] {
        let books = self.books();
        let share = books.tunnels.get(tunnel);
        let (used, waiting) = share.map_or((0, 0), |share| (share.used, share.waiting));
        let limit = share.and_then(|share| share.limit).unwrap_or(books.total);
        [Usage::new("connections", used, Some(limit)), Usage::new("waiting", waiting, Some(books.waiting))]
    }

    /// Returns a permit for a connection of this tunnel, if there is one at once.
    pub(crate) fn try_take(self: &Arc<Self>, tunnel: &str) -> Option<Permit> {
        let tunnel = self.books().take(tunnel)?;
        Some(Permit { shares: self.clone(), tunnel })
    }

    /// Waits for a permit for a connection of this tunnel.
    ///
    /// # Errors
    /// Fails if too many clients wait.
    pub(crate) async fn take(self: &Arc<Self>, tunnel: &str) -> Result<Permit, Turned> {
        if let Some(permit) = self.try_take(tunnel) {
            return Ok(permit);
        }
        let waiting = Waiting::begin(self, tunnel)?;
        loop {
            let mut freed = std::pin::pin!(waiting.freed.notified());
            // From here on no notification is missed.
            freed.as_mut().enable();
            if let Some(permit) = self.try_take(tunnel) {
                return Ok(permit);
            }
            freed.await;
        }
    }
}

impl Books {
    fn take(&mut self, tunnel: &str) -> Option<Arc<str>> {
        if !self.tunnels.contains_key(tunnel) {
            self.tunnels.insert(tunnel.into(), Share::default());
        }
        let (reserved, beyond) = self.tunnels.values().fold((0_usize, 0_usize), |(reserved, beyond), share| {
            (reserved.saturating_add(share.reserved), beyond.saturating_add(share.beyond()))
        });
        let room = beyond < self.total.saturating_sub(reserved);
        let name = self.tunnels.get_key_value(tunnel)?.0.clone();
        let share = self.tunnels.get_mut(tunnel)?;
        let allowed = share.limit.is_none_or(|limit| share.used < limit);
        if !allowed || !(share.used < share.reserved || room) {
            return None;
        }
        share.used = share.used.saturating_add(1);
        Some(name)
    }

    /// Wakes one waiting client of each tunnel, to look for a free connection.
    fn wake(&self) {
        self.tunnels.values().filter(|share| share.waiting > 0).for_each(|share| share.freed.notify_one());
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let mut books = self.shares.books();
        if let Some(share) = books.tunnels.get_mut(&self.tunnel) {
            share.used = share.used.saturating_sub(1);
        }
        books.wake();
    }
}

/// A waiting client, which counts until dropped.
struct Waiting<'a> {
    shares: &'a Shares,
    tunnel: &'a str,
    freed: Arc<Notify>,
}

impl<'a> Waiting<'a> {
    fn begin(shares: &'a Shares, tunnel: &'a str) -> Result<Self, Turned> {
        let mut books = shares.books();
        let limit = books.waiting;
        let Some(share) = books.tunnels.get_mut(tunnel) else { return Err(Turned::Waiting(0)) };
        if share.waiting >= limit {
            return Err(Turned::Waiting(share.waiting));
        }
        share.waiting = share.waiting.saturating_add(1);
        Ok(Self { shares, tunnel, freed: share.freed.clone() })
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        let mut books = self.shares.books();
        if let Some(share) = books.tunnels.get_mut(self.tunnel) {
            share.waiting = share.waiting.saturating_sub(1);
        }
        // The client may have been woken for a connection that it does not take.
        books.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fill(shares: &Arc<Shares>, tunnel: &str) -> Vec<Permit> {
        std::iter::from_fn(|| shares.try_take(tunnel)).collect()
    }

    #[test]
    fn one_tunnel_has_all() {
        let shares = Shares::new((10, 9), [("one", None)].into_iter());
        assert_eq!(fill(&shares, "one").len(), 10);
        assert_eq!(fill(&shares, "one").len(), 10, "they come back");
    }

    #[test]
    fn each_tunnel_keeps_its_part() {
        let shares = Shares::new((12, 9), [("one", None), ("two", None), ("small", Some(1))].into_iter());
        let one = fill(&shares, "one");
        // Half of all is six, two for each; the small one can use one of its two.
        assert_eq!(one.len(), 9);
        assert_eq!(shares.usages("one"), [Usage::new("connections", 9, Some(12)), Usage::new("waiting", 0, Some(9))]);
        assert_eq!(shares.usages("small")[0], Usage::new("connections", 0, Some(1)));
        let (two, small) = (fill(&shares, "two"), fill(&shares, "small"));
        assert_eq!((two.len(), small.len()), (2, 1));
        drop(one);
        assert_eq!(fill(&shares, "two").len(), 7);
    }

    #[test]
    fn a_change_holds_for_those_that_come() {
        let shares = Shares::new((4, 9), [("one", None)].into_iter());
        let mut before = fill(&shares, "one");
        shares.set((2, 9), [("two", None)].into_iter());
        assert_eq!(before.len(), 4);
        assert_eq!(fill(&shares, "two").len(), 1, "its part, though there are too many");
        before.truncate(1);
        assert_eq!(fill(&shares, "two").len(), 1);
        before.clear();
        assert_eq!(fill(&shares, "two").len(), 2);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_when_one_of_its_own_or_of_all_ends() {
        let shares = Shares::new((4, 9), [("one", None), ("two", None)].into_iter());
        let (mut one, two) = (fill(&shares, "one"), fill(&shares, "two"));
        assert_eq!((one.len(), two.len()), (3, 1));
        let waits = {
            let shares = shares.clone();
            tokio::spawn(async move { [shares.take("two").await.unwrap(), shares.take("two").await.unwrap()] })
        };
        tokio::task::yield_now().await;
        one.truncate(1);
        assert_eq!(waits.await.unwrap().len(), 2);
    }
}
