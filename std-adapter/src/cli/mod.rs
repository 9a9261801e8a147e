//! Holds a file for each subcommand. Exit codes: 0: success; 1: the check failed; 2: wrong usage or invalid configuration.

// First, since the modules below use its macro.
#[macro_use]
mod output;

mod acme;
mod arguments;
mod audited;
mod check;
mod check_acme;
mod check_anchors;
mod check_crls;
mod check_devices;
mod check_effective;
mod check_files;
mod check_issuers;
mod check_mesh;
mod check_names;
mod check_network;
mod config_choice;
mod confine;
mod connect;
mod demo;
mod descriptors;
mod devices;
mod federation;
mod files;
mod findings;
mod generate;
mod init;
mod init_answers;
mod init_questions;
mod inspect;
mod inspect_certificate;
mod inspect_server;
mod key;
mod listening;
mod log;
mod manual;
mod prepared_pages;
mod probe;
mod run;
mod schema;
mod serve;
mod service;
mod status;
mod systemd;
mod unit;
mod verify;

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory, FromArgMatches, Parser, Subcommand};

pub(crate) use output::{Failure, Outcome};
use service::VERSION;

use crate::acme::{HOOK_HELPER, serve_hooks};
#[cfg(feature = "pkcs11")]
use crate::token;
use crate::{activation, sandbox};

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
    /// Write a first configuration, from three questions or from flags
    Init(init::Args),
    /// Run all tunnels of a configuration file
    Run(run::Args),
    /// Run one server tunnel: accept TLS, authorize clients, forward plaintext to a target
    Serve(serve::Args),
    /// Run one client tunnel: accept plaintext, connect to a target over TLS
    Connect(connect::Args),
    /// Show what a running gateway is doing: alarms, sessions, certificates, refusals
    Status(status::Args),
    /// Check a configuration and its files; only --online uses the network
    Check(check::Args),
    /// Try one client tunnel of a configuration from here: look-up, connection, handshake, both verdicts
    Probe(probe::Args),
    /// Show certificates in readable form: of files, or as a server shows them, unverified
    Inspect(inspect::Args),
    /// Verify a certificate chain, and print the reason and the path
    Verify(verify::Args),
    /// Manage certificates from an ACME directory, by hand or from timers; `run` renews them by itself
    Acme(acme::Args),
    /// Make, show and revoke vouchers, by which devices get their first certificate
    Devices(devices::Args),
    /// Make and change a mesh of sites: a root, a CA for each site, who reaches whom, which keys are denied
    #[command(visible_alias = "mesh")]
    Federation(federation::Args),
    /// Print a JSON Schema of the configuration, for editors
    Schema(schema::Args),
    /// Print units for systemd that fit a configuration: of the gateway, of its CA
    #[command(subcommand)]
    Unit(unit::Command),
    /// Run three locations in one process: messages over wss, impostors refused, a certificate rotated live
    Demo(demo::Args),
    /// Print completions for a shell
    Completions(generate::Completions),
    /// Print the manual page, or write the pages of all subcommands
    Man(generate::Man),
    /// Start helpers of a PKCS #11 module for a gateway in its sandbox, which starts this by itself
    #[cfg(feature = "pkcs11")]
    #[command(name = token::RELAY, hide = true)]
    Relay { module: std::path::PathBuf, keys: Vec<String> },
    /// Run hooks for a gateway in its sandbox, which starts this by itself
    #[command(name = HOOK_HELPER, hide = true)]
    HookHelper,
}

/// The exit code for wrong usage or an invalid configuration.
pub(crate) const MISUSE: u8 = 2;

