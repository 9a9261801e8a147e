//! Judges the same cases here and on the device, verdict and reason: `verdicts [--all] [--firmware ELF] [--seed N]`.
//!
//! The cases are x509-limbo, as far as a device has room for it, and hostile chains. Without `--all` each eighth case
//! is judged. `--firmware` names the output of `firmware-example/build --features verdicts --bin verdicts`; without
//! it, the firmware is built first.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use edgetrust_tests::conformance;
use edgetrust_tests::repository::root;
use edgetrust_tests::verdicts::{Corpus, Difference, device, hostile};

const USAGE: &str = "usage: verdicts [--all] [--firmware ELF] [--seed N]";

/// The minimum number of cases for a meaningful run.
const LEAST: usize = 100;
/// The minimum number of cases if the corpus is present.
const LEAST_WITH_LIMBO: usize = 800;

struct Options {
    all: bool,
    firmware: Option<PathBuf>,
    seed: u64,
}

fn options() -> Option<Options> {
    let mut options = Options { all: false, firmware: None, seed: 1 };
    let mut arguments = std::env::args().skip(1);
    while let Some(argument) = arguments.next() {
        match argument.as_str() {
            "--all" => options.all = true,
            "--firmware" => options.firmware = Some(arguments.next()?.into()),
            "--seed" => options.seed = arguments.next()?.parse().ok()?,
            _ => return None,
        }
    }
    Some(options)
}

fn main() -> ExitCode {
    let Some(options) = options() else {
        eprintln!("{USAGE}");
        return ExitCode::from(2);
    };
    match compare(&options) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("verdicts: {error}");
            ExitCode::FAILURE
        }
    }
}

fn compare(options: &Options) -> Result<bool, String> {
    let mut corpus = Corpus::default();
    let limbo = root().join("../shared/conformance/limbo-dev.json.xz");
    let least = if limbo.exists() {
        corpus.take_limbo(&conformance::read(&limbo)?)?;
        LEAST_WITH_LIMBO
    } else {
        println!("x509-limbo is not here: chains of the hostile kind only");
        LEAST
    };
    let of_limbo = corpus.cases.len();
    hostile::take(&mut corpus, options.seed);
    println!("{of_limbo} cases of x509-limbo, {} of the hostile kind", corpus.cases.len() - of_limbo);
    for (reason, count) in &corpus.left_out {
        println!("left out: {count}: {reason}");
    }
    if !options.all {
        corpus.thin(8);
        println!("each eighth of them is asked (--all: all)");
    }
    let firmware = match &options.firmware {
        Some(firmware) => firmware.clone(),
        None => build()?,
    };
    // A case takes a fortieth of a second here; a slow machine is not a wrong verdict.
    let patience = Duration::from_secs(60 + u64::try_from(corpus.cases.len()).unwrap_or(u64::MAX));
    let answer = device::judge(&firmware, &corpus.stream(), patience)?;
    let differences = corpus.differences(&answer);
    for Difference { case, here, there } in &differences {
        println!("{case}\n  host:   {here}\n  device: {there}");
    }
    let compared = corpus.cases.len();
    let accepted = corpus.cases.iter().filter(|case| case.verdict.starts_with("accepted")).count();
    let ways: BTreeSet<&str> =
        corpus.cases.iter().map(|case| case.verdict.split(" (").next().unwrap_or_default()).collect();
    println!(
        "{compared} compared ({accepted} accepted, {} refused, in {} ways), {} equal",
        compared - accepted,
        ways.len(),
        compared.saturating_sub(differences.len())
    );
    if compared < least {
        println!("expected {least} at the least");
    }
    Ok(differences.is_empty() && compared >= least)
}

fn build() -> Result<PathBuf, String> {
    let built = Command::new(root().join("firmware-example/build"))
        .args(["--features", "verdicts", "--bin", "verdicts"])
        .stderr(Stdio::inherit())
        .output()
        .map_err(|error| format!("firmware-example/build: {error}"))?;
    let said = String::from_utf8_lossy(&built.stdout);
    let path = said.lines().last().filter(|_| built.status.success()).ok_or("firmware-example/build failed")?;
    Ok(Path::new(path).to_owned())
}
