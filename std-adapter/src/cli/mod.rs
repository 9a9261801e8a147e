//! One file a subcommand. Exit codes: 0 good, 1 the thing asked about is not so, 2 wrong use or bad configuration.

mod connect;
mod files;
mod inspect;
mod serve;
mod verify;

use std::fmt::Display;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// TLS trust engine for edge gateways.
#[derive(Parser)]
#[command(name = "edgetrust", version)]
struct Cli {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Accept TLS, authorize the client, forward plaintext to a target
    Serve(serve::Args),
    /// Accept plaintext, originate TLS to a target
    Connect(connect::Args),
    /// Show certificates as a person reads them
    Inspect(inspect::Args),
    /// Judge a chain, and say why
    Verify(verify::Args),
}

/// Wrong use or bad configuration.
pub(crate) const MISUSE: u8 = 2;

pub(crate) fn run() -> ExitCode {
    let format = tracing_subscriber::EnvFilter::try_from_default_env().unwrap_or_else(|_| "info".into());
    tracing_subscriber::fmt().with_env_filter(format).with_writer(std::io::stderr).with_target(false).init();
    let outcome = match Cli::parse().command {
        Command::Serve(args) => serve::run(args),
        Command::Connect(args) => connect::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("edgetrust: {error}");
        ExitCode::from(MISUSE)
    })
}

/// What a subcommand comes to; an error is wrong use or bad configuration.
pub(crate) type Outcome = Result<ExitCode, String>;

/// An error's text, for `map_err`.
pub(crate) fn text(error: impl Display) -> String {
    error.to_string()
}