/// Runs the program with the arguments of this process.
pub fn run() -> ExitCode {
    sandbox::note_threads();
    // clap repeats arguments that it does not understand, and a key begins with hyphens.
    if std::env::args_os().any(|argument| argument.to_string_lossy().contains("-----BEGIN")) {
        let reason = "edgetrust: found PEM in an argument, expected the name of a file that holds it\n";
        // Standard error may have no reader.
        let _ = std::io::stderr().write_all(reason.as_bytes());
        return ExitCode::from(MISUSE);
    }
    // Only the program itself starts the helper: it is in no manual, and writes no log.
    #[cfg(feature = "pkcs11")]
    if let [_, command, module] = std::env::args_os().collect::<Vec<_>>().as_slice()
        && command == token::HELPER
    {
        return token::serve(module.as_ref());
    }
    // Before anything opens a file, which could have the number of a socket that was promised and not passed.
    let passed = activation::take();
    let parsed = manual::with_examples(Cli::command(), "").get_matches();
    let cli = Cli::from_arg_matches(&parsed).unwrap_or_else(|error| error.exit());
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
    let outcome = passed.map_err(Failure::from).and_then(|()| match cli.command {
        Command::Demo(args) => demo::run(args),
        Command::Init(args) => init::run(args),
        Command::Run(args) => run::run(args, cli.log_format),
        Command::Serve(args) => serve::run(args, cli.log_format),
        Command::Connect(args) => connect::run(args, cli.log_format),
        Command::Status(args) => status::run(args),
        Command::Check(args) => check::run(args),
        Command::Probe(args) => probe::run(args),
        Command::Inspect(args) => inspect::run(args),
        Command::Verify(args) => verify::run(args),
        Command::Acme(args) => acme::run(args),
        Command::Devices(args) => devices::run(args),
        Command::Federation(args) => federation::run(args),
        Command::Schema(args) => schema::run(args),
        Command::Unit(command) => unit::run(command),
        Command::Completions(args) => generate::completions(args, Cli::command()),
        Command::Man(args) => generate::man(args, Cli::command()),
        #[cfg(feature = "pkcs11")]
        Command::Relay { module, keys } => token::serve_relay(&module, &keys).map_err(Failure::from),
        Command::HookHelper => serve_hooks().map(|()| ExitCode::SUCCESS).map_err(Failure::from),
    });
    let (code, error) = match (outcome, output::finish()) {
        (Err(error), _) => (ExitCode::from(MISUSE), Some(error.to_string())),
        (Ok(_), Some(error)) => (ExitCode::from(MISUSE), Some(format!("standard output: {error}"))),
        (Ok(code), None) => (code, None),
    };
    log::finish(error);
    code
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    /// Splits a line as a shell does, with quotation marks, up to a redirection.
    fn words(line: &str) -> Vec<String> {
        let mut words = vec![String::new()];
        for (number, part) in line.split('"').enumerate() {
            if number % 2 == 1 {
                words.last_mut().unwrap().push_str(part);
                continue;
            }
            for (number, word) in part.split(' ').enumerate() {
                if number > 0 {
                    words.push(String::new());
                }
                words.last_mut().unwrap().push_str(word);
            }
        }
        words.retain(|word| !word.is_empty());
        words.split(|word| word == ">").next().unwrap().to_vec()
    }

    fn commands(program: &clap::Command, command: &str, all: &mut BTreeSet<String>) {
        all.insert(command.to_owned());
        for inner in program.get_subcommands().filter(|inner| !inner.is_hide_set()) {
            commands(inner, &manual::below(command, inner.get_name()), all);
        }
    }

    #[test]
    fn each_example_is_a_command_line_that_is_taken() {
        let mut all = BTreeSet::new();
        commands(&Cli::command(), "", &mut all);
        for page in manual::PAGES {
            assert!(all.contains(page.command), "{} is no command", page.command);
            assert!(!page.examples.is_empty(), "{} has no example", page.command);
            for (_, line) in page.examples {
                let words = words(line);
                let parsed = manual::with_examples(Cli::command(), "").try_get_matches_from(&words);
                let parsed = parsed.unwrap_or_else(|error| panic!("{line}: {error}"));
                assert!(Cli::from_arg_matches(&parsed).is_ok(), "{line}");
                // An example of a page is of its command, but for the page of the whole.
                let own = format!("edgetrust {}", page.command);
                assert!(page.command.is_empty() || line.starts_with(&own), "{line} is on the page of {}", page.command);
            }
        }
    }

    #[test]
    fn each_command_that_does_something_has_examples() {
        let mut all = BTreeSet::new();
        commands(&Cli::command(), "", &mut all);
        let steps =
            |command: &String| command.starts_with("federation renew ") || command.starts_with("federation rollover ");
        // `acme`, `devices` and `unit` only group others, and steps have their examples together.
        for command in
            all.iter().filter(|command| !steps(command) && !["acme", "devices", "unit"].contains(&command.as_str()))
        {
            assert!(!manual::page(command).examples.is_empty(), "{command}");
        }
    }
}
