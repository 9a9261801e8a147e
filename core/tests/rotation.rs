//! Tests the rotation's transition table, and its invariants for every sequence of events.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::rotation::{
    Action, Actions, Alarm, Event, Failure, FailureKind, Phase, Policy, Serving, SlotCertificate, State,
};
use edgetrust_core::store::Slot;
use edgetrust_core::time::TrustedTime;
use proptest::prelude::*;

const BASE: u64 = 1_800_000_000;
const HOUR: u64 = 3600;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(BASE + seconds))
}

fn known(seconds: u64) -> TrustedTime {
    TrustedTime::Known(at(seconds))
}

fn day(slot: Slot, from: u64) -> SlotCertificate {
    SlotCertificate { slot, not_before: at(from), not_after: at(from + 24 * HOUR), received: at(from) }
}

/// Returns a policy with a trial of a minute and a fallback, so that every state can be reached, and without jitter,
/// for readable times.
fn policy() -> Policy {
    Policy { trial_s: 60, fallback: true, seed: 2, ..Policy::default() }
}

fn restored(active: Option<SlotCertificate>) -> Event {
    Event::Restored { active, trial: None }
}

const OLD: u64 = 16 * HOUR;

/// Returns a state of each kind, made by the events that lead to it.
fn states() -> Vec<(&'static str, State, u64)> {
    let issued = Event::Issued { not_before: at(OLD), not_after: at(OLD + 24 * HOUR) };
    let failed = |kind| Event::IssueFailed(Failure { kind, retry_after_s: None });
    let active = restored(Some(day(Slot::A, 0)));
    let expired = 25 * HOUR;
    let paths: Vec<(&str, u64, Vec<Event>)> = vec![
        ("Unprovisioned", 0, vec![]),
        ("Waiting", HOUR, vec![active]),
        ("Issuing, nothing to show", 0, vec![Event::FallbackRefused, restored(None)]),
        ("Issuing, on fallback", 0, vec![restored(None)]),
        ("Issuing", OLD, vec![active, Event::RotateNow]),
        ("BackingOff", OLD, vec![active, Event::RotateNow, failed(FailureKind::Transient)]),
        ("BackingOff, on fallback", expired, vec![active, Event::RotateNow, failed(FailureKind::Transient)]),
        ("Persisting", OLD, vec![active, Event::RotateNow, issued]),
        ("OnTrial", OLD, vec![active, Event::RotateNow, issued, Event::Persisted]),
        ("OnTrial, the first", OLD, vec![restored(None), issued, Event::Persisted]),
    ];
    let reached = paths.into_iter().map(|(name, now, events)| {
        let reached = events.into_iter().fold(State::new(), |state, event| state.step(&policy(), known(now), event).0);
        (name, reached, now)
    });
    let without_time = State::new().step(&policy(), TrustedTime::Unknown, active).0;
    reached.chain([("AwaitingTime", without_time, 0)]).collect()
}

fn events(now: u64) -> Vec<(&'static str, u64, Event)> {
    let failed = |kind, retry_after_s| Event::IssueFailed(Failure { kind, retry_after_s });
    vec![
        ("Tick", now, Event::Tick),
        ("Tick, an hour later", now + HOUR, Event::Tick),
        ("Tick, the clock forty days ahead", now + 40 * 24 * HOUR, Event::Tick),
        ("Tick, the clock an hour back", now.saturating_sub(HOUR), Event::Tick),
        ("Restored, a day old", now, restored(Some(day(Slot::B, 0)))),
        ("RenewalWindow, past", now, Event::RenewalWindow { start: at(0), end: at(60) }),
        ("Issued", now, Event::Issued { not_before: at(now), not_after: at(now + 24 * HOUR) }),
        ("Issued, a day ahead", now, Event::Issued { not_before: at(now + 24 * HOUR), not_after: at(now + 48 * HOUR) }),
        ("Issued, expired already", now, Event::Issued { not_before: at(now), not_after: at(now) }),
        ("IssueFailed, transient", now, failed(FailureKind::Transient, None)),
        ("IssueFailed, in two hours", now, failed(FailureKind::RateLimited, Some(7200))),
        ("IssueFailed, refused", now, failed(FailureKind::Refused, None)),
        ("Persisted", now, Event::Persisted),
        ("PersistFailed", now, Event::PersistFailed),
        ("HandshakeOk, of the new one", now, Event::HandshakeOk { slot: Slot::B }),
        ("HandshakeFailed, of the new one", now, Event::HandshakeFailed { slot: Slot::B }),
        ("RotateNow", now, Event::RotateNow),
        ("FallbackReady", now, Event::FallbackReady),
        ("FallbackRefused", now, Event::FallbackRefused),
    ]
}

