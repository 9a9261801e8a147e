//! Cuts power everywhere and prints the surviving credentials.
//! `cargo run --release -p edgetrust-tests --bin powercut [SEED]`

use std::process::ExitCode;
use std::time::Instant;

use edgetrust_tests::powercut::{Report, bit_flips, exhaustive, random};

fn main() -> ExitCode {
    let seed = std::env::args().nth(1).and_then(|seed| seed.parse().ok()).unwrap_or(1);
    let since = Instant::now();
    let all: [(&str, Result<Report, String>); 7] = [
        ("every operation, words of 1 octet", exhaustive::<1>()),
        ("every operation, words of 4 octets", exhaustive::<4>()),
        ("every operation, words of 8 octets", exhaustive::<8>()),
        ("every operation, words of 32 octets", exhaustive::<32>()),
        ("several cuts in a run, words of 4", random::<4>(seed, 100_000)),
        ("several cuts in a run, words of 32", random::<32>(seed, 100_000)),
        ("bits turned", bit_flips(seed, 100_000)),
    ];
    let mut survived = true;
    println!("{:<38} {:>9} {:>9} {:>9} {:>9}", "", "cut", "old", "new", "none");
    for (name, report) in all {
        match report {
            Ok(Report { cut, old, new, none }) => println!("{name:<38} {cut:>9} {old:>9} {new:>9} {none:>9}"),
            Err(error) => {
                println!("{name:<38} LOST: {error}");
                survived = false;
            }
        }
    }
    println!("seed {seed}, {:.1} s", since.elapsed().as_secs_f64());
    if survived { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
