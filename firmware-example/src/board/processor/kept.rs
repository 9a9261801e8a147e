//! Keeps the reset reason in a few words of memory that a reset leaves alone.

use core::cell::UnsafeCell;
use core::mem::MaybeUninit;

use crate::board::{REASON_WORDS, ResetReason};

struct Kept(UnsafeCell<MaybeUninit<[u32; REASON_WORDS]>>);

// SAFETY: `take_reason` is called once. `remember` is called with interrupts off and never returns to the interrupted
// code.
unsafe impl Sync for Kept {}

// SAFETY: the start-up code does not touch this section, and the type has no invalid values.
#[unsafe(link_section = ".uninit.reset_reason")]
static KEPT: Kept = Kept(UnsafeCell::new(MaybeUninit::uninit()));

pub(super) fn remember(reason: &ResetReason) {
    write(reason.to_words());
}

/// Returns the kept reason, and erases it.
pub(super) fn take_reason() -> ResetReason {
    let mut words = [0; REASON_WORDS];
    for (index, word) in words.iter_mut().enumerate() {
        // SAFETY: inside the array, which has as many words; volatile, since the compiler sees no write to them.
        *word = unsafe { KEPT.0.get().cast::<u32>().add(index).read_volatile() };
    }
    write([0; REASON_WORDS]);
    ResetReason::from_words(&words).unwrap_or(ResetReason::PowerOn)
}

fn write(words: [u32; REASON_WORDS]) {
    for (index, word) in words.into_iter().enumerate() {
        // SAFETY: inside the array, which has as many words; volatile, since no code reads them before the reset.
        unsafe { KEPT.0.get().cast::<u32>().add(index).write_volatile(word) };
    }
}
