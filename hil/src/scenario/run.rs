//! Runs one scenario, and judges it.

use std::cell::Cell;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use super::bench::{Bench, PORT, glance};
use super::file::Scenario;
use super::step::{Action, Presence, Service, Step};
use crate::log::Waited;
use crate::qemu::{BOARDS, Board};
use crate::servers::StepCa;

/// The outcome of a scenario.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    /// The scenario ended as it should.
    Passed,
    /// The scenario failed, for this reason.
    Failed(String),
    /// The scenario needs something that this machine lacks.
    Skipped(String),
}

/// The verdict on a scenario that was run.
#[derive(Clone, Debug)]
pub struct Verdict {
    /// The scenario's name.
    pub name: String,
    /// The outcome.
    pub outcome: Outcome,
    /// The duration of the run.
    pub took: Duration,
}

struct Run<'a> {
    scenario: &'a Scenario,
    bench: Bench,
    /// The number of the first log line that no step has consumed.
    next: usize,
    /// The number of messages that the service had when it last sent something, 0 before.
    heard: usize,
}

/// Runs the scenario in its own folder below `logs`; the folder is kept if the scenario failed or `keep` is set.
pub fn run(scenario: &Scenario, board: &'static Board, firmware: &Path, logs: &Path, keep: bool) -> Verdict {
    let start = Instant::now();
    let folder = logs.join(&scenario.name);
    // Checked before anything starts: otherwise a later step would fail.
    let there = if scenario.device.counted && board.name != BOARDS[0].name {
        Err(io::Error::new(io::ErrorKind::Unsupported, format!("its bound is for {}", BOARDS[0].name)))
    } else if scenario.needs_step_ca() && !StepCa::is_there() {
        Err(io::Error::new(io::ErrorKind::Unsupported, "step-ca is not here: tests/run builds it"))
    } else {
        fresh(&folder)
    };
    let outcome = match there.and_then(|folder| Bench::new(scenario, board, firmware, folder)) {
        Err(error) if error.kind() == io::ErrorKind::Unsupported => Outcome::Skipped(error.to_string()),
        Err(error) => Outcome::Failed(format!("the bench: {error}")),
        Ok(bench) => {
            let mut run = Run { scenario, bench, next: 0, heard: 0 };
            let outcome = run.all();
            run.bench.unplug();
            run.bench.write_logs();
            outcome.map_or_else(Outcome::Failed, |()| Outcome::Passed)
        }
    };
    if !matches!(outcome, Outcome::Failed(_)) && !keep {
        // A folder that stays is in nobody's way: the next run empties it.
        let _ = fs::remove_dir_all(&folder);
    }
    Verdict { name: scenario.name.clone(), outcome, took: start.elapsed() }
}

fn fresh(folder: &Path) -> io::Result<PathBuf> {
    match fs::remove_dir_all(folder) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    fs::create_dir_all(folder)?;
    folder.canonicalize()
}

