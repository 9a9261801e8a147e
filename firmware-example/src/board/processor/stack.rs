//! Paints the stack, and measures the paint that is left.

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
}

/// Returns the octets of stack that still have the paint, and the size of the stack in octets.
pub(crate) fn painted_stack() -> (usize, usize) {
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
pub(crate) fn repaint_stack() -> usize {
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
