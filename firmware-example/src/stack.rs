//! Measures the peak use of the stack.
//!
//! The start-up code paints the stack; a word of another colour was written to. A frame that is reserved and not
//! written to does not show, so leave a margin.

use crate::board;

/// The use of the stack in octets.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub struct Stack {
    /// The peak use.
    pub peak: usize,
    /// The total size.
    pub size: usize,
}

/// Returns the use of the stack since the start. Reads all unused stack: about a millisecond, so unfit for a loop.
#[must_use]
pub fn usage() -> Stack {
    let (unused, size) = board::painted_stack();
    Stack { peak: size.saturating_sub(unused), size }
}

/// Paints the unused stack anew, and returns what is in use.
#[must_use]
pub fn repaint() -> usize {
    board::repaint_stack()
}

/// Runs a function, and returns its additional use of the stack. Less than a few hundred octets cannot be told apart.
#[inline(never)]
pub fn taken_by<T>(what: impl FnOnce() -> T) -> (T, usize) {
    let before = repaint();
    let result = what();
    (result, usage().peak.saturating_sub(before))
}
