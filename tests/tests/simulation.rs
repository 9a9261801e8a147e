//! Runs the short form of `cargo run --release -p edgetrust-tests --bin simulate`.

use edgetrust_tests::simulation::{DAY, HOUR, MINUTE, Options, simulate};

fn options() -> Options {
    Options {
        gateways: 100,
        duration_s: 365 * DAY,
        lifetime_s: DAY,
        renew_before_s: 8 * 3600,
        broken: None,
        seed: 1,
        calm: false,
        trace: None,
    }
}

#[test]
fn no_outage_while_the_ca_is_reachable_once_in_the_window() {
    for (seed, lifetime_s) in [(1, DAY), (2, DAY), (3, 90 * DAY), (4, HOUR)] {
        let duration_s = if lifetime_s == HOUR { 30 * DAY } else { 365 * DAY };
        let renew_before_s = u32::try_from(lifetime_s / 3).unwrap();
        let report = simulate(&Options { seed, lifetime_s, renew_before_s, duration_s, ..options() });
        assert_eq!(report.outages, 0, "{report}\n{:?}", report.first_outage);
        assert!(report.renewals > 100 && report.failed > 100, "{report}");
    }
}

#[test]
fn a_run_is_replayed_by_its_seed() {
    let run = || format!("{:?}", simulate(&options()));
    assert_eq!(run(), run());
}

#[test]
fn a_fleet_that_began_at_once_is_no_herd() {
    let report = simulate(&Options { gateways: 6000, duration_s: 30 * DAY, calm: true, ..options() });
    // 6,000 within an eighth of sixteen hours are 50 a minute.
    assert!(report.busiest_minute < 150, "{report}");
    assert_eq!((report.outages, report.excused, report.in_time), (0, 0, report.renewals));
    assert!(report.worst_margin_s > Some(7 * HOUR + 30 * MINUTE), "{report}");
}

/// Shows that the check can fail: it finds a gateway that does not renew, and no other.
#[test]
fn a_gateway_that_does_not_renew_is_an_outage() {
    let report = simulate(&Options { broken: Some(7), ..options() });
    assert_eq!(report.outages, 1, "{report}");
    assert!(report.first_outage.unwrap().starts_with("gateway 7, expired at "));
}
