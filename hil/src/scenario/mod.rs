//! Scenarios: readable files that describe the events a device meets and its expected behaviour.

mod bench;
mod cuts;
mod faults;
mod file;
mod run;
mod server;
mod step;

use std::collections::VecDeque;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

pub use file::{Bad, Believes, Device, Scenario};
pub use run::{Outcome, Verdict, run};
pub use server::{Expectation, Flaw, Server, Shown};
pub use step::{Action, Cuts, Faults, Service, Step};

use crate::qemu::Board;

/// The firmware that scenarios run.
#[derive(Clone, Debug)]
pub struct Firmware {
    /// The board that it is built for.
    pub board: &'static Board,
    /// The shipped firmware.
    pub plain: Option<PathBuf>,
    /// The firmware with the test rig.
    pub rig: Option<PathBuf>,
}

impl Firmware {
    fn of(&self, scenario: &Scenario) -> Option<&Path> {
        if scenario.needs_rig() { self.rig.as_deref() } else { self.plain.as_deref() }
    }
}

/// Runs the scenarios, `jobs` at a time, and calls `told` when each has ended. Returns the verdicts in the order of
/// the scenarios.
pub fn run_all(
    scenarios: &[Scenario],
    firmware: &Firmware,
    logs: &Path,
    keep: bool,
    jobs: usize,
    told: impl Fn(&Verdict) + Sync,
) -> Vec<Verdict> {
    let waiting: Mutex<VecDeque<(usize, &Scenario)>> = Mutex::new(scenarios.iter().enumerate().collect());
    let verdicts = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..jobs.max(1) {
            scope.spawn(|| {
                loop {
                    let next = waiting.lock().unwrap_or_else(PoisonError::into_inner).pop_front();
                    let Some((number, scenario)) = next else { return };
                    let board = firmware.board;
                    let verdict = match firmware.of(scenario) {
                        Some(firmware) => run(scenario, board, firmware, logs, keep),
                        None => Verdict {
                            name: scenario.name.clone(),
                            outcome: Outcome::Skipped("it needs firmware with the test rig: --rig ELF".into()),
                            took: Default::default(),
                        },
                    };
                    told(&verdict);
                    verdicts.lock().unwrap_or_else(PoisonError::into_inner).push((number, verdict));
                }
            });
        }
    });
    let mut verdicts = verdicts.into_inner().unwrap_or_else(PoisonError::into_inner);
    verdicts.sort_by_key(|(number, _)| *number);
    verdicts.into_iter().map(|(_, verdict)| verdict).collect()
}
