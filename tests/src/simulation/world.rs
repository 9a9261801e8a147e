//! Draws the troubles of the CA and of each gateway beforehand from a seed.

use crate::random::Random;

pub const MINUTE: u64 = 60;
pub const HOUR: u64 = 3600;
pub const DAY: u64 = 24 * HOUR;

/// A start and an end, in seconds.
pub type Span = (u64, u64);

/// Returns spans that start about every `every` seconds and last `lasting`, up to `end`.
fn spans(random: &mut Random, every: u64, end: u64, lasting: impl Fn(&mut Random) -> u64) -> Vec<Span> {
    let mut spans = Vec::new();
    let mut at = random.below(2 * every);
    while at < end {
        let until = at + lasting(random);
        spans.push((at, until));
        at = until + 1 + random.below(2 * every);
    }
    spans
}

/// Returns the span that contains `now`.
pub fn holds(spans: &[Span], now: u64) -> Option<Span> {
    let next = spans.partition_point(|(from, _)| *from <= now);
    spans[..next].last().copied().filter(|(_, until)| now < *until)
}

/// The CA's troubles: absence or overload.
#[derive(Clone, Debug)]
pub struct CaTroubles {
    /// The spans in which the CA does not answer.
    pub away: Vec<Span>,
    /// The spans in which the CA answers 429 with a Retry-After up to the end of the span.
    pub busy: Vec<Span>,
}

impl CaTroubles {
    pub fn draw(random: &mut Random, end: u64) -> Self {
        let away = spans(random, 5 * DAY, end, |random| match random.below(20) {
            0 => DAY + random.below(3 * DAY),
            1..5 => HOUR + random.below(6 * HOUR),
            _ => MINUTE + random.below(HOUR),
        });
        let busy = spans(random, 20 * DAY, end, |random| MINUTE + random.below(2 * HOUR));
        Self { away, busy }
    }
}

/// The troubles of a gateway.
#[derive(Clone, Debug)]
pub struct Troubles {
    /// The spans in which the gateway is off.
    pub off: Vec<Span>,
    /// The spans in which nothing can be written.
    pub disk_full: Vec<Span>,
    /// The spans in which the clock is wrong, and its error in seconds.
    pub clock: Vec<(Span, i64)>,
}

impl Troubles {
    pub fn draw(random: &mut Random, end: u64) -> Self {
        let off = spans(random, 30 * DAY, end, |random| MINUTE + random.below(30 * MINUTE));
        let disk_full = spans(random, 90 * DAY, end, |random| HOUR + random.below(DAY));
        let clock = spans(random, 60 * DAY, end, |random| MINUTE + random.below(6 * HOUR));
        let clock = clock
            .into_iter()
            .map(|span| {
                let by = match random.below(3) {
                    0 => random.below(HOUR),
                    1 => random.below(2 * DAY),
                    _ => random.below(400 * DAY),
                };
                let by = i64::try_from(by).unwrap_or(0);
                (span, if random.one_in(2) { by } else { -by })
            })
            .collect();
        Self { off, disk_full, clock }
    }

    /// Returns the error of the clock in seconds.
    pub fn clock_offset(&self, now: u64) -> i64 {
        let next = self.clock.partition_point(|((from, _), _)| *from <= now);
        self.clock[..next].last().filter(|((_, until), _)| now < *until).map_or(0, |(_, by)| *by)
    }

    /// Returns the next instant after `now` at which a trouble begins or ends.
    pub fn next_change(&self, now: u64) -> u64 {
        let clock: [u64; 1] = [next_edge(&self.clock, now, |(span, _)| *span)];
        [&self.off, &self.disk_full]
            .map(|spans| next_edge(spans, now, |span| *span))
            .into_iter()
            .chain(clock)
            .min()
            .unwrap_or(u64::MAX)
    }
}

/// Returns the next edge of ordered spans.
fn next_edge<T>(all: &[T], now: u64, span: impl Fn(&T) -> Span) -> u64 {
    let next = all.partition_point(|one| span(one).0 <= now);
    let ends = all[..next].last().map(|one| span(one).1).filter(|until| *until > now);
    ends.or_else(|| all.get(next).map(|one| span(one).0)).unwrap_or(u64::MAX)
}
