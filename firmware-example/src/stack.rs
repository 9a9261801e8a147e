//! How much of the stack has ever been used.
//!
//! The start-up code paints the stack; what has another colour was written to. A frame that is reserved and not written to does not show,
//! so leave a margin.

use crate::board;

/// Octets of stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub struct Stack {
    /// Ever used.
    pub peak: usize,
    /// There is.
    pub size: usize,
}

/// What has been used since the start. Reads all that is unused: a millisecond or so, nothing for a loop.
#[must_use]
pub fn usage() -> Stack {
    let (unused, size) = board::painted_stack();
    Stack { peak: size.saturating_sub(unused), size }
}

/// Runs something, and tells how much more of the stack it took. Less than a few hundred octets are not told apart.
#[inline(never)]
pub fn taken_by<T>(what: impl FnOnce() -> T) -> (T, usize) {
    let before = board::repaint_stack();
    let result = what();
    (result, usage().peak.saturating_sub(before))
}
