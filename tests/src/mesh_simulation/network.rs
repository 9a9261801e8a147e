//! The models of the simulation: latency, bandwidth, outages, and the time that a gateway works on a mesh.

use super::{MINUTE, Millis};
use crate::random::Random;

/// The time to judge an offered mesh. What it took here is in the report.
pub const JUDGING: Millis = 100;
/// The time from the news to the mesh in force: a reload of the whole configuration. What it took here is in the report.
pub const LOADING: Millis = 500;
/// The octets of a request or an answer without a body, with what TCP, IP and TLS add.
pub const HEAD: u64 = 400;

/// The mean time between the outages of a site, and of an outage: a tenth of the sites are down.
const MEAN_UP: Millis = 90 * MINUTE;
const MEAN_DOWN: Millis = 10 * MINUTE;

/// The lines between sites.
#[derive(Clone, Copy, Debug)]
pub struct Network {
    /// The seed of the latencies.
    pub seed: u64,
    /// The bandwidth from each site, in megabits a second. What a site sends at a time goes one after the other.
    pub mbit: u64,
}

impl Network {
    /// Returns the time of one way between two sites: 5 to 100 milliseconds, always the same for the two.
    pub fn latency(&self, one: usize, other: usize) -> Millis {
        let (one, other) = (one.min(other) as u64, one.max(other) as u64);
        5 + Random(self.seed ^ (one << 32 | other)).below(96)
    }

    /// Returns the time for which octets occupy a line.
    pub fn sending(&self, octets: u64) -> Millis {
        octets * 8 / (self.mbit.max(1) * 1_000)
    }
}

/// The way in which a site goes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Outage {
    /// Its gateway ends: others see their connections end, and are refused new ones.
    Program,
    /// Its power or its line is gone: others hear nothing.
    Line,
}

impl Outage {
    /// Draws one: of either kind alike.
    pub fn draw(random: &mut Random) -> Self {
        if random.one_in(2) { Self::Program } else { Self::Line }
    }
}

/// Draws how long a site stays up. Each moment is as likely to be the last as any other, here and for outages: so a tenth of
/// the sites are down at every time.
pub fn up(random: &mut Random) -> Millis {
    until_it_happens(random, MEAN_UP)
}

/// Draws how long an outage lasts.
pub fn down(random: &mut Random) -> Millis {
    until_it_happens(random, MEAN_DOWN)
}

/// Draws from the exponential distribution of this mean.
fn until_it_happens(random: &mut Random, mean: Millis) -> Millis {
    const STEPS: u64 = 1 << 32;
    let share = (1 + random.below(STEPS)) as f64 / STEPS as f64;
    1 + (-share.ln() * mean as f64) as Millis
}

/// Returns whether a site is down at a moment that nobody has chosen.
pub fn is_down(random: &mut Random) -> bool {
    random.below(MEAN_UP + MEAN_DOWN) < MEAN_DOWN
}
