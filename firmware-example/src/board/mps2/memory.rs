//! The stack: its guard, and its colour.

use cortex_m::peripheral::MPU;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// What lies below the stack, as large as any frame.
const GUARD: u32 = 1 << 20;

/// Makes what lies below the stack fault. There is nothing, but QEMU reads zeros there and goes on with them.
pub(super) fn guard_stack(mpu: &MPU) {
    let base = (&raw const _stack_end as u32).wrapping_sub(GUARD);
    let size = GUARD.trailing_zeros() - 1;
    // SAFETY: takes nothing away that is used: the region ends where memory begins, and everything else stays as the default map has it.
    unsafe {
        // Region 0.
        mpu.rbar.write(base | 1 << 4);
        // No instructions, no access at all.
        mpu.rasr.write(1 << 28 | size << 1 | 1);
        // On, with the default map for the rest; off in HardFault and NMI, which must run whatever happens.
        mpu.ctrl.write(1 << 2 | 1);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Octets that still have their colour, and octets in all.
pub(super) fn painted_stack() -> (usize, usize) {
    let (low, high) = (&raw const _stack_end, &raw const _stack_start);
    let mut at = low;
    // SAFETY: between the two symbols is the stack, aligned and readable; volatile, since it is in use above.
    while at < high && unsafe { at.read_volatile() } == STACK_PAINT_VALUE {
        at = at.wrapping_add(1);
    }
    (at.addr() - low.addr(), high.addr() - low.addr())
}

/// Octets below the stack pointer that painting leaves alone: its own frame, and that of an interrupt meanwhile.
const MARGIN: usize = 256;

/// Gives what is free of the stack its colour again, but for a margin; octets of the stack that are in use.
pub(super) fn repaint_stack() -> usize {
    let (low, high) = ((&raw const _stack_end).cast_mut(), &raw const _stack_start);
    let pointer = cortex_m::register::msp::read() as usize;
    let end = pointer.saturating_sub(MARGIN);
    let mut at = low;
    while at.addr() < end {
        // SAFETY: between the end of the stack and its pointer, less what this function and an interrupt take of it.
        unsafe { at.write_volatile(STACK_PAINT_VALUE) };
        at = at.wrapping_add(1);
    }
    high.addr().saturating_sub(pointer)
}
