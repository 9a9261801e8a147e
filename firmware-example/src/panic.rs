//! The end of a run that went wrong: say it, keep it over the reset, start again.
//!
//! A gateway that stands still is out of reach, and a restart takes seconds. embedded-tls 0.19 can be made to panic by whoever answers the
//! connection, so this is a way that is really taken: nothing here formats (the message of a panic would bring 20 KB of text for it), nothing
//! here can fail.

use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

use crate::board::{self, PanicPlace, ResetReason};

static STOPPING: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo) -> ! {
    let place =
        info.location().map_or_else(PanicPlace::unknown, |at| PanicPlace::new(at.file(), at.line(), at.column()));
    stop(&ResetReason::Panic(place))
}

/// Keeps why, says it, resets. Called again on the way (a panic of the logger), it resets at once: the first reason is the one that counts.
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
