//! Implements `edgetrust probe`: tries one client tunnel of a configuration from here, and says what works.

pub(super) mod alerts;
mod attempt;
mod certificate;
pub(super) mod first;
mod handshake;
mod planned;
pub(super) mod reasons;
mod report;
pub(super) mod stored;

use std::process::ExitCode;
use std::time::Duration;

use super::config_choice::ConfigChoice;
use super::{Outcome, arguments};
use crate::config_file::with_config;
use report::Report;

#[derive(clap::Args)]
pub(crate) struct Args {
    #[command(flatten)]
    config: ConfigChoice,
    /// Client tunnel to try
    #[arg(long, value_name = "NAME")]
    tunnel: String,
    /// Time limit of each step that waits: look-up, each connection, handshake, the server's answer
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = patience)]
    timeout: Duration,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// Parses the time limit of a step.
pub(super) fn patience(text: &str) -> Result<Duration, &'static str> {
    arguments::duration(text).and_then(|time| if time.is_zero() { Err("expected more than 0s") } else { Ok(time) })
}

pub(crate) fn run(args: Args) -> Outcome {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    let file = args.config.file()?;
    let mut report = Report::new(file.display().to_string(), &args.tunnel);
    let planned = with_config(&file, |config| planned::plan(config, &file, &args.tunnel, &runtime, &mut report))??;
    if let Some(planned) = planned {
        runtime.block_on(attempt::attempt(&planned, args.timeout, &mut report));
    }
    // A look-up that still waits is not waited for.
    runtime.shutdown_background();
    report.finish();
    if args.json {
        outln!("{}", serde_json::to_string_pretty(&report)?);
    } else {
        report.print();
    }
    Ok(if report.holds() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
