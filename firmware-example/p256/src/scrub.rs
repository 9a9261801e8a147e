//! Overwrites what an operation on a secret left on the stack.

use zeroize::Zeroize;

/// The octets of stack that are overwritten: more than the deepest operation here uses, which is to sign
/// (docs/BENCHMARKS.md). The firmware's `src/bin/crypto.rs` checks that no operation goes deeper, and searches the stack
/// for the private key after each, and for the nonce after a signature.
const DEPTH: usize = if cfg!(feature = "portable") { 3584 } else { 2560 };

/// Overwrites the stack below its caller. What the caller called before was at the same depth, if it was not inlined.
#[inline(never)]
pub(crate) fn scrub() {
    let mut room = [0_u32; DEPTH / 4];
    room.zeroize();
    // Else the room would be nothing but its volatile writes, and the compiler free to choose their place.
    core::hint::black_box(&room);
}
