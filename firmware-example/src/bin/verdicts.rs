//! Judges cases that the host has judged too: `verdicts CASES VERDICTS`, both files of the host. Writes one line for
//! each case; `tests/src/bin/verdicts.rs` writes the cases and compares the verdicts.
//!
//! A test of the core on this processor, and no example of its memory use: 22 KB of the RAM are one case.

#![no_std]
#![no_main]

use core::ffi::CStr;
use core::fmt::Write as _;

use edgetrust_core::crypto::ECDSA_P256_SHA256;
use edgetrust_firmware::{board, stack};
use edgetrust_verdicts::{Case, MAGIC, MAX_RECORD, judge, record_length};
use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::io::{Read, Write};
use semihosting::process::exit;
use static_cell::ConstStaticCell;

static RECORD: ConstStaticCell<[u8; MAX_RECORD]> = ConstStaticCell::new([0; MAX_RECORD]);

/// A line of output: the longest reason is half of it.
type Line = heapless::String<512>;
type Path = heapless::Vec<u8, 256>;

/// Ends the run: an error of this program is not a verdict.
fn give_up(what: &str) -> ! {
    defmt::error!("{=str}", what);
    exit(1)
}

#[cortex_m_rt::entry]
fn main() -> ! {
    if let Err(error) = board::take() {
        defmt::error!("no board: {}", error);
        exit(1);
    }
    let (asked, answered) = paths().unwrap_or_else(|| give_up("expected the arguments CASES and VERDICTS"));
    let mut cases = open(&asked, |path| File::open(path));
    let mut verdicts = open(&answered, |path| File::create(path));
    let mut magic = [0; MAGIC.len()];
    if !fill(&mut cases, &mut magic) || magic != MAGIC {
        give_up("no stream of cases");
    }
    let buffer = RECORD.take();
    let mut judged = 0_u32;
    let mut head = [0; 4];
    while fill(&mut cases, &mut head) {
        let record = record_length(head).ok().and_then(|length| buffer.get_mut(..length));
        let Some(record) = record else { give_up("a record that is too long") };
        if !fill(&mut cases, record) {
            give_up("the stream ends within a record");
        }
        let line = answer(record);
        if verdicts.write_all(line.as_bytes()).is_err() {
            give_up("a verdict could not be written");
        }
        judged += 1;
    }
    defmt::info!("{=u32} verdicts, stack {}", judged, stack::usage());
    exit(0)
}

#[inline(never)]
fn answer(record: &[u8]) -> Line {
    let mut line = Line::new();
    let Ok(case) = Case::read(record) else { give_up("a malformed record") };
    let written = write!(line, "{} ", case.number)
        .and_then(|()| judge(&case, ECDSA_P256_SHA256, &mut line))
        .and_then(|()| line.write_char('\n'));
    if written.is_err() {
        give_up("a verdict longer than a line");
    }
    line
}

/// Fills `out`; returns false if the file has ended.
fn fill(file: &mut File, out: &mut [u8]) -> bool {
    let mut rest = out;
    while !rest.is_empty() {
        match file.read(rest) {
            Ok(octets) if octets > 0 => rest = rest.get_mut(octets..).unwrap_or_default(),
            Ok(_) => return false,
            Err(_) => give_up("the cases cannot be read"),
        }
    }
    true
}

fn open(path: &Path, how: impl FnOnce(&CStr) -> semihosting::io::Result<File>) -> File {
    let opened = CStr::from_bytes_with_nul(path).ok().and_then(|path| how(path).ok());
    opened.unwrap_or_else(|| give_up("a file could not be opened"))
}

/// Returns the paths of the two files, each terminated by a zero.
fn paths() -> Option<(Path, Path)> {
    let arguments = env::args::<600>().ok()?;
    let mut paths = (&arguments).skip(1).filter_map(Result::ok).map(|argument| {
        let mut path = Path::from_slice(argument.as_bytes()).ok()?;
        path.push(0).ok()?;
        Some(path)
    });
    Some((paths.next()??, paths.next()??))
}
