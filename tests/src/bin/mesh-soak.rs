//! Runs three sites of a mesh under random faults, and fails where something happens that should not.
//! `cargo run --release -p edgetrust-tests --bin mesh-soak -- --seed 1 --minutes 60`
//!
//! A seed replays the faults and their times. It needs openssl, and no privileges.

use std::path::Path;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use edgetrust_tests::soak::{Options, Summary, plan, run};

const USAGE: &str = "expected --seed N, --minutes N or --plan";

fn options() -> Result<(Options, bool), String> {
    let (mut options, mut only_plan) = (Options { seed: 1, length: Duration::from_secs(60) }, false);
    let mut arguments = std::env::args().skip(1);
    while let Some(flag) = arguments.next() {
        if flag == "--plan" {
            only_plan = true;
            continue;
        }
        let value = arguments.next().unwrap_or_default();
        let number = value.parse::<u64>().map_err(|_| format!("found {flag} {value:?}, {USAGE}"))?;
        match flag.as_str() {
            "--seed" => options.seed = number,
            "--minutes" if number > 0 => options.length = Duration::from_secs(60 * number),
            _ => return Err(format!("found {flag} {value:?}, {USAGE}")),
        }
    }
    Ok((options, only_plan))
}

fn main() -> ExitCode {
    let name = std::env::args_os().next().unwrap_or_default();
    if Path::new(&name).file_name().is_some_and(|name| name == edgetrust_tests::soak::PROGRAM) {
        return edgetrust::program::main();
    }
    let options = match options() {
        Err(error) => {
            eprintln!("mesh-soak: {error}");
            return ExitCode::from(2);
        }
        Ok((options, true)) => {
            plan(options.seed, options.length).iter().for_each(|planned| println!("{planned}"));
            return ExitCode::SUCCESS;
        }
        Ok((options, false)) => options,
    };
    let (since, folder) = (Instant::now(), tempfile::tempdir().expect("a folder"));
    let minutes = options.length.as_secs() / 60;
    println!("three sites at loopback addresses, seed {}, {minutes} minutes", options.seed);
    match run(&options, folder.path()) {
        Ok(summary) => {
            print(&summary);
            println!("took {:.0} s", since.elapsed().as_secs_f64());
            ExitCode::SUCCESS
        }
        Err(error) => {
            println!("FAILED {error}");
            println!("seed {}, {minutes} minutes: the faults from the start of the traffic on", options.seed);
            plan(options.seed, options.length).iter().for_each(|planned| println!("{planned}"));
            println!("the logs of the gateways: {}", folder.keep().display());
            ExitCode::FAILURE
        }
    }
}

fn print(Summary { counts, faults, gateways, edition }: &Summary) {
    println!("faults      {}", faults.len());
    println!(
        "sessions    {} whole, {} cut by faults, {} not opened during one",
        counts.sessions, counts.cut, counts.not_opened
    );
    println!("messages    {}, none lost or doubled", counts.messages);
    println!("intruders   {} knocked, none was heard", counts.intruders);
    println!("in force    {edition}");
    for ([memory, descriptors], starts) in gateways {
        println!("gateway     at most {memory} KiB and {descriptors} descriptors, {starts} starts");
    }
}
