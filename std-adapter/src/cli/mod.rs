//! Holds a file for each subcommand. Exit codes: 0: success; 1: the check failed; 2: wrong usage or invalid configuration.

// First, since the modules below use its macro.
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
mod check_issuers;
mod check_mesh;
mod check_names;
mod connect;
mod demo;
mod descriptors;
mod federation;
mod files;
mod findings;
mod generate;
mod inspect;
mod key;
mod log;
mod probe;
mod run;
mod serve;
mod service;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory, Parser, Subcommand};

pub(crate) use output::{Failure, Outcome};
use service::VERSION;

use crate::acme::{HOOK_HELPER, serve_hooks};

/// TLS trust engine for edge gateways.
///
/// Exit codes: 0: success; 1: the check failed; 2: wrong usage or invalid configuration. RUST_LOG filters the log; for
/// example, RUST_LOG=warn writes only warnings and errors.
#[derive(Parser)]
#[command(name = "edgetrust", version = VERSION)]
struct Cli {
    /// Format of the log on standard error
    #[arg(long, global = true, value_enum, default_value = "text")]
    log_format: log::Format,
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Run all tunnels of a configuration file
    Run(run::Args),
    /// Run one server tunnel: accept TLS, authorize clients, forward plaintext to a target
    Serve(serve::Args),
    /// Run one client tunnel: accept plaintext, connect to a target over TLS
    Connect(connect::Args),
    /// Check a configuration and its files; only --online uses the network
    Check(check::Args),
    /// Try one client tunnel of a configuration from here: look-up, connection, handshake, both verdicts
    Probe(probe::Args),
    /// Show certificates in readable form
    Inspect(inspect::Args),
    /// Verify a certificate chain, and print the reason and the path
    Verify(verify::Args),
    /// Manage certificates from an ACME directory, by hand or from timers; `run` renews them by itself
    Acme(acme::Args),
    /// Make and change a mesh of sites: a root, a CA for each site, who reaches whom, which keys are denied
    #[command(visible_alias = "mesh")]
    Federation(federation::Args),
    /// Run three locations in one process: messages over wss, impostors refused, a certificate rotated live
    Demo(demo::Args),
    /// Print completions for a shell
    Completions(generate::Completions),
    /// Print the manual page, or write the pages of all subcommands
    Man(generate::Man),
    /// Run hooks for a gateway in its sandbox, which starts this by itself
    #[command(name = HOOK_HELPER, hide = true)]
    HookHelper,
}

/// The exit code for wrong usage or an invalid configuration.
pub(crate) const MISUSE: u8 = 2;

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    // clap repeats arguments that it does not understand, and a key begins with hyphens.
    if std::env::args_os().any(|argument| argument.to_string_lossy().contains("-----BEGIN")) {
        let reason = "edgetrust: found PEM in an argument, expected the name of a file that holds it\n";
        // Standard error may have no reader.
        let _ = std::io::stderr().write_all(reason.as_bytes());
        return ExitCode::from(MISUSE);
    }
    let cli = Cli::parse();
    // A service starts the log after its sandbox, and the helper has none of its own.
    let no_log = |command: &Command| {
        matches!(
            command,
            Command::Demo(_) | Command::Run(_) | Command::Serve(_) | Command::Connect(_) | Command::HookHelper
        )
    };
    if !no_log(&cli.command) {
        // The table of `probe` says what matters; warnings of the configuration remain.
        log::start(cli.log_format, if matches!(cli.command, Command::Probe(_)) { "warn" } else { "info" });
    }
    let outcome = match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Run(args) => run::run(args, cli.log_format),
        Command::Serve(args) => serve::run(args, cli.log_format),
        Command::Connect(args) => connect::run(args, cli.log_format),
        Command::Check(args) => check::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Acme(args) => acme::run(args),
        Command::Federation(args) => federation::run(args),
        Command::Completions(args) => generate::completions(args, Cli::command()),
        Command::Man(args) => generate::man(args, Cli::command()),
        Command::HookHelper => serve_hooks().map(|()| ExitCode::SUCCESS).map_err(Failure::from),
    };
    let (code, error) = match (outcome, output::finish()) {
        (Err(error), _) => (ExitCode::from(MISUSE), Some(error.to_string())),
        (Ok(_), Some(error)) => (ExitCode::from(MISUSE), Some(format!("standard output: {error}"))),
        (Ok(code), None) => (code, None),
    };
    log::finish(error);
    code
}
