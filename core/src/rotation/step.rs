//! Computes what follows from an event.

use pki_types::UnixTime;

use super::schedule::{Policy, after, before};
use super::state::{Action, Actions, Alarm, Event, Failure, FailureKind, Phase, Serving, SlotCertificate, State};
use crate::store::Slot;
use crate::time::TrustedTime;

/// The number of failed handshakes that revert a new certificate where none succeeded: one may fail for many reasons.
const FAILURES_TO_REVERT: u8 = 3;

/// The shortest step back of the clock that raises an alarm.
const NOTEWORTHY_S: u64 = 60;

/// The number of steps that may become due one after the other.
const CHAIN: usize = 4;

impl Default for State {
    fn default() -> Self {
        Self::new()
    }
}

impl State {
    /// The state before the first event, which is [`Event::Restored`].
    pub const fn new() -> Self {
        Self {
            active: None,
            serving: Serving::Nothing,
            phase: Phase::Unprovisioned,
            fallback_refused: false,
            seen: None,
        }
    }

    /// The latest time at which [`Event::Tick`] is due; none only while no time was ever known, or before the first
    /// event.
    pub fn next_deadline(&self, policy: &Policy) -> Option<UnixTime> {
        let phase = match self.phase {
            Phase::Unprovisioned | Phase::AwaitingTime { .. } => return None,
            Phase::Waiting { renew_at, suggested } => suggested.map_or(renew_at, |suggested| suggested.min(renew_at)),
            Phase::Issuing { give_up_at, .. } => give_up_at,
            Phase::BackingOff { retry_at, .. } | Phase::Persisting { retry_at, .. } => retry_at,
            Phase::OnTrial { until, .. } => until,
        };
        let shown = self.shown().filter(|_| self.serving == Serving::Issued);
        let end = shown.map(|shown| policy.left_at(shown, self.has_fallback(policy)));
        Some(end.map_or(phase, |end| end.min(phase)))
    }

    /// Returns whether there is a manual certificate that was not refused.
    fn has_fallback(&self, policy: &Policy) -> bool {
        policy.fallback && !self.fallback_refused
    }

    /// The issued certificate that is shown, or would be: the one on trial, else the confirmed one.
    pub fn shown(&self) -> Option<&SlotCertificate> {
        match &self.phase {
            Phase::OnTrial { trial, .. } => Some(trial),
            Phase::AwaitingTime { trial } => self.active.as_ref().or(trial.as_ref()),
            _ => self.active.as_ref(),
        }
    }

    /// Returns the state and the actions after `event` at `now`. An unknown time stands still.
    #[must_use]
    pub fn step(mut self, policy: &Policy, now: TrustedTime, event: Event) -> (Self, Actions) {
        let mut step =
            Step { policy, actions: Actions::new(), now: UnixTime::since_unix_epoch(core::time::Duration::ZERO) };
        match (now, self.seen) {
            (TrustedTime::Known(now), seen) => {
                if let Some(seen) = seen.filter(|seen| now < *seen) {
                    let by = seen.as_secs().saturating_sub(now.as_secs());
                    self.go_back(by, now);
                    if by >= NOTEWORTHY_S {
                        step.alarm(Alarm::ClockWentBack);
                    }
                }
                self.seen = Some(now);
                step.now = now;
            }
            (TrustedTime::AtLeast(_) | TrustedTime::Unknown, Some(seen)) => step.now = seen,
            (TrustedTime::AtLeast(_) | TrustedTime::Unknown, None) => {
                step.without_time(&mut self, event);
                return (self, step.actions);
            }
        }
        step.event(&mut self, event);
        for _ in 0..CHAIN {
            if !step.due(&mut self) {
                break;
            }
        }
        step.serve(&mut self);
        debug_assert!(!self.risks_confirmed(), "the confirmed certificate's slot is written to or on trial");
        (self, step.actions)
    }

    /// Returns whether the certificate that is written or on trial is in the slot of the confirmed one.
    fn risks_confirmed(&self) -> bool {
        let (Phase::OnTrial { trial: new, .. } | Phase::Persisting { staged: new, .. }) = &self.phase else {
            return false;
        };
        self.active.is_some_and(|active| active.slot == new.slot)
    }

