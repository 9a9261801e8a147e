//! What the application needs of a board, and the one board that this build is for.
//!
//! A port is a folder beside `mps2`: a type that implements [`Port`] and what hangs off it, selected by a feature `board-…`.

mod reset_reason;

#[cfg(feature = "board-mps2")]
mod mps2;
#[cfg(feature = "board-mps2")]
pub use mps2::Mps2 as Selected;

#[cfg(all(feature = "board-mps2", feature = "rig"))]
pub use mps2::rig;

use edgetrust_core::store::SlotMedium;
use embassy_executor::Spawner;
use embassy_time::Duration;
pub use reset_reason::{PanicPlace, REASON_WORDS, ResetReason};

/// All that a port implements.
pub trait Port: Sized {
    /// For logs.
    const NAME: &'static str;
    /// What [`Port::ticks`] counts in a second.
    const TICKS_PER_SECOND: u64;
    /// Where secrets come from.
    type Entropy: Entropy;
    /// Where configuration and credentials are kept.
    type Flash: Flash;
    /// Frames of at least 1514 octets, without FCS.
    type Ethernet: embassy_net_driver::Driver + 'static;
    /// Brings the board back when the application hangs.
    type Watchdog: Watchdog;

    /// Sets the board up and hands its parts out, once. The clock (embassy's time driver) runs afterwards.
    ///
    /// # Errors
    /// A part that is not there, or a second call.
    fn take() -> Result<Board<Self>, InitError>;

    /// Runs tasks for ever, and sleeps where there is nothing to do.
    fn run(init: impl FnOnce(Spawner)) -> !;

    /// A counter that never goes back or round, for measurements; finer than embassy's.
    fn ticks() -> u64;

    /// Of them, those that were slept through.
    fn idle_ticks() -> u64;

    /// Keeps a reason where the next start finds it. Called with interrupts off, from anywhere, once.
    fn remember(reason: &ResetReason);

    /// Starts the machine again, and all its parts with it.
    fn restart() -> !;

    /// Octets at the far end of the stack that were never written to, and octets of the whole stack.
    fn painted_stack() -> (usize, usize);

    /// For measurements: gives what is free of the stack its colour again, but for a margin; octets of the stack that are in use.
    fn repaint_stack() -> usize;
}

/// The parts of a board.
pub struct Board<P: Port> {
    /// Random octets.
    pub entropy: P::Entropy,
    /// Configuration and credentials.
    pub flash: P::Flash,
    /// The network.
    pub ethernet: P::Ethernet,
    /// Not started yet.
    pub watchdog: P::Watchdog,
    /// Why this run began.
    pub reset_reason: ResetReason,
}

/// Why there is no board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum InitError {
    /// The parts were handed out already.
    Taken,
    /// The network controller does not answer as it should.
    NoEthernet,
}

/// Octets that nobody can foretell, from hardware. Seeds a generator; it may be slow.
pub trait Entropy {
    /// What can fail.
    type Error: core::fmt::Debug + defmt::Format;

    /// Fills all of `out`, or fails: part of a seed is no seed.
    ///
    /// # Errors
    /// The source gave nothing, or a health test failed. There is no second best: nothing may be encrypted then.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Self::Error>;
}

/// Two regions: one that is read only, one that holds credentials.
pub trait Flash {
    /// Octets of the partition.
    const PARTITION_SIZE: usize;
    /// The two slots.
    type Slots: SlotMedium;

    /// The partition, mapped for reading (configuration, trust anchors), and the slots.
    fn split(self) -> (&'static [u8], Self::Slots);
}

/// Resets the board when nobody feeds it.
pub trait Watchdog {
    /// Starts it. What is longer than the hardware can wait is cut to that.
    fn start(&mut self, timeout: Duration);

    /// Another timeout from now.
    fn feed(&mut self);
}

/// The parts of the selected board.
pub type Parts = Board<Selected>;

/// [`Port::take`] of the selected board.
///
/// # Errors
/// The port's.
pub fn take() -> Result<Parts, InitError> {
    Selected::take()
}

/// [`Port::run`] of the selected board.
pub fn run(init: impl FnOnce(Spawner)) -> ! {
    Selected::run(init)
}

/// A reset that the application asks for.
pub fn reset() -> ! {
    crate::panic::stop(&ResetReason::Requested)
}

/// [`Port::ticks`] of the selected board.
#[must_use]
pub fn ticks() -> u64 {
    Selected::ticks()
}

/// [`Port::idle_ticks`] of the selected board.
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
