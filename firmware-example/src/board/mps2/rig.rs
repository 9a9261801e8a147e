//! For tests: a page in the flash's file through which the host says when the power goes, and how fast time passes.
//!
//! Words, little-endian: 0 the magic, without which the page is ignored; 1 the operation of the flash at which power is lost (each erased
//! sector and each programmed word is one, counted from the start; 0: never); 2 operations so far; 3 [`LOST`] when power was lost there; 4 the
//! rate of the application's clock. The host writes 0, 1 and 4 before it starts QEMU, and kills it once it reads [`LOST`].

use super::flash;
use super::registers::Registers;

// SAFETY: PSRAM behind the slots, outside of the program's memory.
const PAGE: Registers = unsafe { Registers::at(flash::BASE + 0x2_0000) };
const MAGIC: u32 = 0x5249_4731;
/// What word 3 says when power was lost.
pub const LOST: u32 = 0xdead;

const MAGIC_AT: usize = 0;
const CUT_AT: usize = 4;
const OPERATIONS: usize = 8;
const STATE: usize = 12;
const RATE: usize = 16;

fn present() -> bool {
    PAGE.read(MAGIC_AT) == MAGIC
}

/// Seconds of the application's clock in one second, where the host asked for a rate.
#[must_use]
pub fn clock_rate() -> Option<u32> {
    Some(PAGE.read(RATE)).filter(|rate| present() && *rate > 0)
}

pub(super) fn start() {
    if present() {
        PAGE.write(OPERATIONS, 0);
        PAGE.write(STATE, 0);
    }
}

/// Counts an operation of the flash; `true`: it is the one in the middle of which power is lost.
pub(super) fn cut_now() -> bool {
    if !present() {
        return false;
    }
    let operation = PAGE.read(OPERATIONS).wrapping_add(1);
    PAGE.write(OPERATIONS, operation);
    operation == PAGE.read(CUT_AT)
}

/// Nothing happens any more: no interrupt, no watchdog.
pub(super) fn lose_power() -> ! {
    cortex_m::interrupt::disable();
    super::watchdog::stop();
    super::interrupts::silence();
    PAGE.write(STATE, LOST);
    loop {
        cortex_m::asm::wfi();
    }
}
