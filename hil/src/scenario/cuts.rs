//! Cuts the power amid renewals, repeatedly; the device must come up with a whole credential each time.

use std::time::{Duration, Instant};

use regex::Regex;

use super::bench::{Bench, glance};
use super::step::Cuts;
use crate::log::Waited;

/// The time limit for each start and each renewal.
const EACH: Duration = Duration::from_secs(60);

/// A random number generator (splitmix64): the same seed gives the same places.
struct Chance(u64);

impl Chance {
    fn below(&mut self, end: u32) -> u32 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        u32::try_from((z ^ (z >> 31)) % u64::from(end.max(1))).unwrap_or_default()
    }
}

/// Makes all cuts, and returns the number that fell amid an operation.
pub(super) fn run(bench: &mut Bench, cuts: Cuts, never: &Regex) -> Result<u32, String> {
    let told = |result: std::io::Result<()>| result.map_err(|error| error.to_string());
    let mut chance = Chance(cuts.seed);
    let mut met = 0;
    for number in 1..=cuts.times {
        let at = chance.below(cuts.up_to) + 1;
        let problem = |problem: String| format!("cut {number}, at operation {at}: {problem}");
        bench.unplug();
        told(bench.set_cut(at))?;
        bench.log.note(format!("cut {number}: operation {at}"));
        let from = bench.log.len();
        told(bench.power())?;
        if renew(bench, from).map_err(problem)? {
            met += 1;
        }
        bench.unplug();
        told(bench.set_cut(0))?;
        let from = bench.log.len();
        told(bench.power())?;
        wait(bench, from, "connected: websocket").map_err(problem)?;
        if let Some(line) = bench.log.lines(from).iter().find(|line| never.is_match(&line.text)) {
            return Err(problem(format!("the device said: {}", line.text)));
        }
    }
    Ok(met)
}

/// Waits for the end of the power (true) or of the renewal (false).
fn renew(bench: &mut Bench, from: usize) -> Result<bool, String> {
    let until = Instant::now() + EACH;
    let said = |bench: &Bench, what: &str| bench.log.lines(from).iter().any(|line| line.text.contains(what));
    let mut asked = None;
    loop {
        if bench.flash.operations().is_ok_and(|done| done.stopped) {
            return Ok(true);
        }
        if said(bench, "rotation: Confirm") {
            return Ok(false);
        }
        if said(bench, "connected: websocket") {
            bench.ask_to_renew(from, &mut asked);
        }
        if Instant::now() > until {
            return Err(format!("neither the power nor the renewal ended in {EACH:?}"));
        }
        glance();
    }
}

fn wait(bench: &Bench, from: usize, what: &str) -> Result<(), String> {
    match bench.log.wait(from, Instant::now() + EACH, |line| line.text.contains(what)) {
        Waited::Found(_) => Ok(()),
        Waited::TimeUp => Err(format!("in {EACH:?} no line had {what:?}")),
        Waited::Ended => Err(format!("the firmware ended, and no line had {what:?}")),
    }
}
