//! Writes to standard output, whose reader may leave (`edgetrust inspect … | head -1`) or whose disk may be full.

use std::error::Error;
use std::fmt;
use std::io::{self, ErrorKind, Write};
use std::process::ExitCode;
use std::sync::OnceLock;

/// The first error of standard output. Nothing is written after it.
static FAILED: OnceLock<io::Error> = OnceLock::new();

/// Prints a line to standard output. Unlike `println!` it does not panic: [`finish`] returns the error.
macro_rules! outln {
    () => { $crate::cli::output::write(format_args!("\n")) };
    ($($argument:tt)*) => { $crate::cli::output::write(format_args!("{}\n", format_args!($($argument)*))) };
}

/// Writes to standard output.
pub(crate) fn write(text: fmt::Arguments<'_>) {
    if FAILED.get().is_none() {
        note(io::stdout().lock().write_fmt(text));
    }
}

/// Flushes standard output.
pub(crate) fn flush() {
    if FAILED.get().is_none() {
        note(io::stdout().lock().flush());
    }
}

/// Returns whether standard output takes nothing more.
pub(crate) fn has_failed() -> bool {
    FAILED.get().is_some()
}

fn note(written: io::Result<()>) {
    if let Err(error) = written {
        // Another thread's error came first and serves as well.
        let _ = FAILED.set(error);
    }
}

/// Flushes standard output and returns its first error. A broken pipe is none: the reader has read what it wanted.
pub(crate) fn finish() -> Option<&'static io::Error> {
    flush();
    FAILED.get().filter(|error| error.kind() != ErrorKind::BrokenPipe)
}

/// Whatever went wrong, for the user to read.
pub(crate) type Failure = Box<dyn Error + Send + Sync>;

/// The result of a subcommand; an error is wrong use or bad configuration.
pub(crate) type Outcome = Result<ExitCode, Failure>;
