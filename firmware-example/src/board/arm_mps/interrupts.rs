//! Enables interrupts; `vectors.rs` says who handles them.

use cortex_m::interrupt::InterruptNumber;
use cortex_m::peripheral::NVIC;

/// The used interrupts.
#[derive(Clone, Copy)]
#[repr(u16)]
pub(super) enum Interrupt {
    /// CMSDK timer 0.
    Timer0 = 8,
    /// CMSDK timer 1.
    Timer1 = 9,
    /// LAN9118.
    Ethernet = 13,
}

// SAFETY: distinct numbers of existing interrupts, which never change.
unsafe impl InterruptNumber for Interrupt {
    fn number(self) -> u16 {
        self as u16
    }
}

pub(super) fn enable(interrupt: Interrupt) {
    // SAFETY: handlers take no lock that the caller could hold; critical sections mask all interrupts, not single
    // ones.
    unsafe { NVIC::unmask(interrupt) }
}

/// Clears all pending interrupts, so that WFI sleeps: a pending interrupt ends WFI at once, masked or not, and QEMU
/// would spin.
#[cfg(feature = "rig")]
pub(super) fn silence() {
    // SAFETY: registers of every Cortex-M (NVIC_ICER0, SYST_CSR, ICSR with PENDSTCLR); no later code waits for an
    // interrupt.
    let core = unsafe { super::registers::Registers::at(0xe000_e000) };
    core.write(0x180, u32::MAX);
    core.write(0x010, 0);
    core.write(0xd04, 1 << 25);
}
