//! Runs the `edgetrust` program: arguments and wiring only.

// Configuration, certificates, network and storage cannot cause a panic.
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::unreachable,
        clippy::indexing_slicing,
        clippy::string_slice,
        clippy::arithmetic_side_effects,
        // They panic if the reader has left. Output goes through cli/output.rs and cli/log.rs.
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
