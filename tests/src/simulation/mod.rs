//! Simulates fleets of gateways over years; one seed replays any run.

mod gateway;
mod report;
mod world;

use std::cmp::Reverse;
use std::collections::BinaryHeap;

use crate::random::Random;
use gateway::{Ca, Gateway};
use world::CaTroubles;

pub use gateway::REACH;
pub use report::{Options, Report};
pub use world::{DAY, HOUR, MINUTE};

/// Runs a simulation.
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
    // All gateways begin at once, as after a power cut of a whole site.
    let mut queue: BinaryHeap<Reverse<(u64, usize)>> = (0..fleet.len()).map(|index| Reverse((0, index))).collect();
    while let Some(Reverse((now, index))) = queue.pop() {
        if now >= end {
            break;
        }
        let gateway = &mut fleet[index];
        gateway.at(now, &mut ca, &mut report);
        queue.push(Reverse((gateway.next(now), index)));
        // The first orders of a fleet necessarily come all at once.
        if now < options.lifetime_s / 4 {
            report.busiest_minute = 0;
        }
    }
    report
}