/// Formats a state, with its times as seconds after the event.
fn shown(state: &State, now: u64) -> String {
    let from_now = |time: UnixTime| format!("{:+} s", i128::from(time.as_secs()) - i128::from(BASE + now));
    let phase = match state.phase {
        Phase::Unprovisioned => "Unprovisioned".to_owned(),
        Phase::AwaitingTime { .. } => "AwaitingTime".to_owned(),
        Phase::Waiting { renew_at, suggested: None } => format!("Waiting until {}", from_now(renew_at)),
        Phase::Waiting { renew_at, suggested: Some(suggested) } => {
            format!("Waiting until {}, suggested {}", from_now(renew_at), from_now(suggested))
        }
        Phase::Issuing { attempt, give_up_at } => format!("Issuing {attempt} until {}", from_now(give_up_at)),
        Phase::BackingOff { attempt, retry_at } => format!("BackingOff {attempt} until {}", from_now(retry_at)),
        Phase::Persisting { attempt, staged, retry_at } => {
            format!("Persisting {attempt} to {} until {}", staged.slot, from_now(retry_at))
        }
        Phase::OnTrial { trial, failures, until } => {
            format!("OnTrial {} with {failures} failures until {}", trial.slot, from_now(until))
        }
    };
    let active = state.active.map_or("none".to_owned(), |active| active.slot.to_string());
    format!("{phase}; active {active}, serving {:?}", state.serving)
}

fn actions_shown(actions: &Actions) -> String {
    let all: Vec<String> = actions
        .iter()
        .map(|action| match action {
            Action::Issue { attempt } => format!("Issue {attempt}"),
            Action::Persist { slot } => format!("Persist to {slot}"),
            Action::Activate { slot } => format!("Activate {slot}"),
            Action::Confirm { slot } => format!("Confirm {slot}"),
            Action::Discard { slot } => format!("Discard {slot}"),
            Action::Alarm(alarm) => format!("Alarm {alarm:?}"),
            Action::AbortIssue | Action::ActivateFallback => format!("{action:?}"),
        })
        .collect();
    if all.is_empty() { "nothing".to_owned() } else { all.join(", ") }
}

/// `UPDATE_SNAPSHOTS=1` writes the table; its change is reviewed as a change of behaviour.
#[test]
fn the_transition_table_is_as_reviewed() {
    let mut table = String::from(
        "State x event, with a trial of 60 s and a fallback; certificates of 24 h, times from the event.\n\
         Each event: what is done, then what is next, where that is another state.\n",
    );
    for (name, state, now) in states() {
        write!(table, "\n{name}\n  [{}]\n", shown(&state, now)).unwrap();
        for (event_name, then, event) in events(now) {
            let (next, actions) = state.step(&policy(), known(then), event);
            let same = State { seen: state.seen, ..next } == state;
            if same && actions.is_empty() {
                writeln!(table, "  {event_name}: -").unwrap();
                continue;
            }
            writeln!(table, "  {event_name}: {}", actions_shown(&actions)).unwrap();
            if !same {
                writeln!(table, "    [{}]", shown(&next, then)).unwrap();
            }
        }
    }
    table.push_str("\nA driver that keeps no issued certificate: where it differs.\n");
    let forgets = Policy { keeps_issued: false, ..policy() };
    for (name, state, now) in states() {
        for (event_name, then, event) in events(now) {
            let [kept, forgotten] = [policy(), forgets].map(|policy| state.step(&policy, known(then), event));
            if kept != forgotten {
                let (next, actions) = forgotten;
                writeln!(table, "\n{name}, {event_name}: {}", actions_shown(&actions)).unwrap();
                writeln!(table, "    [{}]", shown(&next, then)).unwrap();
            }
        }
    }
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/rotation.txt");
    if std::env::var_os("UPDATE_SNAPSHOTS").is_some() {
        std::fs::write(&file, &table).unwrap();
    }
    let reviewed = std::fs::read_to_string(&file).unwrap();
    assert!(reviewed == table, "the table has changed: UPDATE_SNAPSHOTS=1, then review the difference");
}

