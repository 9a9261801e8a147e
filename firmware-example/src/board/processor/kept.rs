//! Keeps the reset reason in words of memory that a reset leaves alone.
//!
//! Memory with error correction may hold back what was written last, if it was part of a larger unit, until another unit
//! is written, and loses it in a reset (STM32H5 and H7). So spare words follow the reason: what is lost is one of them.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::board::{REASON_WORDS, ResetReason};

/// The number of words behind the reason: two of the largest units that carry error correction, of 64 bits.
const SPARE: usize = 4;
const WORDS: usize = REASON_WORDS + SPARE;
const _: () = assert!(REASON_WORDS.is_multiple_of(2));

// The reason ends where such a unit ends.
#[repr(align(8))]
struct Kept(UnsafeCell<MaybeUninit<[u32; WORDS]>>);

// SAFETY: `take` is called once. `keep` is called with interrupts off and never returns to the interrupted code.
unsafe impl Sync for Kept {}

// SAFETY: the start-up code does not touch this section, and the type has no invalid values.
#[unsafe(link_section = ".uninit.reset_reason")]
static KEPT: Kept = Kept(UnsafeCell::new(MaybeUninit::uninit()));

/// Keeps a reason for the next start.
pub(in crate::board) fn keep(reason: &ResetReason) {
    write(&reason.to_words());
}

/// Returns the kept reason, and erases it.
pub(in crate::board) fn take() -> ResetReason {
    let mut words = [0; REASON_WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: inside the array, which has more words; volatile, since the compiler sees no write to them.
        *word = unsafe { KEPT.0.get().cast::<u32>().add(index).read_volatile() };
    }
    write(&[0; REASON_WORDS]);
    ResetReason::from_words(&words).unwrap_or(ResetReason::PowerOn)
}

fn write(words: &[u32; REASON_WORDS]) {
    for (index, word) in words.iter().chain(&[0; SPARE]).enumerate() {
        // SAFETY: inside the array, which has as many words; volatile, since no code reads them before the reset.
        unsafe { KEPT.0.get().cast::<u32>().add(index).write_volatile(*word) };
    }
    cortex_m::asm::dsb();
}

/// Destroys the word that was written last, as a reset of an STM32H7 may.
#[cfg(feature = "arm-mps")]
pub(in crate::board) fn lose_last() {
    // SAFETY: the last word of the array; the caller resets the machine.
    unsafe { KEPT.0.get().cast::<u32>().add(WORDS - 1).write_volatile(u32::MAX) };
    cortex_m::asm::dsb();
}
