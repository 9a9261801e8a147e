//! Chains of the generator of hostile shapes, chosen by the fuzzer's octets: looks for one that takes more time for a unit of work than others do. What it finds is
//! counted with `tests/work`, in instructions, and kept in `tests/src/work`.

#![no_main]

use std::sync::OnceLock;
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

use generated::{Choices, Free, chain};

struct Octets<'a>(&'a [u8]);

impl Choices for Octets<'_> {
    fn below(&mut self, below: usize) -> usize {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        usize::from(*first).checked_rem(below).unwrap_or(0)
    }
}

/// Units charged for a verdict.
fn judge(parsed: &[Certificate<'_>]) -> u32 {
    let Some((leaf, sent)) = parsed.split_first() else { return 0 };
    let trust = Trust { anchors: &[], known_intermediates: &[], algorithms: &[&Free] };
    let limits = Limits { p256_check: 0, ..Limits::SERVER };
    let mut budget = Budget::new(limits);
    let now = UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000));
    assert!(trust.verify(leaf, sent, Purpose::ServerAuth, now, &mut budget).is_err());
    limits.work - budget.left().work
}

/// Nanoseconds of this thread, which others do not add to, for each unit; the least of some runs.
fn cost(octets: &[u8]) -> Option<f64> {
    let ders = chain(&mut Octets(octets));
    let parsed: Vec<_> = ders.iter().filter_map(|der| Certificate::from_der(der).ok()).collect();
    let units = judge(&parsed);
    // Of less, the clock says nothing.
    (units > 20_000).then(|| {
        let runs = (0..5).map(|_| {
            let start = cpu_time::ThreadTime::now();
            judge(&parsed);
            start.elapsed().as_secs_f64() * 1e9 / f64::from(units)
        });
        runs.fold(f64::INFINITY, f64::min)
    })
}

/// What a unit costs at most: four times what comparing names in unlike order does, on this machine.
fn bound() -> f64 {
    static BOUND: OnceLock<f64> = OnceLock::new();
    *BOUND.get_or_init(|| {
        // Sixteen certificates; names of half a share, one RDN of eight attributes, letters, in unlike order.
        let reference = cost(&[15, 2, 7, 0, 0, 1, 0, 0, 1, 1, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4, 5, 6, 7]);
        4.0 * reference.unwrap_or(16.0)
    })
}

fuzz_target!(|octets: &[u8]| {
    if let Some(cost) = cost(octets) {
        assert!(cost < bound(), "{cost:.1} ns for each unit of work, expected less than {:.1}", bound());
    }
});
