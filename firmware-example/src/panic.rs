//! Ends a run that went wrong: logs the reason, keeps it over the reset, and resets the board.
//!
//! A gateway that stands still is out of reach, and a restart takes seconds. Any peer can make embedded-tls 0.19
//! panic, so this path is taken in practice: nothing here formats (the message of a panic would bring 20 KB of text
//! for it), and nothing here can fail.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::board::{self, PanicPlace, ResetReason};

static STOPPING: AtomicBool = AtomicBool::new(false);

// Inlined, since only then is it known that the messages of panics are never read, and the code that prepares them goes.
// The compiler warns that this function is not inlined into other crates; the optimizer of the whole image does it.
#[allow(unused_attributes)]
#[panic_handler]
#[inline(always)]
fn panic(info: &PanicInfo) -> ! {
    let place =
        info.location().map_or_else(PanicPlace::unknown, |at| PanicPlace::new(at.file(), at.line(), at.column()));
    stop(&ResetReason::Panic(place))
}

/// Keeps the reason, logs it, and resets. A nested call (a panic of the logger) resets at once: the first reason
/// counts.
pub(crate) fn stop(reason: &ResetReason) -> ! {
    cortex_m::interrupt::disable();
    if !STOPPING.swap(true, Ordering::Relaxed) {
        board::remember(reason);
        match reason {
            ResetReason::Requested => defmt::info!("{}", reason),
            _ => defmt::error!("stopped: {}", reason),
        }
    }
    board::restart()
}

/// Resets the board at the application's request.
pub fn reset() -> ! {
    stop(&ResetReason::Requested)
}
