//! Selects the board of this build; `port.rs` defines what the application needs of a board.
//!
//! A port is a folder beside `mps2`: a type that implements [`Port`] with its associated types, selected by a feature
//! `board-…`.

mod port;
mod reset_reason;

#[cfg(feature = "board-mps2")]
mod mps2;
#[cfg(feature = "board-mps2")]
pub use mps2::Mps2 as Selected;

#[cfg(all(feature = "board-mps2", feature = "rig"))]
pub use mps2::rig;

use embassy_executor::Spawner;

pub use crate::panic::reset;
pub use port::{Board, Entropy, Flash, InitError, Port, Watchdog};
pub use reset_reason::{PanicPlace, REASON_WORDS, ResetReason};

/// The parts of the selected board.
pub type Parts = Board<Selected>;

/// Calls [`Port::take`] of the selected board.
///
/// # Errors
/// Returns the port's error.
pub fn take() -> Result<Parts, InitError> {
    Selected::take()
}

/// Calls [`Port::run`] of the selected board.
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    Selected::run(init)
}

/// Calls [`Port::ticks`] of the selected board.
#[must_use]
pub fn ticks() -> u64 {
    Selected::ticks()
}

/// Calls [`Port::idle_ticks`] of the selected board.
#[must_use]
pub fn idle_ticks() -> u64 {
    Selected::idle_ticks()
}

pub(crate) fn remember(reason: &ResetReason) {
    Selected::remember(reason);
}

pub(crate) fn restart() -> ! {
    Selected::restart()
}

pub(crate) fn painted_stack() -> (usize, usize) {
    Selected::painted_stack()
}

pub(crate) fn repaint_stack() -> usize {
    Selected::repaint_stack()
}
