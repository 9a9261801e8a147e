//! Measures the cost of the parts on this processor, in instructions and octets of stack: `bench FILE` writes a line
//! for each to a file of the host. The counts are meaningful with QEMU's `-icount shift=0`; `tests/firmware-bench`
//! runs it. `cargo run -p edgetrust-tests --bin bench-fixtures` makes the certificates.

#![no_std]
#![no_main]

mod core_work;
mod floor;

use core::ffi::CStr;
use core::fmt::Write as _;
use core::hint::black_box;

use edgetrust_firmware::board::{self, Flash};
use edgetrust_firmware::stack;
use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::Write;
use semihosting::process::exit;

/// The number of instructions in a tick, with `-icount shift=0`.
const PER_TICK: u64 = 40;

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
    /// Runs a function twice: for its instructions, and for its stack.
    pub fn measure<T>(&mut self, name: &str, mut what: impl FnMut() -> T) {
        let ticks = ticks_of(&mut what).saturating_sub(self.empty);
        let (_, octets) = stack::taken_by(|| black_box(what()));
        self.line(name, ticks, octets);
    }

    /// Writes a line with the instructions of `ticks` and the octets of stack.
    pub fn line(&mut self, name: &str, ticks: u64, octets: usize) {
        let mut line = heapless::String::<128>::new();
        let written = writeln!(line, "{name}\t{}\t{octets}", ticks * PER_TICK);
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

#[cortex_m_rt::entry]
fn main() -> ! {
    let Ok(parts) = board::take() else { give_up("no board") };
    let Some(file) = file() else { give_up("expected the argument FILE, which can be written to") };
    let mut report = Report { file, empty: 0 };
    report.empty = ticks_of(|| ());
    report.measure("nothing", || ());
    floor::measure(&mut report);
    core_work::measure(&mut report, parts.flash.split().1);
    exit(0)
}

fn file() -> Option<File> {
    let arguments = env::args::<600>().ok()?;
    let mut path = heapless::Vec::<u8, 512>::from_slice((&arguments).nth(1)?.ok()?.as_bytes()).ok()?;
    path.push(0).ok()?;
    File::create(CStr::from_bytes_with_nul(&path).ok()?).ok()
}
