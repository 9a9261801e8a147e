//! Counts the handshakes of a tunnel by what became of them, and how long they took.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use crate::histogram::{Distribution, Histogram};
use crate::tls::{AcceptError, Agreed, HandshakeFailure};

/// The handshakes of one tunnel.
#[derive(Debug)]
pub(super) struct Handshakes {
    accepted: [[[AtomicU64; 2]; Agreed::GROUPS.len()]; Agreed::VERSIONS.len()],
    failed: [AtomicU64; HandshakeFailure::ALL.len()],
    durations: Histogram,
}

/// From a resumed handshake on loopback to one across satellites and `limits.handshake_timeout`.
const DURATIONS: [Duration; 12] = [
    Duration::from_millis(1),
    Duration::from_micros(2_500),
    Duration::from_millis(5),
    Duration::from_millis(10),
    Duration::from_millis(25),
    Duration::from_millis(50),
    Duration::from_millis(100),
    Duration::from_millis(250),
    Duration::from_millis(500),
    Duration::from_secs(1),
    Duration::from_millis(2_500),
    Duration::from_secs(5),
];

/// The number of handshakes that agreed on the same, or failed for the same reason.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HandshakeCount {
    /// `accepted`, `refused` or `failed`.
    pub result: &'static str,
    /// The reason; empty for those that were accepted.
    pub reason: &'static str,
    /// The version of TLS; empty for those that were not accepted, as the rest is.
    pub version: &'static str,
    /// The key-exchange group.
    pub group: &'static str,
    /// `true` or `false`.
    pub resumed: &'static str,
    /// The number.
    pub count: u64,
}

impl Default for Handshakes {
    fn default() -> Self {
        Self { accepted: Default::default(), failed: Default::default(), durations: Histogram::new(&DURATIONS) }
    }
}

impl Handshakes {
    /// Begins a handshake, which may have begun earlier.
    pub(super) fn begin(&self, since: Instant) -> Begun<'_> {
        Begun { handshakes: Some(self), since }
    }

    fn accept(&self, agreed: Agreed, took: Duration) {
        let by_group = self.accepted.get(agreed.version).and_then(|groups| groups.get(agreed.group));
        if let Some(count) = by_group.and_then(|counts| counts.get(usize::from(agreed.resumed))) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.durations.observe(took);
    }

    fn fail(&self, failure: HandshakeFailure) {
        let counters = HandshakeFailure::ALL.iter().zip(&self.failed);
        for (_, counter) in counters.filter(|(other, _)| **other == failure) {
            counter.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Returns all counts: those of failures also where there was none, so that their increase can be seen.
    pub(super) fn counts(&self) -> Vec<HandshakeCount> {
        let mut all = Vec::new();
        for (version, groups) in Agreed::VERSIONS.into_iter().zip(&self.accepted) {
            for (group, counts) in Agreed::GROUPS.into_iter().zip(groups) {
                for (resumed, count) in ["false", "true"].into_iter().zip(counts) {
                    let count = count.load(Ordering::Relaxed);
                    if count > 0 {
                        all.push(HandshakeCount { result: "accepted", reason: "", version, group, resumed, count });
                    }
                }
            }
        }
        let failed = HandshakeFailure::ALL.iter().zip(&self.failed);
        all.extend(failed.map(|(failure, count)| {
            let ((result, reason), count) = (failure.names(), count.load(Ordering::Relaxed));
            HandshakeCount { result, reason, version: "", group: "", resumed: "", count }
        }));
        all
    }

    /// Returns how long the accepted ones took.
    pub(super) fn durations(&self) -> Distribution {
        self.durations.distribution()
    }
}

/// A handshake under way. Where it ends without a word, as by its deadline, it has failed by that.
pub(super) struct Begun<'h> {
    handshakes: Option<&'h Handshakes>,
    since: Instant,
}

impl Begun<'_> {
    pub(super) fn accept(mut self, agreed: Agreed) {
        if let Some(handshakes) = self.handshakes.take() {
            handshakes.accept(agreed, self.since.elapsed());
        }
    }

    pub(super) fn fail(mut self, failure: HandshakeFailure) {
        if let Some(handshakes) = self.handshakes.take() {
            handshakes.fail(failure);
        }
    }

    pub(super) fn fail_by(self, error: &AcceptError) {
        match HandshakeFailure::of(error) {
            Some(failure) => self.fail(failure),
            None => self.go_on_elsewhere(),
        }
    }

    /// Counts nothing here: it was no handshake, or another counter has it.
    pub(super) fn go_on_elsewhere(mut self) {
        self.handshakes = None;
    }
}

impl Drop for Begun<'_> {
    fn drop(&mut self) {
        if let Some(handshakes) = self.handshakes.take() {
            handshakes.fail(HandshakeFailure::Deadline);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_handshake_is_counted_once() {
        let handshakes = Handshakes::default();
        let begin = || handshakes.begin(Instant::now());
        begin().accept(Agreed { version: 1, group: 0, resumed: true });
        begin().fail(HandshakeFailure::Expired);
        begin().fail_by(&AcceptError::LeftSilently);
        drop(begin());
        let counted: Vec<_> = handshakes.counts().into_iter().filter(|count| count.count > 0).collect();
        let shown = |count: &HandshakeCount| [count.result, count.reason, count.version, count.group, count.resumed];
        assert_eq!(
            counted.iter().map(shown).collect::<Vec<_>>(),
            [
                ["accepted", "", "TLSv1.3", "X25519MLKEM768", "true"],
                ["refused", "expired", "", "", ""],
                ["failed", "deadline", "", "", ""],
            ]
        );
        assert!(counted.iter().all(|count| count.count == 1));
        assert_eq!(handshakes.durations().count, 1);
    }
}
