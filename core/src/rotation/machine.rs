//! Runs the state machine: takes events and returns one action after the other, until nothing is left to do.

use heapless::Deque;
use pki_types::UnixTime;

use super::schedule::Policy;
use super::state::{Action, Actions, Event, Phase, State};
use crate::store::Slot;
use crate::time::TrustedTime;

/// The number of events that can wait. At most three answers can be outstanding (to [`Action::Issue`],
/// [`Action::Persist`] and [`Action::ActivateFallback`]), besides the start, an operator's request and the return of
/// the fallback.
const EVENTS: usize = 8;

/// A [`State`] with its queues. A driver reports events, performs the actions that [`Machine::next`] returns, one at a
/// time, and sleeps until [`Machine::deadline`] once [`Machine::next`] returns none:
///
/// ```
/// use edgetrust_core::rotation::{Action, Event, Machine, Policy};
/// use edgetrust_core::time::TrustedTime;
/// # let now = TrustedTime::Known(edgetrust_core::pki_types::UnixTime::since_unix_epoch(core::time::Duration::from_secs(1_800_000_000)));
/// let mut machine = Machine::new(Policy::default());
/// machine.report(now, Event::Restored { active: None, trial: None });
/// while let Some(action) = machine.next(now) {
///     match action {
///         Action::Issue { .. } => { /* ask the CA; report Issued or IssueFailed when it has answered */ }
///         Action::Persist { .. } => machine.report(now, Event::Persisted),
///         _ => {}
///     }
/// }
/// assert!(machine.deadline().is_some());
/// ```
#[derive(Clone, Debug)]
pub struct Machine {
    state: State,
    policy: Policy,
    events: Deque<(TrustedTime, Event), EVENTS>,
    /// The actions of the last step that are still to be done, in reverse order.
    actions: Actions,
    /// The slot of the credential that is being written or on trial.
    staged: Option<Slot>,
    /// The last action confirms or discards the staged credential.
    settled: bool,
}

impl Machine {
    /// Creates a machine that awaits its first event, [`Event::Restored`].
    pub const fn new(policy: Policy) -> Self {
        Self {
            state: State::new(),
            policy,
            events: Deque::new(),
            actions: Actions::new(),
            staged: None,
            settled: false,
        }
    }

    /// Takes an event; the resulting actions come out of [`Machine::next`]. When the queue is full, the oldest event
    /// that only informs is dropped.
    pub fn report(&mut self, now: TrustedTime, event: Event) {
        if self.events.is_full() {
            self.drop_one();
        }
        // Events that are not dropped always fit.
        let room = self.events.push_back((now, event)).is_ok();
        debug_assert!(room, "more answers than questions");
    }

    /// Returns the next action, or none when nothing is left to do at this time.
    pub fn next(&mut self, now: TrustedTime) -> Option<Action> {
        if core::mem::take(&mut self.settled) {
            self.staged = None;
        }
        loop {
            if let Some(action) = self.actions.pop() {
                self.note(action);
                return Some(action);
            }
            let (now, event) = match self.events.pop_front() {
                Some(reported) => reported,
                None if self.is_late(now) => (now, Event::Tick),
                None => return None,
            };
            let (state, mut actions) = self.state.step(&self.policy, now, event);
            actions.reverse();
            (self.state, self.actions) = (state, actions);
        }
    }

    fn note(&mut self, action: Action) {
        match action {
            Action::Persist { slot } => self.staged = Some(slot),
            Action::Issue { .. } => self.staged = None,
            Action::Confirm { slot } | Action::Discard { slot } => self.settled = self.staged == Some(slot),
            Action::AbortIssue | Action::Activate { .. } | Action::ActivateFallback | Action::Alarm(_) => {}
        }
    }

    /// Returns whether time has passed that the state has not seen.
    fn is_late(&self, now: TrustedTime) -> bool {
        match now {
            TrustedTime::Known(now) => self.state.phase != Phase::Unprovisioned && self.state.seen != Some(now),
            TrustedTime::AtLeast(_) | TrustedTime::Unknown => false,
        }
    }

    fn drop_one(&mut self) {
        let mut dropped = false;
        for _ in 0..EVENTS {
            let Some((now, event)) = self.events.pop_front() else { return };
            if !dropped && informs(&event) {
                dropped = true;
                continue;
            }
            let pushed = self.events.push_back((now, event)).is_ok();
            debug_assert!(pushed, "more events are put back than were taken");
        }
    }

