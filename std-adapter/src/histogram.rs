//! Counts durations in buckets of fixed bounds. Observing one costs two additions to atomics, and no lock.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// Counts durations by the bounds that they do not exceed.
#[derive(Debug)]
pub struct Histogram {
    /// The upper bounds, ascending.
    bounds: &'static [Duration],
    /// The durations in each bucket alone, those above all bounds last.
    counts: Box<[AtomicU64]>,
    /// The sum in microseconds: half a million years.
    sum: AtomicU64,
}

/// The contents of a histogram at one moment.
#[derive(Clone, Debug, PartialEq)]
pub struct Distribution {
    /// Each upper bound with the number of durations up to it.
    pub buckets: Vec<(Duration, u64)>,
    /// The number of all durations.
    pub count: u64,
    /// Their sum.
    pub sum: Duration,
}

impl Histogram {
    /// Creates a histogram with these upper bounds, which ascend.
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        Self { bounds, counts, sum: AtomicU64::new(0) }
    }

    /// Counts a duration.
    pub fn observe(&self, duration: Duration) {
        let place = self.bounds.partition_point(|bound| *bound < duration);
        if let Some(count) = self.counts.get(place) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum.fetch_add(u64::try_from(duration.as_micros()).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Returns what was counted so far.
    pub fn distribution(&self) -> Distribution {
        let mut count = 0_u64;
        let mut buckets = Vec::with_capacity(self.bounds.len());
        let mut bounds = self.bounds.iter();
        for one in &self.counts {
            count = count.saturating_add(one.load(Ordering::Relaxed));
            buckets.extend(bounds.next().map(|bound| (*bound, count)));
        }
        Distribution { buckets, count, sum: Duration::from_micros(self.sum.load(Ordering::Relaxed)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOUNDS: [Duration; 2] = [Duration::from_millis(1), Duration::from_secs(1)];

    #[test]
    fn a_bound_belongs_to_its_bucket_and_buckets_add_up() {
        let histogram = Histogram::new(&BOUNDS);
        for millis in [0, 1, 2, 1000, 1001, 5000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let Distribution { buckets, count, sum } = histogram.distribution();
        assert_eq!(buckets, [(BOUNDS[0], 2), (BOUNDS[1], 4)]);
        assert_eq!((count, sum), (6, Duration::from_millis(7004)));
    }

    #[test]
    fn threads_lose_nothing() {
        let histogram = Histogram::new(&BOUNDS);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| (0..10_000).for_each(|_| histogram.observe(Duration::from_millis(2))));
            }
        });
        let Distribution { count, sum, .. } = histogram.distribution();
        assert_eq!((count, sum), (40_000, Duration::from_secs(80)));
    }
}
