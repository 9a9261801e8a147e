//! Simulates one gateway: the core's rotation, a store that survives restarts, and an issuer at the end of a network.

use std::time::Duration;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::rotation::{Action, Event, Failure, FailureKind, Machine, Policy, SlotCertificate};
use edgetrust_core::store::Slot;
use edgetrust_core::time::TrustedTime;

use super::report::{Options, Report};
use super::world::{CaTroubles, HOUR, MINUTE, Span, Troubles, holds};
use crate::random::Random;

/// The start of simulated time.
const BASE: u64 = 1_800_000_000;

/// The seconds by which CAs backdate certificates; step-ca's default.
const BACKDATE: u64 = 60;

/// The clock error in seconds at which a gateway finds the CA's own certificate expired or not yet valid.
const CLOCK_BREAKS_TLS: u64 = 12 * HOUR;

/// The trouble-free time within which a renewal must have happened: the longest wait of the policy, and an attempt
/// that takes its time.
pub const REACH: u64 = 30 * MINUTE;

pub(super) fn unix(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(BASE + seconds))
}

pub(super) fn seconds(time: UnixTime) -> u64 {
    time.as_secs().saturating_sub(BASE)
}

/// The outcome of the operation that is under way.
#[derive(Clone, Copy, Debug)]
enum Answer {
    Certificate { not_before: u64, not_after: u64 },
    Failed(Failure),
    Written(Slot),
    NotWritten,
}

pub(super) struct Gateway {
    number: u64,
    broken: bool,
    traced: Option<Span>,
    machine: Machine,
    random: Random,
    troubles: Troubles,
    /// The records that a restart finds.
    slots: [Option<SlotCertificate>; 2],
    confirmed: Option<Slot>,
    /// The slot in use, whose confirmation met a full disk.
    unconfirmed: Option<Slot>,
    /// The validity of the issued certificate, in memory only.
    staged: Option<(u64, u64)>,
    shown: Option<SlotCertificate>,
    answer: Option<(u64, Answer)>,
    on: bool,
    clock_offset: i64,
    /// The attempts that failed by chance while the current certificate was due for renewal.
    failed: Vec<Span>,
    asked_at: u64,
    /// True if the current certificate has been counted as expired.
    counted: bool,
}

fn index(slot: Slot) -> usize {
    usize::from(slot == Slot::B)
}

impl Gateway {
    pub(super) fn new(options: &Options, number: u64, end: u64) -> Self {
        let mut random = Random(options.seed ^ number.wrapping_mul(0x5851_f42d_4c95_7f2d));
        let policy = Policy { seed: random.draw(), renew_before_s: options.renew_before_s, ..Policy::default() };
        let troubles = if options.calm {
            Troubles { off: Vec::new(), disk_full: Vec::new(), clock: Vec::new() }
        } else {
            Troubles::draw(&mut random, end)
        };
        Self {
            number,
            broken: options.broken == Some(number),
            traced: options.trace.filter(|(traced, _)| *traced == number).map(|(_, span)| span),
            machine: Machine::new(policy),
            random,
            troubles,
            slots: [None; 2],
            confirmed: None,
            unconfirmed: None,
            staged: None,
            shown: None,
            answer: None,
            on: false,
            clock_offset: 0,
            failed: Vec::new(),
            asked_at: 0,
            counted: false,
        }
    }

    fn clock(&self, now: u64) -> TrustedTime {
        TrustedTime::Known(UnixTime::since_unix_epoch(Duration::from_secs(
            (BASE + now).saturating_add_signed(self.clock_offset),
        )))
    }

    /// Returns the next instant at which something happens, in true time.
    pub(super) fn next(&self, now: u64) -> u64 {
        let troubles = self.troubles.next_change(now);
        if !self.on {
            return troubles;
        }
        let due = self
            .machine
            .deadline()
            .map_or(u64::MAX, |deadline| seconds(deadline).saturating_add_signed(-self.clock_offset));
        let answer = self.answer.map_or(u64::MAX, |(at, _)| at);
        let end = self.shown.filter(|_| !self.counted).map_or(u64::MAX, |shown| seconds(shown.not_after));
        due.min(answer).min(troubles).min(end).max(now + 1)
    }

