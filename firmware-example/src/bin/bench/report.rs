//! Writes what was measured, a line for each part.

use core::fmt::Write as _;
use core::hint::black_box;

use edgetrust_firmware::board::{self, Port, Selected};
use edgetrust_firmware::stack;
use semihosting::fs::File;
use semihosting::io::Write;
use semihosting::process::exit;

/// The number of instructions in a second, with `-icount shift=0`.
const INSTRUCTIONS_PER_SECOND: u64 = 1_000_000_000;

/// The file that receives the lines.
pub struct Report {
    file: File,
    /// The ticks of an empty measurement.
    empty: u64,
}

/// Ends the run: a failed measurement has no result.
pub fn give_up(what: &str) -> ! {
    defmt::error!("{=str}", what);
    exit(1)
}

impl Report {
    /// Creates a report in a file.
    pub fn new(file: File) -> Self {
        Self { file, empty: ticks_of(|| ()) }
    }

    /// Runs a function twice: for its instructions, and for its stack.
    pub fn measure<T>(&mut self, name: &str, mut what: impl FnMut() -> T) {
        let ticks = ticks_of(&mut what).saturating_sub(self.empty);
        let (_, octets) = stack::taken_by(|| black_box(what()));
        self.line(name, ticks, octets);
    }

    /// Writes a line with the instructions of `ticks` and the octets of stack.
    pub fn line(&mut self, name: &str, ticks: u64, octets: usize) {
        let mut line = heapless::String::<128>::new();
        let written =
            writeln!(line, "{name}\t{}\t{octets}", ticks * INSTRUCTIONS_PER_SECOND / Selected::TICKS_PER_SECOND);
        if written.is_err() || self.file.write_all(line.as_bytes()).is_err() {
            give_up("a line could not be written");
        }
    }
}

/// Returns the ticks that a function takes.
#[inline(never)]
pub fn ticks_of<T>(mut what: impl FnMut() -> T) -> u64 {
    let start = board::ticks();
    black_box(what());
    board::ticks() - start
}
