//! Tests the rotation's loop with a CA and a store that fail: a certificate that can be renewed is renewed.

use std::time::Duration;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::rotation::{Action, Alarm, Event, Failure, FailureKind, Machine, Phase, Policy, SlotCertificate};
use edgetrust_core::store::Slot;
use edgetrust_core::time::TrustedTime;
use proptest::prelude::*;

const BASE: u64 = 1_800_000_000;
const HOUR: u64 = 3600;
const OLD: u64 = 16 * HOUR;

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(BASE + seconds))
}

fn known(seconds: u64) -> TrustedTime {
    TrustedTime::Known(at(seconds))
}

fn lives(lifetime: u64) -> SlotCertificate {
    SlotCertificate { slot: Slot::A, not_before: at(0), not_after: at(lifetime), received: at(0) }
}

fn restored(active: SlotCertificate) -> Event {
    Event::Restored { active: Some(active), trial: None }
}

/// Runs a driver whose CA and store fail until `good`; returns whether it has confirmed a new certificate by `until`.
fn is_renewed(policy: Policy, active: SlotCertificate, good: (u64, u64), until: u64) -> bool {
    let (ca_good, store_good) = good;
    let mut machine = Machine::new(policy);
    let mut now = 0;
    machine.report(known(now), restored(active));
    loop {
        while let Some(action) = machine.next(known(now)) {
            let event = match action {
                Action::Issue { .. } if now >= ca_good => {
                    Event::Issued { not_before: at(now), not_after: active.not_after.max(at(now + 24 * HOUR)) }
                }
                Action::Issue { .. } => {
                    Event::IssueFailed(Failure { kind: FailureKind::Transient, retry_after_s: None })
                }
                Action::Persist { .. } if now >= store_good => Event::Persisted,
                Action::Persist { .. } => Event::PersistFailed,
                Action::Confirm { .. } => return true,
                _ => continue,
            };
            machine.report(known(now), event);
        }
        now = machine.deadline().unwrap().as_secs() - BASE;
        if now > until {
            return false;
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// The certificate is renewed if both the CA and the store work for three times the longest wait within the
    /// window, by a driver that keeps issued certificates as well as by one that orders again.
    #[test]
    fn a_ca_and_a_store_that_work_once_in_the_window_are_met(
        seed: u64,
        keeps_issued: bool,
        lifetime in prop_oneof![Just(HOUR), Just(24 * HOUR), Just(90 * 24 * HOUR)],
        ca in 0.0..1.0_f64,
        store in 0.0..1.0_f64,
    ) {
        let policy = Policy { seed, keeps_issued, ..Policy::default() };
        let active = lives(lifetime);
        let lead = policy.lead_s(&active);
        let within = |share: f64| lifetime - lead + (lead as f64 * share) as u64;
        let (ca_good, store_good) = (within(ca), within(store));
        let begin = ca_good.max(store_good);
        let wait = u64::from(policy.backoff_max_s).min((lifetime - begin).div_ceil(7) + 1).max(u64::from(policy.backoff_first_s));
        prop_assume!(begin + 3 * wait < lifetime);
        prop_assert!(is_renewed(policy, active, (ca_good, store_good), begin + 3 * wait), "CA from {ca_good}, store from {store_good}");
    }
}

/// A driver that keeps nothing, and whose store fails, orders again after growing waits instead of at once.
#[test]
fn what_cannot_be_written_and_is_not_kept_is_ordered_anew() {
    let mut machine = Machine::new(Policy { keeps_issued: false, ..Policy::default() });
    let mut now = OLD;
    machine.report(known(now), restored(lives(24 * HOUR)));
    let mut orders = Vec::new();
    while orders.len() < 8 {
        while let Some(action) = machine.next(known(now)) {
            match action {
                Action::Issue { attempt } => {
                    orders.push((attempt, now));
                    let (not_before, not_after) = (at(now), at(now + 24 * HOUR));
                    machine.report(known(now), Event::Issued { not_before, not_after });
                }
                Action::Persist { slot } => {
                    assert_eq!(slot, Slot::B);
                    machine.report(known(now), Event::PersistFailed);
                }
                Action::Alarm(alarm) => assert_eq!(alarm, Alarm::StorageFailed),
                other => assert!(matches!(other, Action::Activate { slot: Slot::A }), "{other:?}"),
            }
        }
        assert!(matches!(machine.state().phase, Phase::BackingOff { .. } | Phase::Waiting { .. }));
        now = machine.deadline().unwrap().as_secs() - BASE;
    }
    let attempts: Vec<u8> = orders.iter().map(|(attempt, _)| *attempt).collect();
    assert_eq!(attempts, [0, 1, 2, 3, 4, 5, 6, 7]);
    let waits: Vec<u64> = orders.windows(2).map(|pair| pair[1].1 - pair[0].1).collect();
    assert!(waits[0] >= 15 && waits[5] >= 300 && waits.iter().all(|wait| *wait <= 900), "{waits:?}");
}