/// A driver that performs all actions and records violations of the invariants.
struct Driver {
    policy: Policy,
    state: State,
    now: u64,
    persisted: Vec<Slot>,
    confirmed: Option<Slot>,
    issuing: bool,
    persisting: bool,
}

impl Driver {
    fn new(seed: u64, trial_s: u32, fallback: bool) -> Self {
        let policy = Policy { seed, trial_s, fallback, ..Policy::default() };
        Self {
            policy,
            state: State::new(),
            now: 0,
            persisted: Vec::new(),
            confirmed: None,
            issuing: false,
            persisting: false,
        }
    }

    fn event(&mut self, event: Event) -> Result<Actions, TestCaseError> {
        let (state, actions) = self.state.step(&self.policy, known(self.now), event);
        self.state = state;
        prop_assert!(actions.len() < actions.capacity(), "an action may have been lost: {actions:?}");
        for action in &actions {
            match *action {
                Action::Issue { .. } => self.issuing = true,
                Action::AbortIssue => self.issuing = false,
                Action::Persist { slot } => {
                    prop_assert_ne!(Some(slot), self.confirmed, "the confirmed one would be overwritten");
                    self.persisted.retain(|persisted| *persisted != slot);
                    self.persisting = true;
                }
                Action::Activate { slot } => {
                    prop_assert!(self.persisted.contains(&slot), "{slot} is activated and was not persisted");
                }
                Action::Confirm { slot } => {
                    prop_assert!(self.persisted.contains(&slot), "{slot} is confirmed and was not persisted");
                    self.confirmed = Some(slot);
                }
                Action::Discard { slot } => {
                    prop_assert_ne!(Some(slot), self.confirmed, "the confirmed one would be discarded");
                    self.persisted.retain(|persisted| *persisted != slot);
                }
                Action::ActivateFallback => prop_assert!(self.policy.fallback),
                Action::Alarm(_) => {}
            }
        }
        prop_assert_eq!(self.state.active.map(|active| active.slot), self.confirmed);
        let deadline = self.state.next_deadline(&self.policy);
        prop_assert!(deadline.is_some(), "{:?} waits without a deadline", self.state);
        prop_assert!(deadline.unwrap() > at(self.now), "{:?} was due and is not done", self.state);
        // Nothing waits longer than a certificate lives, or a CA may wish for.
        prop_assert!(deadline.unwrap() <= at(self.now + 48 * HOUR), "{:?}", self.state);
        if self.state.serving == Serving::Issued {
            let shown = self.state.shown().expect("something is shown");
            prop_assert!(self.persisted.contains(&shown.slot));
        }
        Ok(actions)
    }
}

#[derive(Clone, Debug)]
enum Happening {
    Wait(u64),
    WaitForDeadline,
    ClockForward(u64),
    ClockBack(u64),
    Answer { lifetime: u64, kind: Option<FailureKind>, retry_after_s: Option<u32> },
    Written(bool),
    Handshake(bool, Slot),
    RotateNow,
    Window { start: u64, end: u64 },
    Fallback(bool),
}

