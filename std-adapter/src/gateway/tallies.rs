//! Counts the sessions of a tunnel by the trust anchor and the allow rule that let their peers in.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use arc_swap::ArcSwap;
use edgetrust_core::x509::KeyHash;

use crate::tls::Peer;

/// The tallies of one tunnel, those of earlier configurations among them; sessions beyond are counted without their
/// anchor and rule. Only configured anchors and rules get here, so no stranger makes up another tally.
const MAX_TALLIES: usize = 1024;

/// The sessions that one anchor and one rule let in.
#[derive(Debug, Default)]
pub struct Tally {
    /// The rule, as the log has it; empty where every verified peer is let in, or nobody is verified.
    pub rule: String,
    /// The subject of the anchor; empty where nobody is verified.
    pub anchor: String,
    /// The hash of the anchor's key, which tells anchors of one subject apart.
    pub anchor_key: Option<KeyHash>,
    opened: AtomicU64,
    entered: AtomicU64,
    left: AtomicU64,
}

impl Tally {
    fn of(peer: &Peer) -> Self {
        Self {
            rule: peer.rule().unwrap_or_default().to_owned(),
            anchor: peer.anchor().to_owned(),
            anchor_key: peer.keys().last().copied(),
            ..Self::default()
        }
    }

    fn key(&self) -> (&str, Option<&KeyHash>) {
        (&self.rule, self.anchor_key.as_ref())
    }

    /// Returns whether the peer belongs here.
    fn is_for(&self, peer: &Peer) -> bool {
        self.key() == key(peer)
    }

    /// Returns the number of sessions that were let in.
    pub fn opened_total(&self) -> u64 {
        self.opened.load(Ordering::Relaxed)
    }

    /// Returns the number of sessions that are open now.
    pub fn open_now(&self) -> u64 {
        // Read in this order, a session that leaves meanwhile is at worst still counted.
        let left = self.left.load(Ordering::Relaxed);
        self.entered.load(Ordering::Relaxed).saturating_sub(left)
    }
}

fn key(peer: &Peer) -> (&str, Option<&KeyHash>) {
    (peer.rule().unwrap_or_default(), peer.keys().last())
}

/// All tallies of a tunnel, by rule and anchor. Those that are known are found without a lock.
#[derive(Debug, Default)]
pub(super) struct Tallies {
    nobody: Arc<Tally>,
    by_peer: ArcSwap<Vec<Arc<Tally>>>,
}

impl Tallies {
    fn find(&self, peer: Option<&Peer>) -> Arc<Tally> {
        let Some(peer) = peer else { return self.nobody.clone() };
        let search = |known: &[Arc<Tally>]| known.binary_search_by(|tally| tally.key().cmp(&key(peer)));
        let known = self.by_peer.load();
        if let Some(tally) = search(&known).ok().and_then(|place| known.get(place)) {
            return tally.clone();
        }
        let new = Arc::new(Tally::of(peer));
        self.by_peer.rcu(|known| match search(known) {
            Err(place) if known.len() < MAX_TALLIES => {
                let mut more = Vec::clone(known);
                more.insert(place, new.clone());
                Arc::new(more)
            }
            _ => known.clone(),
        });
        let known = self.by_peer.load();
        search(&known).ok().and_then(|place| known.get(place)).unwrap_or(&self.nobody).clone()
    }

    /// Returns the tallies: first that of sessions without a verified peer, then the others.
    pub(super) fn all(&self) -> Vec<Arc<Tally>> {
        [self.nobody.clone()].into_iter().chain(self.by_peer.load().iter().cloned()).collect()
    }

    /// Counts a session as opened, and as open until the result is dropped.
    pub(super) fn open(&self, peer: Option<&Peer>) -> Tallied {
        let tally = self.find(peer);
        tally.opened.fetch_add(1, Ordering::Relaxed);
        Tallied::new(tally)
    }
}

/// Counts a session as open where its peer belongs.
#[derive(Debug)]
pub(super) struct Tallied(Arc<Tally>);

impl Tallied {
    fn new(tally: Arc<Tally>) -> Self {
        tally.entered.fetch_add(1, Ordering::Relaxed);
        Self(tally)
    }

    /// Moves the session to where its peer belongs now: a reload or newer certificates may have brought another rule or
    /// anchor.
    pub(super) fn follow(&mut self, peer: Option<&Peer>, tallies: &Tallies) {
        if peer.is_some_and(|peer| !self.0.is_for(peer)) {
            *self = Self::new(tallies.find(peer));
        }
    }
}

impl Drop for Tallied {
    fn drop(&mut self) {
        self.0.left.fetch_add(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u16) -> Peer {
        let mut octets = [0; 32];
        octets[..2].copy_from_slice(&number.to_be_bytes());
        Peer::with_keys([KeyHash::new([7; 32]), KeyHash::new(octets)].into())
    }

    fn open(tallies: &Tallies) -> Vec<u64> {
        tallies.all().iter().map(|tally| tally.open_now()).collect()
    }

    #[test]
    fn a_session_is_counted_where_its_peer_belongs_now() {
        let tallies = Tallies::default();
        let mut session = tallies.open(Some(&peer(1)));
        assert_eq!(open(&tallies), [0, 1]);
        session.follow(Some(&peer(1)), &tallies);
        assert_eq!(open(&tallies), [0, 1]);
        session.follow(Some(&peer(2)), &tallies);
        assert_eq!(open(&tallies), [0, 0, 1]);
        drop(session);
        assert_eq!(open(&tallies), [0, 0, 0]);
        assert_eq!(tallies.all().iter().map(|tally| tally.opened_total()).collect::<Vec<_>>(), [0, 1, 0]);
        drop(tallies.open(None));
        assert_eq!(tallies.all()[0].opened_total(), 1);
    }

    #[test]
    fn there_are_no_more_than_so_many() {
        let tallies = Tallies::default();
        let sessions: Vec<_> = (0..1_030).map(|number| tallies.open(Some(&peer(number)))).collect();
        assert_eq!(tallies.all().len(), MAX_TALLIES + 1);
        assert_eq!(tallies.all()[0].open_now(), 6, "the rest is counted too");
        drop(sessions);
        assert_eq!(open(&tallies).iter().sum::<u64>(), 0);
    }
}
