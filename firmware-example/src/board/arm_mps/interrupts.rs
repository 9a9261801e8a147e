//! Enables interrupts; `vectors.rs` says who handles them.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

use crate::board::MAP;

/// The size of the table: the boards use no interrupt beyond it.
pub(super) const INTERRUPTS: usize = 64;

/// An interrupt of the board.
#[derive(Clone, Copy)]
pub(super) struct Interrupt(u16);

/// The CMSDK timer that runs freely.
pub(super) const WRAPPED: Interrupt = Interrupt(MAP.interrupts.timers[0]);
/// The CMSDK timer that is the alarm.
pub(super) const ALARM: Interrupt = Interrupt(MAP.interrupts.timers[1]);
/// The LAN9118.
pub(super) const ETHERNET: Interrupt = Interrupt(MAP.interrupts.ethernet);

impl Interrupt {
    /// Returns the place in the table.
    pub(super) const fn place(self) -> usize {
        self.0 as usize
    }
}

// SAFETY: distinct numbers of existing interrupts, which never change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self.0
    }
}

pub(super) fn enable(interrupt: Interrupt) {
    // SAFETY: handlers take no lock that the caller could hold; critical sections mask all interrupts, not single
    // ones.
    unsafe { NVIC::unmask(interrupt) }
}

/// Disables all interrupts and clears SysTick's, so that WFI sleeps: a pending interrupt ends WFI at once, masked or
/// not, and QEMU would spin.
#[cfg(feature = "rig")]
pub(super) fn silence() {
    // SAFETY: registers of every Cortex-M (NVIC_ICER, SYST_CSR, ICSR with PENDSTCLR); no later code waits for an
    // interrupt.
    let core = unsafe { super::registers::Registers::at(0xe000_e000) };
    for word in 0..INTERRUPTS / 32 {
        core.write(0x180 + 4 * word, u32::MAX);
    }
    core.write(0x010, 0);
    core.write(0xd04, 1 << 25);
}