fn happening() -> impl Strategy<Value = Happening> {
    let kind = prop_oneof![
        Just(None),
        Just(Some(FailureKind::Transient)),
        Just(Some(FailureKind::RateLimited)),
        Just(Some(FailureKind::Refused))
    ];
    prop_oneof![
        (0..2 * HOUR).prop_map(Happening::Wait),
        Just(Happening::WaitForDeadline),
        (0..400 * 24 * HOUR).prop_map(Happening::ClockForward),
        (0..400 * 24 * HOUR).prop_map(Happening::ClockBack),
        (0..30 * HOUR, kind, proptest::option::of(any::<u32>()))
            .prop_map(|(lifetime, kind, retry_after_s)| Happening::Answer { lifetime, kind, retry_after_s }),
        any::<bool>().prop_map(Happening::Written),
        (any::<bool>(), prop_oneof![Just(Slot::A), Just(Slot::B)])
            .prop_map(|(ok, slot)| Happening::Handshake(ok, slot)),
        Just(Happening::RotateNow),
        (0..48 * HOUR, 0..48 * HOUR).prop_map(|(start, end)| Happening::Window { start, end }),
        any::<bool>().prop_map(Happening::Fallback),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// For any events in any order: no certificate is activated before it is persisted, the confirmed one is never
    /// lost, and every waiting state has a deadline that is not far away.
    #[test]
    fn whatever_happens(
        seed: u64,
        trial_s in prop_oneof![Just(0_u32), 1..600_u32],
        fallback: bool,
        all in proptest::collection::vec(happening(), 1..120),
    ) {
        let mut driver = Driver::new(seed, trial_s, fallback);
        driver.now = 500 * 24 * HOUR;
        driver.event(Event::Restored { active: None, trial: None })?;
        for one in all {
            let now = driver.now;
            let event = match one {
                Happening::Wait(seconds) | Happening::ClockForward(seconds) => {
                    driver.now = (now + seconds).min(5000 * 24 * HOUR);
                    Event::Tick
                }
                Happening::WaitForDeadline => {
                    let deadline = driver.state.next_deadline(&driver.policy).unwrap();
                    driver.now = deadline.as_secs() - BASE;
                    Event::Tick
                }
                Happening::ClockBack(seconds) => {
                    driver.now = now.saturating_sub(seconds);
                    Event::Tick
                }
                Happening::Answer { .. } if !driver.issuing => continue,
                Happening::Answer { lifetime, kind: None, .. } => {
                    driver.issuing = false;
                    Event::Issued { not_before: at(now), not_after: at(now + lifetime) }
                }
                Happening::Answer { kind: Some(kind), retry_after_s, .. } => {
                    driver.issuing = false;
                    Event::IssueFailed(Failure { kind, retry_after_s })
                }
                Happening::Written(_) if !driver.persisting => continue,
                Happening::Written(good) => {
                    driver.persisting = false;
                    if let (true, Phase::Persisting { staged, .. }) = (good, driver.state.phase) {
                        driver.persisted.push(staged.slot);
                    }
                    if good { Event::Persisted } else { Event::PersistFailed }
                }
                Happening::Handshake(true, slot) => Event::HandshakeOk { slot },
                Happening::Handshake(false, slot) => Event::HandshakeFailed { slot },
                Happening::RotateNow => Event::RotateNow,
                Happening::Window { start, end } => Event::RenewalWindow { start: at(start), end: at(end) },
                Happening::Fallback(true) => Event::FallbackReady,
                Happening::Fallback(false) => Event::FallbackRefused,
            };
            driver.event(event)?;
        }
    }

    /// However the CA failed before, and whatever renewal times it suggests: if it answers for twice the longest wait
    /// before the certificate expires, the certificate is renewed in time.
    #[test]
    fn a_ca_that_is_there_once_in_the_window_is_met(
        seed: u64,
        lifetime in prop_oneof![Just(60_u64), Just(300), Just(HOUR), Just(24 * HOUR), Just(90 * 24 * HOUR)],
        there in 0.0..1.0_f64,
        refused: bool,
    ) {
        let policy = Policy { seed, ..Policy::default() };
        let active = SlotCertificate { slot: Slot::A, not_before: at(0), not_after: at(lifetime), received: at(0) };
        let lead = policy.lead_s(&active);
        // The longest wait at a time is an eighth of what remains, the most that is configured at most, the first at least.
        let begin = lifetime - lead + (lead as f64 * there) as u64;
        let remaining = lifetime - begin;
        let first = u64::from(policy.backoff_first_s).min(lifetime / 200);
        let wait = u64::from(policy.backoff_max_s).min(remaining.div_ceil(7) + 1).max(first);
        prop_assume!(begin + 2 * wait < policy_end(&policy, &active));
        let mut state = State::new();
        let mut now = 0;
        let mut event = restored(Some(active));
        loop {
            let (next, actions) = state.step(&policy, known(now), event);
            state = next;
            prop_assert!(state.serving == Serving::Issued, "an outage at {now} of {lifetime}, the CA there from {begin}");
            if actions.iter().any(|action| matches!(action, Action::Issue { .. })) {
                if now >= begin {
                    break;
                }
                let kind = if refused { FailureKind::Refused } else { FailureKind::Transient };
                event = Event::IssueFailed(Failure { kind, retry_after_s: None });
                continue;
            }
            event = Event::Tick;
            now = state.next_deadline(&policy).unwrap().as_secs() - BASE;
        }
        prop_assert!(now < begin + 2 * wait, "first asked at {now}, the CA was there from {begin} on, wait {wait}");
    }
}

fn policy_end(policy: &Policy, active: &SlotCertificate) -> u64 {
    let state = State { active: Some(*active), serving: Serving::Issued, ..State::new() };
    let phase = Phase::Waiting { renew_at: active.not_after, suggested: None };
    State { phase, ..state }.next_deadline(policy).unwrap().as_secs() - BASE
}

#[test]
fn the_fallback_is_left_as_soon_as_there_is_something_better() {
    let policy = Policy { fallback: true, ..Policy::default() };
    let (state, actions) = State::new().step(&policy, known(0), restored(None));
    assert_eq!(state.serving, Serving::Fallback);
    assert_eq!(
        actions.as_slice(),
        [Action::Issue { attempt: 0 }, Action::ActivateFallback, Action::Alarm(Alarm::OnFallback)]
    );
    let issued = Event::Issued { not_before: at(0), not_after: at(24 * HOUR) };
    let (state, _) = state.step(&policy, known(5), issued);
    assert_eq!(state.serving, Serving::Fallback, "not before it is persisted");
    let (state, actions) = state.step(&policy, known(6), Event::Persisted);
    assert_eq!(state.serving, Serving::Issued);
    assert_eq!(actions.as_slice(), [Action::Activate { slot: Slot::A }, Action::Confirm { slot: Slot::A }]);
}

#[test]
fn the_first_one_gives_way_to_the_fallback_when_peers_refuse_it() {
    let issued = Event::Issued { not_before: at(0), not_after: at(24 * HOUR) };
    let begin = [restored(None), Event::FallbackReady, issued, Event::Persisted];
    let refused = Event::HandshakeFailed { slot: Slot::A };
    let begun =
        |policy: &Policy| begin.into_iter().fold(State::new(), |state, event| state.step(policy, known(0), event).0);
    let mut state = begun(&policy());
    let mut last = Actions::new();
    for _ in 0..3 {
        (state, last) = state.step(&policy(), known(1), refused);
    }
    assert_eq!(state.serving, Serving::Fallback);
    assert!(matches!(state.phase, Phase::BackingOff { .. }), "{state:?}");
    let expected = [
        Action::ActivateFallback,
        Action::Alarm(Alarm::OnFallback),
        Action::Discard { slot: Slot::A },
        Action::Alarm(Alarm::Reverted),
    ];
    assert_eq!(last.as_slice(), expected);
    // With nothing better it stays, and is tried on.
    let alone = Policy { fallback: false, ..policy() };
    let state = (0..3).fold(begun(&alone), |state, _| state.step(&alone, known(1), refused).0);
    assert!(matches!(state.phase, Phase::OnTrial { .. }), "{state:?}");
}

#[test]
fn a_certificate_without_a_fallback_has_not_expired_before_its_end() {
    let policy = Policy::default();
    let waiting = State::new().step(&policy, known(0), restored(Some(day(Slot::A, 0)))).0;
    let end = 24 * HOUR;
    // Late in its life an attempt is under way, whatever comes of it.
    let (late, _) = waiting.step(&policy, known(end), Event::Tick);
    let (late, _) = late.step(&policy, known(end), Event::RotateNow);
    assert_eq!(late.serving, Serving::Issued);
    assert!(late.next_deadline(&policy).unwrap() <= at(end + 1));
    let (expired, actions) = late.step(&policy, known(end + 1), Event::Tick);
    assert_eq!(expired.serving, Serving::Expired);
    assert!(actions.contains(&Action::Alarm(Alarm::Expired)), "{actions:?}");
}

#[test]
fn a_fallback_takes_over_before_the_end_and_one_that_is_refused_does_not() {
    let waiting = State::new().step(&policy(), known(0), restored(Some(day(Slot::A, 0)))).0;
    let nearly = 24 * HOUR - 60;
    let (fallback, actions) = waiting.step(&policy(), known(nearly), Event::Tick);
    assert_eq!(fallback.serving, Serving::Fallback);
    assert!(actions.contains(&Action::ActivateFallback), "{actions:?}");
    // What has not ended is shown again, and nobody is told that it has.
    let (refused, actions) = fallback.step(&policy(), known(nearly), Event::FallbackRefused);
    assert_eq!(refused.serving, Serving::Issued);
    assert_eq!(actions.as_slice(), [Action::Alarm(Alarm::FallbackRefused), Action::Activate { slot: Slot::A }]);
    let (expired, actions) = refused.step(&policy(), known(24 * HOUR + 1), Event::Tick);
    assert_eq!(expired.serving, Serving::Expired);
    assert!(actions.contains(&Action::Alarm(Alarm::Expired)), "{actions:?}");
}

#[test]
fn a_clock_that_goes_back_takes_deadlines_with_it() {
    let policy = Policy::default();
    let (state, _) = State::new().step(&policy, known(400 * 24 * HOUR), restored(None));
    let failure = Event::IssueFailed(Failure { kind: FailureKind::Transient, retry_after_s: None });
    let (state, _) = state.step(&policy, known(400 * 24 * HOUR), failure);
    let (state, actions) = state.step(&policy, known(0), Event::Tick);
    assert_eq!(actions.as_slice(), [Action::Alarm(Alarm::ClockWentBack)]);
    assert!(state.next_deadline(&policy).unwrap() <= at(30));
}

#[test]
fn time_that_comes_late_begins_everything() {
    let policy = Policy::default();
    let stored = day(Slot::B, 0);
    let (state, actions) = State::new().step(&policy, TrustedTime::Unknown, restored(Some(stored)));
    assert_eq!(actions.as_slice(), [Action::Activate { slot: Slot::B }, Action::Alarm(Alarm::ClockUnknown)]);
    assert_eq!(state.next_deadline(&policy), None);
    let (state, actions) = state.step(&policy, known(20 * HOUR), Event::Tick);
    assert!(actions.is_empty(), "{actions:?}");
    assert!(state.next_deadline(&policy).unwrap() <= at(20 * HOUR + 300));
    let first =
        State::new().step(&policy, TrustedTime::AtLeast(at(0)), Event::Restored { active: None, trial: Some(stored) });
    assert_eq!(first.0.serving, Serving::Issued);
    let (state, actions) = first.0.step(&policy, known(HOUR), Event::Tick);
    assert_eq!(actions.as_slice(), [Action::Activate { slot: Slot::B }, Action::Confirm { slot: Slot::B }]);
    assert_eq!(state.active, Some(stored));
}
