//! Overwrites what an operation on a secret left on the stack.

use zeroize::Zeroize;

/// The octets of stack that are overwritten: more than the deepest operation here uses, which is to sign. The
/// firmware's `src/bin/crypto.rs` searches the stack for secrets after each operation.
const DEPTH: usize = 2560;

/// Overwrites the stack below its caller. What the caller called before was at the same depth, if it was not inlined.
#[inline(never)]
pub(crate) fn scrub() {
    let mut room = [0_u32; DEPTH / 4];
    room.zeroize();
    // Else the room would be nothing but its volatile writes, and the compiler free to choose their place.
    core::hint::black_box(&room);
}
