//! Fleets of gateways over years of simulated time; one seed replays any run.

mod gateway;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::fmt;

use crate::random::Random;
use gateway::{Ca, Gateway};
use world::CaTroubles;

pub use gateway::REACH;
pub use world::{DAY, HOUR, MINUTE};

/// What is simulated.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// How many gateways.
    pub gateways: u64,
    /// For how long, in seconds.
    pub duration_s: u64,
    /// How long certificates live.
    pub lifetime_s: u64,
    /// When they are renewed.
    pub renew_before_s: u32,
    /// This gateway never gets a second certificate, through nobody's fault: the report must show it.
    pub broken: Option<u64>,
    /// Replays the run.
    pub seed: u64,
    /// Nothing goes wrong.
    pub calm: bool,
    /// Every event of this gateway in this time is written to standard error.
    pub trace: Option<(u64, (u64, u64))>,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Report {
    /// Certificates that expired though they could have been renewed.
    pub outages: u64,
    /// The first of them.
    pub first_outage: Option<String>,
    /// Certificates that expired since nothing worked for all of the window, but for less than [`REACH`] at a time.
    pub excused: u64,
    /// Renewals, and those before the one before had expired.
    pub renewals: u64,
    /// Those that came in time.
    pub in_time: u64,
    /// The shortest time between a renewal that came in time and the end of the certificate before.
    pub worst_margin_s: Option<u64>,
    /// Certificates issued.
    pub issued: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Orders in the busiest minute.
    pub busiest_minute: u64,
    /// Events of the rotation.
    pub events: u64,
}

impl Report {
    fn renewed(&mut self, end: u64, now: u64) {
        self.renewals += 1;
        if let Some(margin) = end.checked_sub(now).filter(|margin| *margin > 0) {
            self.in_time += 1;
            self.worst_margin_s = Some(self.worst_margin_s.map_or(margin, |worst| worst.min(margin)));
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let share = |part: u64, of: u64| part as f64 * 100.0 / of.max(1) as f64;
        writeln!(f, "outages                 {}", self.outages)?;
        writeln!(f, "expired, CA not there   {}", self.excused)?;
        writeln!(f, "renewals                {}", self.renewals)?;
        writeln!(f, "renewed in time         {:.5} %", share(self.in_time, self.renewals))?;
        writeln!(f, "attempts that succeeded {:.3} %", share(self.issued, self.issued + self.failed))?;
        writeln!(f, "worst margin            {} s", self.worst_margin_s.unwrap_or(0))?;
        writeln!(f, "busiest minute          {} orders", self.busiest_minute)?;
        write!(f, "events                  {}", self.events)
    }
}

/// Runs it.
pub fn simulate(options: &Options) -> Report {
    let end = options.duration_s;
    let mut random = Random(options.seed);
    let troubles = if options.calm {
        CaTroubles { away: Vec::new(), busy: Vec::new() }
    } else {
        CaTroubles::draw(&mut random, end)
    };
    let mut ca = Ca { troubles: &troubles, lifetime_s: options.lifetime_s, calm: options.calm, minute: (0, 0) };
    let mut report = Report::default();
    let mut fleet: Vec<Gateway> = (0..options.gateways).map(|number| Gateway::new(options, number, end)).collect();
    // All begin at once, as after a power cut of a whole site.
    let mut queue: BinaryHeap<Reverse<(u64, usize)>> = (0..fleet.len()).map(|index| Reverse((0, index))).collect();
    while let Some(Reverse((now, index))) = queue.pop() {
        if now >= end {
            break;
        }
        let gateway = &mut fleet[index];
        gateway.at(now, &mut ca, &mut report);
        queue.push(Reverse((gateway.next(now), index)));
        // The first orders of a fleet are a herd by nature.
        if now < options.lifetime_s / 4 {
            report.busiest_minute = 0;
        }
    }
    report
}
