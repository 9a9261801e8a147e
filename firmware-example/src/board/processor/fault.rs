//! Handles faults and the watchdog's interrupt: determines the place, and ends the run.

use core::arch::naked_asm;

use cortex_m::peripheral::SCB;

use crate::board::ResetReason;
use crate::panic::stop;

/// Defines a handler that does not trust the stack: it takes the interrupted instruction's address (word 6 of the
/// exception frame; none if the stack pointer has left the stack) and continues with an empty stack. Where a stack limit
/// kept the stack pointer inside, there may be no frame, and the word is of no use. No handler returns.
macro_rules! handler {
    ($name:ident, $exception:literal, $then:ident) => {
        // SAFETY: the name that cortex-m-rt's vector table requires.
        #[unsafe(export_name = $exception)]
        #[unsafe(naked)]
        extern "C" fn $name() -> ! {
            naked_asm!(
                "mrs r0, msp",
                "movw r1, #:lower16:_stack_end",
                "movt r1, #:upper16:_stack_end",
                "movw r2, #:lower16:_stack_start",
                "movt r2, #:upper16:_stack_start",
                "cmp r0, r1",
                "ite lo",
                "movlo r0, #1",
                "ldrhs r0, [r0, #24]",
                "mov sp, r2",
                "b {then}",
                then = sym $then,
            )
        }
    };
}

handler!(hard_fault, "HardFault", faulted);
handler!(non_maskable, "NonMaskableInt", hung);

/// The handlers' value for a missing address: instructions lie at even addresses.
const NO_ADDRESS: u32 = 1;

/// UFSR.STKOF: the stack pointer would have passed the stack limit. Armv7-M has no limit, and the bit is zero.
const STACK_LIMIT: u32 = 1 << 20;

extern "C" fn faulted(pc: u32) -> ! {
    // SAFETY: a register of every Cortex-M with these faults, without effects when read.
    let status = unsafe { (*SCB::PTR).cfsr.read() };
    let overflow = pc == NO_ADDRESS || status & STACK_LIMIT != 0;
    stop(&if overflow { ResetReason::StackOverflow } else { ResetReason::Fault { pc } })
}

extern "C" fn hung(pc: u32) -> ! {
    stop(&ResetReason::Watchdog { pc })
}