impl Run<'_> {
    fn all(&mut self) -> Result<(), String> {
        for (number, step) in (1..).zip(&self.scenario.steps) {
            self.bench.log.note(format!("step {number}: {:?}", step.action));
            self.step(step).map_err(|problem| format!("step {number}: {problem}"))?;
            self.unspoiled()?;
        }
        self.bench.judge()
    }

    /// Checks that the device logged no forbidden message.
    fn unspoiled(&self) -> Result<(), String> {
        let lines = self.bench.log.lines(0);
        let spoiled =
            lines.iter().find(|line| !line.text.starts_with("-- ") && self.scenario.never.is_match(&line.text));
        spoiled.map_or(Ok(()), |line| Err(format!("the device said: {}", line.text)))
    }

    fn step(&mut self, step: &Step) -> Result<(), String> {
        let deadline = Instant::now() + step.within;
        let told = |result: io::Result<()>| result.map_err(|error| error.to_string());
        match &step.action {
            Action::Wait(wanted) => {
                let never = &self.scenario.never;
                let found = self.bench.log.wait(self.next, deadline, |line| {
                    !line.text.starts_with("-- ") && (wanted.is_match(&line.text) || never.is_match(&line.text))
                });
                match found {
                    Waited::Found(number) => {
                        self.next = number + 1;
                        Ok(())
                    }
                    Waited::TimeUp => Err(format!("in {:?} no line had {:?}", step.within, wanted.as_str())),
                    Waited::Ended => Err(format!("the firmware ended, and no line had {:?}", wanted.as_str())),
                }
            }
            Action::Absent(unwanted) => {
                let from = self.bench.log.len();
                let found = self
                    .bench
                    .log
                    .wait(from, deadline, |line| !line.text.starts_with("-- ") && unwanted.is_match(&line.text));
                match found {
                    Waited::TimeUp => Ok(()),
                    Waited::Ended => Err("the firmware ended".into()),
                    Waited::Found(number) => {
                        let text = self.bench.log.lines(number).first().map(|line| line.text.clone());
                        Err(format!("the device said: {}", text.unwrap_or_default()))
                    }
                }
            }
            Action::ServerSays(wanted) => {
                self.until(step, "the server did not say it", |bench| wanted.is_match(&bench.server_said()))
            }
            Action::Telemetry(count) => {
                let all = self.bench.service.messages().len() + count;
                self.until(step, "too little telemetry", |bench| bench.service.messages().len() >= all)
            }
            Action::Message(wanted) => {
                let heard = self.heard;
                self.until(step, "no such message", |bench| {
                    bench.service.messages().iter().skip(heard).any(|message| wanted.is_match(message))
                })
            }
            Action::Posts(count) => {
                let all = self.bench.service.posts().len() + count;
                self.until(step, "too few reports", |bench| bench.service.posts().len() >= all)
            }
            Action::Tries(count) => {
                let tries = |bench: &Bench| bench.wire.seen().connections.get(&PORT).copied().unwrap_or(0);
                let all = tries(&self.bench) + count;
                self.until(step, "too few connections", |bench| tries(bench) >= all)
            }
            Action::Asks(service) => {
                let asked = |bench: &Bench| {
                    let seen = bench.wire.seen();
                    match service {
                        Service::Dhcp => seen.dhcp_requests,
                        Service::Dns => seen.names.len(),
                        Service::Ntp => seen.time_requests,
                    }
                };
                let before = asked(&self.bench);
                self.until(step, "it did not ask", |bench| asked(bench) > before)
            }
            Action::Command(text) => {
                // A command waits for the device to be connected.
                self.send(step, "no WebSocket to send it on", |bench| bench.service.send(text))
            }
            Action::Chat(chat) => {
                let octets = chat.frames();
                self.send(step, "no WebSocket to send them on", |bench| bench.service.send_octets(&octets))
            }
            Action::Octets(octets) => {
                self.send(step, "no WebSocket to send them on", |bench| bench.service.send_octets(octets))
            }
            Action::Answer(text) => {
                self.bench.set_answer(text);
                Ok(())
            }
            Action::Est(est) => {
                self.bench.set_est(*est);
                Ok(())
            }
            Action::Server(server) => {
                self.bench.judge()?;
                told(self.bench.serve(server))
            }
            Action::RotateServer => told(self.bench.rotate_server()),
            Action::Ca(wanted) => told(self.bench.set_ca(*wanted)),
            Action::Service(wanted) => {
                self.bench.service.set_down(*wanted == Presence::Stop);
                Ok(())
            }
            Action::Restart => {
                self.bench.unplug();
                self.next = self.bench.log.len();
                told(self.bench.power())
            }
            Action::Image(made_for) => {
                self.bench.unplug();
                self.bench.write_image(*made_for)?;
                self.next = self.bench.log.len();
                told(self.bench.power())
            }
            Action::Voucher(voucher) => {
                self.bench.unplug();
                self.next = self.bench.log.len();
                told(self.bench.renew_voucher(*voucher))
            }
            Action::Cut(operation) => {
                self.bench.unplug();
                told(self.bench.set_cut(*operation))?;
                told(self.bench.power())?;
                self.until(step, "the power was not cut", |bench| {
                    bench.flash.operations().is_ok_and(|done| done.stopped)
                })?;
                self.bench.unplug();
                told(self.bench.set_cut(0))?;
                self.next = self.bench.log.len();
                told(self.bench.power())
            }
            Action::Flash(fault) => told(self.bench.flash.fail(*fault)),
            Action::Faults(faults) => {
                let (all, met) = super::faults::run(&mut self.bench, *faults, &self.scenario.never)?;
                self.next = self.bench.log.len();
                self.bench.log.note(format!("{met} of {all} faults were part of a renewal"));
                if met * 2 < all {
                    return Err(format!("only {met} of {all} faults were part of a renewal"));
                }
                Ok(())
            }
            Action::Cuts(cuts) => {
                let met = super::cuts::run(&mut self.bench, *cuts, &self.scenario.never)?;
                self.next = self.bench.log.len();
                self.bench.log.note(format!("{met} of {} cuts were amid an operation", cuts.times));
                // A test whose cuts seldom meet an operation proves nothing.
                if met * 2 < cuts.times {
                    return Err(format!("only {met} of {} cuts were amid an operation", cuts.times));
                }
                Ok(())
            }
            Action::Reset => {
                self.bench.wire.reset(None);
                Ok(())
            }
            Action::Cable(fault) => {
                self.bench.wire.set_cable(*fault);
                Ok(())
            }
            Action::Deaf(deaf) => {
                self.bench.wire.set_deaf(*deaf);
                Ok(())
            }
            Action::Mute(after) => {
                self.bench.wire.mute(*after);
                Ok(())
            }
            Action::Dhcp(mode) => {
                self.bench.wire.set_dhcp(*mode);
                Ok(())
            }
            Action::Dns(mode) => {
                self.bench.wire.set_dns(*mode);
                Ok(())
            }
            Action::Ntp(mode) => {
                self.bench.wire.set_ntp(*mode);
                Ok(())
            }
            Action::Exit(status) => {
                let ended = self.bench.qemu.as_mut().and_then(|qemu| qemu.wait(deadline));
                match ended {
                    Some(ended) if ended.code() == Some(*status) => Ok(()),
                    Some(ended) => Err(format!("found {ended}, expected status {status}")),
                    None => Err("it did not end".into()),
                }
            }
        }
    }

    /// Sends something to the device as soon as it can be sent: what is heard from then on may be the answer.
    fn send(&mut self, step: &Step, otherwise: &str, send: impl Fn(&Bench) -> bool) -> Result<(), String> {
        let heard = Cell::new(0);
        self.until(step, otherwise, |bench| {
            heard.set(bench.service.messages().len());
            send(bench)
        })?;
        self.heard = heard.get();
        Ok(())
    }

    fn until(&mut self, step: &Step, otherwise: &str, done: impl Fn(&Bench) -> bool) -> Result<(), String> {
        let deadline = Instant::now() + step.within;
        loop {
            if done(&self.bench) {
                return Ok(());
            }
            if self.bench.qemu.as_mut().is_some_and(|qemu| qemu.status().is_some()) {
                return Err(format!("the firmware ended: {otherwise}"));
            }
            if Instant::now() >= deadline {
                return Err(format!("{otherwise} in {:?}", step.within));
            }
            self.unspoiled()?;
            glance();
        }
    }
}