    /// Processes the events at `now`.
    pub(super) fn at(&mut self, now: u64, ca: &mut Ca<'_>, report: &mut Report) {
        let off = holds(&self.troubles.off, now).is_some();
        match (self.on, off) {
            (false, true) => return,
            (false, false) => self.start(now, ca, report),
            (true, true) => return self.stop(),
            (true, false) => {}
        }
        self.clock_offset = self.troubles.clock_offset(now);
        self.look(now, ca, report);
        match self.answer.filter(|(at, _)| *at <= now) {
            Some((_, answer)) => {
                self.answer = None;
                self.answered(now, answer, ca, report);
            }
            None => self.event(now, Event::Tick, ca, report),
        }
    }

    /// Switches the power on: only stored records are left.
    fn start(&mut self, now: u64, ca: &mut Ca<'_>, report: &mut Report) {
        self.on = true;
        self.unconfirmed = None;
        self.clock_offset = self.troubles.clock_offset(now);
        self.machine = Machine::new(*self.machine.policy());
        let active = self.confirmed.and_then(|slot| self.slots[index(slot)]);
        let trial = self.slots.iter().flatten().find(|record| Some(record.slot) != self.confirmed).copied();
        let newer = |trial: &SlotCertificate| active.is_none_or(|active| trial.not_after > active.not_after);
        self.event(now, Event::Restored { active, trial: trial.filter(newer) }, ca, report);
    }

    /// Switches the power off amid any operation.
    fn stop(&mut self) {
        self.on = false;
        (self.answer, self.staged) = (None, None);
    }

    /// Checks whether the certificate has expired for peers, who go by true time.
    fn look(&mut self, now: u64, ca: &Ca<'_>, report: &mut Report) {
        let Some(shown) = self.shown else { return };
        let end = seconds(shown.not_after);
        if now < end || self.counted {
            return;
        }
        self.counted = true;
        let window = (end - self.machine.policy().lead_s(&shown), end);
        let longest = self.longest_quiet(window, ca);
        if longest >= REACH {
            report.outages += 1;
            report.first_outage.get_or_insert(format!(
                "gateway {}, expired at {end} s, renewal was possible for {longest} s of its window: {:?}",
                self.number,
                self.machine.state()
            ));
        } else {
            report.excused += 1;
        }
    }

    /// Returns the longest stretch of a window in which no trouble prevented a renewal.
    fn longest_quiet(&self, (from, to): Span, ca: &Ca<'_>) -> u64 {
        let clock = self.troubles.clock.iter().map(|(span, _)| span);
        let mut all: Vec<Span> = [&ca.troubles.away, &ca.troubles.busy, &self.troubles.off, &self.troubles.disk_full]
            .into_iter()
            .flatten()
            .chain(clock)
            .chain(&self.failed)
            .filter(|(begin, end)| *begin < to && *end > from)
            .copied()
            .collect();
        all.sort_unstable();
        let (mut longest, mut since) = (0, from);
        for (begin, end) in all {
            longest = longest.max(begin.saturating_sub(since));
            since = since.max(end);
        }
        longest.max(to.saturating_sub(since))
    }

    fn answered(&mut self, now: u64, answer: Answer, ca: &mut Ca<'_>, report: &mut Report) {
        let event = match answer {
            Answer::Certificate { not_before, not_after } => {
                self.staged = Some((not_before, not_after));
                report.issued += 1;
                Event::Issued { not_before: unix(not_before), not_after: unix(not_after) }
            }
            Answer::Failed(failure) => {
                report.failed += 1;
                self.failed.push((self.asked_at, now + u64::from(failure.retry_after_s.unwrap_or(0))));
                Event::IssueFailed(failure)
            }
            Answer::Written(slot) => {
                let Some((not_before, not_after)) = self.staged else { return };
                let [not_before, not_after, received] = [not_before, not_after, now].map(unix);
                let record = SlotCertificate { slot, not_before, not_after, received };
                self.slots[index(slot)] = Some(record);
                Event::Persisted
            }
            Answer::NotWritten => Event::PersistFailed,
        };
        self.event(now, event, ca, report);
    }

