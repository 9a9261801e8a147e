//! Knows where memory is; guards and paints the stack.

use cortex_m::peripheral::MPU;
use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// The start of the PSRAM, which is outside of the program's memory.
pub(super) const PSRAM: usize = 0x2100_0000;

/// The size in octets of the guarded region below the stack, as large as any frame.
const GUARD: u32 = 1 << 20;

/// Makes accesses below the stack fault. There is no memory, but QEMU reads zeros there and continues.
pub(super) fn guard_stack(mpu: &MPU) {
    let base = (&raw const _stack_end as u32).wrapping_sub(GUARD);
    let size = GUARD.trailing_zeros() - 1;
    // SAFETY: no used memory becomes inaccessible: the region ends where memory begins, and the rest keeps the default
    // map.
    unsafe {
        // Region 0.
        mpu.rbar.write(base | 1 << 4);
        // No execution and no access.
        mpu.rasr.write(1 << 28 | size << 1 | 1);
        // Enabled, with the default map for the rest; disabled in HardFault and NMI, which must always run.
        mpu.ctrl.write(1 << 2 | 1);
    }
    cortex_m::asm::dsb();
    cortex_m::asm::isb();
}

/// Returns the octets of stack that still have the paint, and the size of the stack in octets.
pub(super) fn painted_stack() -> (usize, usize) {
    let (low, high) = (&raw const _stack_end, &raw const _stack_start);
    let mut at = low;
    // SAFETY: between the two symbols is the stack, aligned and readable; volatile, since its upper part is in use.
    while at < high && unsafe { at.read_volatile() } == STACK_PAINT_VALUE {
        at = at.wrapping_add(1);
    }
    (at.addr() - low.addr(), high.addr() - low.addr())
}

/// The octets below the stack pointer that painting spares: its own frame, and the frame of an interrupt meanwhile.
const MARGIN: usize = 256;

/// Repaints the free stack, but for a margin; returns the octets of stack in use.
pub(super) fn repaint_stack() -> usize {
    let (low, high) = ((&raw const _stack_end).cast_mut(), &raw const _stack_start);
    let pointer = cortex_m::register::msp::read() as usize;
    let end = pointer.saturating_sub(MARGIN);
    let mut at = low;
    while at.addr() < end {
        // SAFETY: between the end of the stack and its pointer, less the stack of this function and of an interrupt.
        unsafe { at.write_volatile(STACK_PAINT_VALUE) };
        at = at.wrapping_add(1);
    }
    high.addr().saturating_sub(pointer)
}
