//! Makes operations of the flash fail amid renewals, one after the other; the device must renew each time.

use std::time::{Duration, Instant};

use regex::Regex;

use super::bench::{Bench, glance};
use super::step::Faults;
use crate::image::FlashFault;

/// The time limit for each renewal, with the device's wait after a failure.
const EACH: Duration = Duration::from_secs(60);

/// Makes the operations fail, and returns their number and how many of them were part of a renewal.
pub(super) fn run(bench: &mut Bench, faults: Faults, never: &Regex) -> Result<(u32, u32), String> {
    let (mut all, mut met) = (0, 0);
    for at in (faults.from..=faults.up_to).step_by(faults.every.try_into().unwrap_or(usize::MAX)) {
        let problem = |problem: String| format!("operation {at}: {problem}");
        bench.log.note(format!("operation {at} of the flash fails"));
        let from = bench.log.len();
        let fail = |times| bench.flash.fail(FlashFault { after: at - 1, times }).map_err(|error| error.to_string());
        fail(1)?;
        all += 1;
        renew(bench, from).map_err(problem)?;
        fail(0)?;
        let lines = bench.log.lines(from);
        if lines.iter().any(|line| line.text.starts_with("store: ")) {
            met += 1;
        }
        if let Some(line) = lines.iter().find(|line| never.is_match(&line.text)) {
            return Err(problem(format!("the device said: {}", line.text)));
        }
    }
    Ok((all, met))
}

/// Tells the device to renew, and waits until it has renewed and is connected again.
fn renew(bench: &Bench, from: usize) -> Result<(), String> {
    let until = Instant::now() + EACH;
    let mut asked = None;
    loop {
        let lines = bench.log.lines(from);
        let place = |what: &str| lines.iter().position(|line| line.text.contains(what));
        if let Some(confirmed) = place("rotation: Confirm")
            && lines.iter().skip(confirmed).any(|line| line.text.contains("connected: websocket"))
        {
            return Ok(());
        }
        bench.ask_to_renew(from, &mut asked);
        if Instant::now() > until {
            return Err(format!("no renewal within {EACH:?}"));
        }
        glance();
    }
}
