//! One file a subcommand. Exit codes: 0: success; 1: the check failed; 2: wrong use or bad configuration.

// First: its macro is for all below.
#[macro_use]
mod output;

mod acme;
mod arguments;
mod check;
mod check_acme;
mod check_anchors;
mod check_devices;
mod check_effective;
mod check_files;
mod check_names;
mod connect;
mod demo;
mod descriptors;
mod files;
mod generate;
mod inspect;
mod key;
mod log;
mod run;
mod serve;
mod service;
mod verify;

use std::fmt::Display;
use std::io::Write as _;
use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// The version and, where it is known, the commit: the build script composes them.
pub(crate) const VERSION: &str = env!("EDGETRUST_VERSION");

/// TLS trust engine for edge gateways.
///
/// Exit codes: 0: success; 1: the check failed; 2: wrong use or bad configuration. RUST_LOG filters the log, as
/// RUST_LOG=warn.
#[derive(Parser)]
#[command(name = "edgetrust", version = VERSION)]
struct Cli {
    /// How events are written to standard error
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all tunnels of a configuration file
    Run(run::Args),
    /// Accept TLS, authorize the client, forward plaintext to a target
    Serve(serve::Args),
    /// Accept plaintext, originate TLS to a target
    Connect(connect::Args),
    /// Say all that can be known of a configuration; without the network unless told otherwise
    Check(check::Args),
    /// Show certificates as a person reads them
    Inspect(inspect::Args),
    /// Judge a chain, and say why
    Verify(verify::Args),
    /// Certificates from an ACME directory, by hand and by timers; `run` keeps them fresh by itself
    Acme(acme::Args),
    /// Three locations in one process: messages over wss, impostors refused, a certificate rotated live
    Demo(demo::Args),
    /// Print a shell's completions
    Completions(generate::Completions),
    /// Print the manual page, or write all of them
    Man(generate::Man),
}

/// Wrong use or bad configuration.
pub(crate) const MISUSE: u8 = 2;

pub(crate) fn run() -> ExitCode {
    // clap repeats what it cannot understand, and a key begins with hyphens.
    if std::env::args_os().any(|argument| argument.to_string_lossy().contains("-----BEGIN")) {
        let reason = "edgetrust: found PEM in an argument, expected the name of a file that holds it\n";
        // Nobody may be there to read it.
        let _ = std::io::stderr().write_all(reason.as_bytes());
        return ExitCode::from(MISUSE);
    }
    let cli = Cli::parse();
    if !matches!(cli.command, Command::Demo(_)) {
        log::start(cli.log_format);
    }
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => run::run(args),
        Command::Serve(args) => serve::run(args),
        Command::Connect(args) => connect::run(args),
        Command::Check(args) => check::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Acme(args) => acme::run(args),
        Command::Completions(args) => generate::completions(args),
        Command::Man(args) => generate::man(args),
    };
    let (code, error) = match (outcome, output::finish()) {
        (Err(error), _) => (ExitCode::from(MISUSE), Some(error)),
        (Ok(_), Some(error)) => (ExitCode::from(MISUSE), Some(format!("standard output: {error}"))),
        (Ok(code), None) => (code, None),
    };
    log::finish(error);
    code
}

/// What a subcommand comes to; an error is wrong use or bad configuration.
pub(crate) type Outcome = Result<ExitCode, String>;

/// An error's text, for `map_err`.
pub(crate) fn text(error: impl Display) -> String {
    error.to_string()
}
