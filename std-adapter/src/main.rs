//! The `edgetrust` program: arguments and wiring only.

mod cli;

fn main() -> std::process::ExitCode {
    cli::run()
}
