//! Selects the board of this build; `port.rs` defines what the application needs of a board.
//!
//! A port is a folder of the board's name: a type that implements [`Port`] with its associated types, selected by a
//! feature `board-…`; `firmware-example/boards` has its target. `template/` is one to copy. `processor/` and
//! `partition.rs` are for all boards, `arm_mps/` for two of Arm's.

mod addresses;
mod partition;
mod port;
mod processor;
mod reset_reason;
mod write_once;

#[cfg(feature = "arm-mps")]
mod arm_mps;
#[cfg(feature = "board-mps2-an386")]
mod mps2_an386;
#[cfg(feature = "board-mps3-an524")]
mod mps3_an524;

#[cfg(feature = "board-template")]
mod template;

#[cfg(feature = "arm-mps")]
pub use arm_mps::ArmMps as Selected;
#[cfg(all(feature = "arm-mps", feature = "rig"))]
pub use arm_mps::rig;
#[cfg(feature = "board-mps2-an386")]
use mps2_an386::MAP;
#[cfg(feature = "board-mps3-an524")]
use mps3_an524::MAP;
#[cfg(feature = "board-template")]
pub use template::Template as Selected;

use embassy_executor::Spawner;

pub use crate::panic::reset;
pub use addresses::Addresses;
pub use partition::{Copied, Layout, Mapped, PartitionError};
pub use port::{Board, Entropy, Flash, InitError, Port, Watchdog};
pub use processor::is_code;
pub(crate) use processor::{painted_stack, repaint_stack};
pub use reset_reason::{PanicPlace, REASON_WORDS, ResetReason};
pub use write_once::{WriteOnce, WriteOnceError};

/// The parts of the selected board.
pub type Parts = Board<Selected>;

/// Calls [`Port::take`] of the selected board.
///
/// # Errors
/// Returns the port's error.
pub fn take() -> Result<Selected, InitError> {
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