    /// Returns the time at which [`Machine::next`] must be called again if no event comes before; none while no time
    /// was ever known.
    pub fn deadline(&self) -> Option<UnixTime> {
        self.state.next_deadline(&self.policy)
    }

    /// The state of the rotation.
    pub fn state(&self) -> &State {
        &self.state
    }

    /// The policy of the rotation.
    pub fn policy(&self) -> &Policy {
        &self.policy
    }

    /// Replaces the policy; deadlines that are already set stay.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// The slot of the certificate that was issued last, from the action that writes it until it is confirmed or
    /// discarded.
    pub fn staged(&self) -> Option<Slot> {
        self.staged
    }
}

/// Returns whether nobody waits for the event: time comes again, other handshakes follow, a CA is asked again.
fn informs(event: &Event) -> bool {
    match event {
        Event::Tick | Event::RenewalWindow { .. } | Event::HandshakeOk { .. } | Event::HandshakeFailed { .. } => true,
        Event::Restored { .. }
        | Event::Issued { .. }
        | Event::IssueFailed(_)
        | Event::Persisted
        | Event::PersistFailed
        | Event::RotateNow
        | Event::FallbackReady
        | Event::FallbackRefused => false,
    }
}

#[cfg(test)]
mod tests {
    use core::time::Duration;

    use super::*;
    use crate::rotation::{Failure, FailureKind, Serving};

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + seconds))
    }

    fn known(seconds: u64) -> TrustedTime {
        TrustedTime::Known(at(seconds))
    }

    fn drained(machine: &mut Machine, now: TrustedTime) -> heapless::Vec<Action, 16> {
        core::iter::from_fn(|| machine.next(now)).collect()
    }

    #[test]
    fn time_that_passes_is_an_event_by_itself() {
        let mut machine = Machine::new(Policy::default());
        assert_eq!(machine.next(known(0)), None, "nothing was restored");
        machine.report(TrustedTime::Unknown, Event::Restored { active: None, trial: None });
        assert_eq!(drained(&mut machine, TrustedTime::Unknown).len(), 1, "an alarm: no time is known");
        assert_eq!(machine.deadline(), None);
        assert_eq!(drained(&mut machine, known(5)), [Action::Issue { attempt: 0 }]);
        assert!(drained(&mut machine, known(5)).is_empty(), "once is enough");
        let give_up = machine.deadline().unwrap();
        let late = drained(&mut machine, TrustedTime::Known(give_up));
        assert_eq!(late.first(), Some(&Action::AbortIssue));
    }

    #[test]
    fn answers_outlast_what_only_informs() {
        let mut machine = Machine::new(Policy::default());
        machine.report(known(0), Event::Restored { active: None, trial: None });
        drained(&mut machine, known(0));
        let failed = Event::IssueFailed(Failure { kind: FailureKind::Transient, retry_after_s: None });
        machine.report(known(1), failed);
        for _ in 0..100 {
            machine.report(known(1), Event::HandshakeFailed { slot: Slot::A });
        }
        drained(&mut machine, known(1));
        assert!(matches!(machine.state().phase, Phase::BackingOff { attempt: 1, .. }), "{:?}", machine.state());
    }

    #[test]
    fn answers_that_come_while_actions_wait_are_taken_after_them() {
        let mut machine = Machine::new(Policy { fallback: true, ..Policy::default() });
        machine.report(known(0), Event::Restored { active: None, trial: None });
        let mut seen = heapless::Vec::<Action, 16>::new();
        while let Some(action) = machine.next(known(0)) {
            seen.push(action).unwrap();
            if action == Action::ActivateFallback {
                machine.report(known(0), Event::FallbackRefused);
            }
        }
        assert_eq!(seen.first(), Some(&Action::Issue { attempt: 0 }));
        assert_eq!(machine.state().serving, Serving::Nothing);
        assert!(machine.state().fallback_refused);
        assert_eq!(machine.staged(), None);
        machine.report(known(1), Event::Issued { not_before: at(0), not_after: at(1000) });
        assert_eq!(drained(&mut machine, known(1)), [Action::Persist { slot: Slot::A }]);
        assert_eq!(machine.staged(), Some(Slot::A));
        machine.report(known(1), Event::Persisted);
        assert_eq!(machine.next(known(1)), Some(Action::Activate { slot: Slot::A }));
        assert_eq!(machine.next(known(1)), Some(Action::Confirm { slot: Slot::A }));
        assert_eq!(machine.staged(), Some(Slot::A), "it is being confirmed");
        assert_eq!((machine.next(known(1)), machine.staged()), (None, None));
    }
}
