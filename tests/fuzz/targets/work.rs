//! Judges chains of the generator of hostile shapes, chosen by the fuzzer's octets. The time for a unit of work leads
//! the search to more expensive shapes. Since a clock also measures other programs, no time is a failure: `tests/work`
//! counts the instructions of the inputs that the search has kept.

#![no_main]

use std::sync::atomic::{AtomicU8, Ordering};
use std::time::Duration;

use edgetrust_core::path::{Budget, Limits, Purpose, Trust};
use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::x509::Certificate;
use libfuzzer_sys::fuzz_target;

#[path = "../../src/work/der.rs"]
#[allow(dead_code)]
mod der;
#[path = "../../src/work/generated.rs"]
mod generated;

use generated::{Free, Octets, chain};

/// Counters that libFuzzer takes for coverage, one for each quarter of an octave of nanoseconds for a unit. It clears
/// them before each input.
#[unsafe(link_section = "__libfuzzer_extra_counters")]
static DEARER: [AtomicU8; 64] = [const { AtomicU8::new(0) }; 64];

/// Returns the units charged for a verdict.
fn judge(parsed: &[Certificate<'_>]) -> u32 {
    let Some((leaf, sent)) = parsed.split_first() else { return 0 };
    let trust = Trust { anchors: &[], known_intermediates: &[], denied_keys: &[], algorithms: &[&Free] };
    let limits = Limits { p256_check: 0, ..Limits::SERVER };
    let mut budget = Budget::new(limits);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    assert!(trust.verify(leaf, sent, Purpose::ServerAuth, now, &mut budget).is_err(), "let in without an anchor");
    limits.work - budget.left().work
}

fuzz_target!(|octets: &[u8]| {
    let ders = chain(&mut Octets(octets));
    let parsed: Vec<_> = ders.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    // The clock is too coarse for less work.
    if judge(&parsed) < 20_000 {
        return;
    }
    let runs = (0..3).map(|_| {
        let start = cpu_time::ThreadTime::now();
        let units = judge(&parsed);
        start.elapsed().as_secs_f64() * 1e9 / f64::from(units)
    });
    let nanoseconds = runs.fold(f64::INFINITY, f64::min);
    let place = (nanoseconds.max(1.0).log2() * 4.0) as usize;
    if let Some(counter) = DEARER.get(place) {
        counter.store(1, Ordering::Relaxed);
    }
});