    /// Follows a clock that went back: deadlines go back too, and no certificate was received after now.
    fn go_back(&mut self, by: u64, now: UnixTime) {
        if let Some(active) = &mut self.active {
            active.received = active.received.min(now);
        }
        if let Phase::OnTrial { trial: new, .. } | Phase::Persisting { staged: new, .. } = &mut self.phase {
            new.received = new.received.min(now);
        }
        match &mut self.phase {
            Phase::Unprovisioned | Phase::AwaitingTime { .. } => {}
            Phase::Waiting { renew_at, suggested } => {
                *renew_at = before(*renew_at, by);
                *suggested = suggested.map(|suggested| before(suggested, by));
            }
            Phase::Issuing { give_up_at: deadline, .. }
            | Phase::BackingOff { retry_at: deadline, .. }
            | Phase::Persisting { retry_at: deadline, .. }
            | Phase::OnTrial { until: deadline, .. } => *deadline = before(*deadline, by),
        }
    }
}

/// One step in progress.
struct Step<'p> {
    policy: &'p Policy,
    now: UnixTime,
    actions: Actions,
}

impl Step<'_> {
    /// Adds an action. One event never causes more than [`Actions`] holds: `tests/rotation.rs` counts.
    fn act(&mut self, action: Action) {
        let pushed = self.actions.push(action).is_ok();
        debug_assert!(pushed, "one event causes more actions than fit");
    }

    fn alarm(&mut self, alarm: Alarm) {
        self.act(Action::Alarm(alarm));
    }

    /// Takes an event before any time is known. A stored certificate is shown: peers judge it by their clocks.
    fn without_time(&mut self, state: &mut State, event: Event) {
        if let (Event::Restored { active, trial }, Phase::Unprovisioned) = (event, state.phase) {
            state.active = active;
            state.phase = Phase::AwaitingTime { trial };
            if let Some(shown) = state.shown() {
                self.act(Action::Activate { slot: shown.slot });
                state.serving = Serving::Issued;
            }
        }
        self.alarm(Alarm::ClockUnknown);
    }

    fn event(&mut self, state: &mut State, event: Event) {
        let now = self.now;
        // The first event after the clock became known.
        if let Phase::AwaitingTime { trial } = state.phase {
            self.begin(state, trial);
        }
        match (event, state.phase) {
            (Event::Restored { active, trial }, Phase::Unprovisioned) => {
                // The clock may have been ahead: no certificate was received in the future.
                let received = |one: SlotCertificate| SlotCertificate { received: one.received.min(now), ..one };
                state.active = active.map(received);
                self.begin(state, trial.map(received));
            }
            (Event::RenewalWindow { start, end }, Phase::Waiting { renew_at, .. }) => {
                let suggested = state.active.and_then(|active| self.policy.suggestion(&active, start, end, now));
                state.phase = Phase::Waiting { renew_at, suggested };
            }
            (
                Event::Issued { not_before, not_after },
                Phase::Issuing { .. } | Phase::BackingOff { .. } | Phase::Waiting { .. },
            ) => {
                let staged = SlotCertificate { slot: free_slot(state), not_before, not_after, received: now };
                if now >= staged.not_after {
                    self.alarm(Alarm::ClockDisagrees);
                    self.back_off(state, Failure { kind: FailureKind::Transient, retry_after_s: None });
                } else {
                    // Peers go by the CA's clock: a certificate of the future is taken, with an alarm.
                    if self.policy.is_ahead(&staged, now) {
                        self.alarm(Alarm::ClockDisagrees);
                    }
                    // Failed writes have their own count where only the write is retried.
                    let attempt = if self.policy.keeps_issued { 0 } else { attempts(&state.phase) };
                    self.persist(state, staged, attempt);
                }
            }
            (Event::IssueFailed(failure), Phase::Issuing { .. }) => {
                if failure.kind == FailureKind::Refused {
                    self.alarm(Alarm::IssuerRefused);
                }
                self.back_off(state, failure);
            }
            (Event::Persisted, Phase::Persisting { staged, .. }) => self.try_out(state, staged),
            (Event::PersistFailed, Phase::Persisting { .. }) if !self.policy.keeps_issued => self.not_kept(state),
            (Event::PersistFailed, Phase::Persisting { attempt, staged, .. }) => {
                self.alarm(Alarm::StorageFailed);
                let attempt = attempt.saturating_add(1);
                let wait = self.policy.backoff_s(attempt, state.active.as_ref(), now);
                state.phase = Phase::Persisting { attempt, staged, retry_at: after(now, wait) };
            }
            (Event::HandshakeOk { slot }, Phase::OnTrial { trial, .. }) if slot == trial.slot => {
                self.confirm(state, trial);
            }
            (Event::HandshakeFailed { slot }, Phase::OnTrial { trial, failures, until }) if slot == trial.slot => {
                let failures = failures.saturating_add(1);
                state.phase = Phase::OnTrial { trial, failures, until };
                if failures >= FAILURES_TO_REVERT {
                    self.revert(state, trial);
                }
            }
            (Event::RotateNow, Phase::Waiting { .. } | Phase::BackingOff { .. }) => self.issue(state, 0),
            (Event::FallbackReady, _) => state.fallback_refused = false,
            (Event::FallbackRefused, _) => {
                state.fallback_refused = true;
                self.alarm(Alarm::FallbackRefused);
                if state.serving == Serving::Fallback {
                    state.serving = Serving::Nothing;
                }
            }
            // Late answers, and events that concern other phases.
            _ => {}
        }
    }

    /// Begins with the restored certificates and a time.
    fn begin(&mut self, state: &mut State, trial: Option<SlotCertificate>) {
        match (trial, state.active) {
            (Some(trial), _) => self.try_out(state, trial),
            (None, Some(active)) => {
                let renew_at = self.policy.renewal_after_restart(&active, self.now);
                state.phase = Phase::Waiting { renew_at, suggested: None };
                if state.serving != Serving::Issued {
                    state.serving = Serving::Issued;
                    self.act(Action::Activate { slot: active.slot });
                }
            }
            (None, None) => self.issue(state, 0),
        }
    }

    /// Does what has become due; returns whether anything was due.
    fn due(&mut self, state: &mut State) -> bool {
        let now = self.now;
        match state.phase {
            Phase::Waiting { renew_at, suggested } if now >= renew_at || suggested.is_some_and(|at| now >= at) => {
                self.issue(state, 0);
            }
            Phase::Issuing { give_up_at, .. } if now >= give_up_at => {
                self.act(Action::AbortIssue);
                self.alarm(Alarm::IssuerTimeout);
                self.back_off(state, Failure { kind: FailureKind::Transient, retry_after_s: None });
            }
            Phase::BackingOff { attempt, retry_at } if now >= retry_at => self.issue(state, attempt),
            Phase::Persisting { staged, .. } if now >= staged.not_after => self.issue(state, 0),
            Phase::Persisting { retry_at, .. } if now >= retry_at && !self.policy.keeps_issued => self.not_kept(state),
            Phase::Persisting { attempt, staged, retry_at } if now >= retry_at => self.persist(state, staged, attempt),
            // No peer refused the certificate: a gateway without visitors keeps its certificate too.
            Phase::OnTrial { trial, failures: 0, until } if now >= until => self.confirm(state, trial),
            Phase::OnTrial { trial, until, .. } if now >= until => {
                if !self.revert(state, trial) {
                    self.confirm(state, trial);
                }
            }
            _ => return false,
        }
        true
    }

    /// Chooses the certificate to show to peers at this time.
    fn serve(&mut self, state: &mut State) {
        let Some(shown) = state.shown().copied() else {
            if state.serving == Serving::Nothing && state.phase != Phase::Unprovisioned {
                self.fall_back(state);
            }
            return;
        };
        let valid = self.now < self.policy.left_at(&shown, state.has_fallback(self.policy));
        match state.serving {
            Serving::Issued if !valid => {
                state.serving = Serving::Expired;
                if !self.fall_back(state) {
                    self.alarm(Alarm::Expired);
                }
            }
            // The clock went back, which makes the certificate valid again, or the fallback was refused before the
            // end.
            Serving::Expired | Serving::Fallback | Serving::Nothing if valid => {
                state.serving = Serving::Issued;
                self.act(Action::Activate { slot: shown.slot });
            }
            Serving::Expired => {
                self.fall_back(state);
            }
            Serving::Nothing => {
                // The fallback was refused: an expired certificate is better than none for anybody who examines it.
                state.serving = Serving::Expired;
                self.act(Action::Activate { slot: shown.slot });
                self.alarm(Alarm::Expired);
            }
            Serving::Issued | Serving::Fallback => {}
        }
    }

    fn fall_back(&mut self, state: &mut State) -> bool {
        let there = state.has_fallback(self.policy);
        if there {
            state.serving = Serving::Fallback;
            self.act(Action::ActivateFallback);
            self.alarm(Alarm::OnFallback);
        }
        there
    }

    fn issue(&mut self, state: &mut State, attempt: u8) {
        let give_up_at = self.policy.give_up_at(state.active.as_ref(), self.now);
        state.phase = Phase::Issuing { attempt, give_up_at };
        self.act(Action::Issue { attempt });
    }

    fn back_off(&mut self, state: &mut State, failure: Failure) {
        let attempt = attempts(&state.phase).saturating_add(1);
        let retry_at = self.policy.retry_at(attempt, failure, state.active.as_ref(), self.now);
        state.phase = Phase::BackingOff { attempt, retry_at };
    }

    /// Orders a lost certificate anew, with growing waits while the store fails.
    fn not_kept(&mut self, state: &mut State) {
        self.alarm(Alarm::StorageFailed);
        self.back_off(state, Failure { kind: FailureKind::Transient, retry_after_s: None });
    }

    /// Starts a write, which may take as long as an issuer before it is retried.
    fn persist(&mut self, state: &mut State, staged: SlotCertificate, attempt: u8) {
        let retry_at = self.policy.give_up_at(state.active.as_ref(), self.now);
        state.phase = Phase::Persisting { attempt, staged, retry_at };
        self.act(Action::Persist { slot: staged.slot });
    }

    /// Shows a persisted certificate to peers from now on.
    fn try_out(&mut self, state: &mut State, trial: SlotCertificate) {
        let until = after(self.now, u64::from(self.policy.trial_s));
        state.phase = Phase::OnTrial { trial, failures: 0, until };
        state.serving = Serving::Issued;
        self.act(Action::Activate { slot: trial.slot });
    }

    fn confirm(&mut self, state: &mut State, trial: SlotCertificate) {
        self.act(Action::Confirm { slot: trial.slot });
        state.active = Some(trial);
        let renew_at = self.policy.first_renewal(&trial, self.now);
        state.phase = Phase::Waiting { renew_at, suggested: None };
    }

    /// Goes back to the confirmed certificate while it is valid, else to the manual one; returns whether there was
    /// either.
    fn revert(&mut self, state: &mut State, trial: SlotCertificate) -> bool {
        let has_fallback = state.has_fallback(self.policy);
        let active = state.active.filter(|active| self.now < self.policy.left_at(active, has_fallback));
        if active.is_none() && !has_fallback {
            return false;
        }
        match active {
            Some(active) => {
                state.serving = Serving::Issued;
                self.act(Action::Activate { slot: active.slot });
            }
            // No confirmed certificate is valid: peers accepted the manual one that the gateway came with.
            None => {
                self.fall_back(state);
            }
        }
        self.act(Action::Discard { slot: trial.slot });
        self.alarm(Alarm::Reverted);
        self.back_off(state, Failure { kind: FailureKind::Refused, retry_after_s: None });
        true
    }
}

/// The number of attempts of the current renewal that have failed.
fn attempts(phase: &Phase) -> u8 {
    match *phase {
        Phase::Issuing { attempt, .. } | Phase::BackingOff { attempt, .. } | Phase::Persisting { attempt, .. } => {
            attempt
        }
        Phase::Unprovisioned | Phase::AwaitingTime { .. } | Phase::Waiting { .. } | Phase::OnTrial { .. } => 0,
    }
}

/// The slot that does not hold the confirmed certificate.
fn free_slot(state: &State) -> Slot {
    state.active.map_or(Slot::A, |active| active.slot.other())
}
