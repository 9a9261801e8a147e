//! The stack as the start-up code painted it.

use cortex_m_rt::STACK_PAINT_VALUE;

unsafe extern "C" {
    static _stack_end: u32;
    static _stack_start: u32;
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