    fn event(&mut self, now: u64, event: Event, ca: &mut Ca<'_>, report: &mut Report) {
        let traced = self.traced.is_some_and(|(from, to)| (from..to).contains(&now));
        if traced {
            eprintln!("{now} clock {:+}: {event:?}", self.clock_offset);
        }
        self.machine.report(self.clock(now), event);
        report.events += 1;
        while let Some(action) = self.machine.next(self.clock(now)) {
            if traced {
                let state = self.machine.state();
                eprintln!("    {:?}, {:?}: {action:?}", state.phase, state.serving);
            }
            match action {
                Action::Issue { .. } if self.broken && self.shown.is_some() => {}
                Action::AbortIssue if self.broken => {}
                Action::Issue { .. } => {
                    self.asked_at = now;
                    self.answer = ca.ask(now, self.clock_offset, &mut self.random, report);
                }
                Action::AbortIssue => {
                    self.answer = None;
                    report.failed += 1;
                    self.failed.push((self.asked_at, now));
                }
                Action::Persist { slot } => {
                    let full = holds(&self.troubles.disk_full, now).is_some();
                    if !full {
                        // As Store::write_beside: a confirmation that failed is made first.
                        self.confirmed = self.unconfirmed.take().or(self.confirmed);
                        assert_ne!(Some(slot), self.confirmed, "the confirmed record would be overwritten");
                        // The old record of this slot is lost once the slot is erased.
                        self.slots[index(slot)] = None;
                    }
                    self.answer = Some((now + 1, if full { Answer::NotWritten } else { Answer::Written(slot) }));
                }
                Action::Activate { slot } => {
                    let record = self.slots[index(slot)].expect("what is activated was persisted");
                    if self.shown != Some(record) {
                        if let Some(before) = self.shown.filter(|before| before.not_after < record.not_after) {
                            report.renewed(seconds(before.not_after), now);
                        }
                        self.shown = Some(record);
                        self.counted = now >= seconds(record.not_after);
                        self.failed.clear();
                    }
                }
                Action::Confirm { slot } if holds(&self.troubles.disk_full, now).is_some() => {
                    self.unconfirmed = Some(slot);
                }
                Action::Confirm { slot } => (self.confirmed, self.unconfirmed) = (Some(slot), None),
                Action::Discard { slot } => self.slots[index(slot)] = None,
                Action::ActivateFallback | Action::Alarm(_) => {}
            }
        }
    }
}

/// The CA that all gateways share.
pub(super) struct Ca<'t> {
    pub(super) troubles: &'t CaTroubles,
    pub(super) lifetime_s: u64,
    pub(super) calm: bool,
    /// Orders of the current minute.
    pub(super) minute: (u64, u64),
}

/// The orders that the CA takes in a minute; further orders are deferred.
const CAPACITY: u64 = 600;

impl Ca<'_> {
    /// Returns the outcome of an order and its time; `None` if the answer never comes.
    fn ask(&mut self, now: u64, clock_offset: i64, random: &mut Random, report: &mut Report) -> Option<(u64, Answer)> {
        if self.minute.0 != now / MINUTE {
            self.minute = (now / MINUTE, 0);
        }
        self.minute.1 += 1;
        report.busiest_minute = report.busiest_minute.max(self.minute.1);
        let failed = |kind, retry_after_s| Answer::Failed(Failure { kind, retry_after_s });
        let transient = failed(FailureKind::Transient, None);
        if holds(&self.troubles.away, now).is_some() || clock_offset.unsigned_abs() > CLOCK_BREAKS_TLS {
            return Some((now + 1 + random.below(30), transient));
        }
        if let Some((_, until)) = holds(&self.troubles.busy, now) {
            let wait = u32::try_from(until - now).unwrap_or(u32::MAX);
            return Some((now + 1, failed(FailureKind::RateLimited, Some(wait))));
        }
        if self.minute.1 > CAPACITY {
            return Some((now + 1, failed(FailureKind::RateLimited, Some(60))));
        }
        let soon = now + 1 + random.below(5);
        let issued =
            |at: u64| Answer::Certificate { not_before: at.saturating_sub(BACKDATE), not_after: at + self.lifetime_s };
        if self.calm {
            return Some((soon, issued(soon)));
        }
        match random.below(1000) {
            // The answer is lost, or never comes.
            0..5 => None,
            5..25 => Some((soon + random.below(30), transient)),
            // A certificate for other names, or of another CA: verification detects it.
            25..30 => Some((soon, failed(FailureKind::Refused, None))),
            // A deleted account: the next attempt makes another.
            30..33 => Some((soon, transient)),
            // Slow validation.
            33..50 => {
                let at = soon + random.below(5 * MINUTE);
                Some((at, issued(at)))
            }
            _ => Some((soon, issued(soon))),
        }
    }
}
