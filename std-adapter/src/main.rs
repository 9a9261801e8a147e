//! The `edgetrust` program: arguments and wiring only.

// No panic can be reached from configuration, certificates, network or storage.
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
        // They panic where the reader left. Output goes through cli/output.rs and cli/log.rs.
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
