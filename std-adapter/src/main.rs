//! Starts the `edgetrust` program, which lies in the library's module `cli`.

fn main() -> std::process::ExitCode {
    edgetrust::program::main()
}
