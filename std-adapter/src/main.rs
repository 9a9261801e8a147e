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
        clippy::arithmetic_side_effects
    )
)]

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
