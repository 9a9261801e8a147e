//! Simulates a fleet and fails on an outage.
//! `cargo run --release -p edgetrust-tests --bin simulate -- --gateways 1000 --years 10 --seed 1 [--lifetime-hours 24] [--calm]`
//!
//! `--trace N --until S` shows the events of gateway N in the day before second S: a seed replays a run.

use std::process::ExitCode;
use std::time::Instant;

use edgetrust_tests::simulation::{DAY, HOUR, Options, simulate};

fn main() -> ExitCode {
    let (mut gateways, mut years, mut seed, mut lifetime_hours, mut calm) = (1000, 10, 1, 24, false);
    let (mut traced, mut until) = (None, 0_u64);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        let mut number = || arguments.next().and_then(|number| number.parse().ok());
        let value = match flag.as_str() {
            "--calm" => {
                calm = true;
                continue;
            }
            _ => number(),
        };
        match (flag.as_str(), value) {
            ("--gateways", Some(value)) => gateways = value,
            ("--years", Some(value)) => years = value,
            ("--seed", Some(value)) => seed = value,
            ("--lifetime-hours", Some(value)) => lifetime_hours = value,
            ("--trace", Some(value)) => traced = Some(value),
            ("--until", Some(value)) => until = value,
            _ => {
                eprintln!(
                    "simulate: found {flag:?}, expected --gateways N, --years N, --seed N, --lifetime-hours N or --calm"
                );
                return ExitCode::from(2);
            }
        }
    }
    let since = Instant::now();
    let lifetime_s = lifetime_hours * HOUR;
    let options = Options {
        gateways,
        duration_s: years * 365 * DAY,
        lifetime_s,
        renew_before_s: u32::try_from(lifetime_s / 3).unwrap_or(u32::MAX),
        broken: None,
        seed,
        calm,
        trace: traced.map(|gateway| (gateway, (until.saturating_sub(DAY), until + HOUR))),
    };
    let report = simulate(&options);
    println!("{gateways} gateways, {years} years, certificates of {lifetime_hours} h, seed {seed}");
    println!("{report}");
    println!("took                    {:.1} s", since.elapsed().as_secs_f64());
    match report.first_outage {
        None => ExitCode::SUCCESS,
        Some(outage) => {
            println!("the first outage: {outage}");
            ExitCode::FAILURE
        }
    }
}
