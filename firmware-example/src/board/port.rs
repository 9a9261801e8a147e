//! Defines what the application needs of a board.

use edgetrust_core::store::{NorFlashLayoutError, SlotMedium};
use embassy_executor::Spawner;
use embassy_time::Duration;

use super::ResetReason;

/// The interface that a port implements.
pub trait Port: Sized {
    /// The board's name for logs.
    const NAME: &'static str;
    /// The frequency of [`Port::ticks`] in Hz.
    const TICKS_PER_SECOND: u64;
    /// The source of secrets.
    type Entropy: Entropy;
    /// The storage of configuration and credentials.
    type Flash: Flash;
    /// The network driver, with frames of at least 1514 octets without FCS.
    type Ethernet: embassy_net_driver::Driver + 'static;
    /// The watchdog, which resets the board when the application hangs.
    type Watchdog: Watchdog;

    /// Sets the board up and returns its parts, once. The clock (embassy's time driver) runs afterwards.
    ///
    /// # Errors
    /// Fails if a part is missing, and at a second call.
    fn take() -> Result<Board<Self>, InitError>;

    /// Runs tasks for ever, and sleeps while no task is ready.
    fn run(init: impl FnOnce(Spawner)) -> !;

    /// Returns a counter for measurements that neither decreases nor wraps; finer than embassy's.
    fn ticks() -> u64;

    /// Returns the ticks that were slept through.
    fn idle_ticks() -> u64;

    /// Keeps a reason for the next start to find. Called once with interrupts off, in any context.
    fn remember(reason: &ResetReason);

    /// Restarts the machine with all its parts.
    fn restart() -> !;

    /// Returns the octets at the far end of the stack that were never written to, and the size of the stack in octets.
    fn painted_stack() -> (usize, usize);

    /// Repaints the free stack for measurements, but for a margin; returns the octets of stack in use.
    fn repaint_stack() -> usize;
}

/// The parts of a board.
pub struct Board<P: Port> {
    /// The source of random octets.
    pub entropy: P::Entropy,
    /// The storage of configuration and credentials.
    pub flash: P::Flash,
    /// The network driver.
    pub ethernet: P::Ethernet,
    /// The watchdog, not started yet.
    pub watchdog: P::Watchdog,
    /// The reason for which this run began.
    pub reset_reason: ResetReason,
}

/// The reason for which there is no board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum InitError {
    /// The parts were already returned.
    Taken,
    /// The network controller does not respond as expected.
    NoEthernet,
    /// The flash has no room for the credential slots where they should be.
    NoSlots(NorFlashLayoutError),
}

/// A hardware source of unpredictable octets. Seeds a generator; it may be slow.
pub trait Entropy {
    /// The error of the source.
    type Error: core::fmt::Debug + defmt::Format;

    /// Fills all of `out`, or fails: part of a seed is no seed.
    ///
    /// # Errors
    /// Fails if the source gives nothing or a health test fails. There is no fallback: nothing may be encrypted then.
    fn fill(&mut self, out: &mut [u8]) -> Result<(), Self::Error>;
}

/// Two regions: a read-only partition, and the slots for credentials.
pub trait Flash {
    /// The size of the partition in octets.
    const PARTITION_SIZE: usize;
    /// The two slots.
    type Slots: SlotMedium;

    /// Returns the partition, mapped for reading (configuration, trust anchors), and the slots.
    fn split(self) -> (&'static [u8], Self::Slots);
}

/// A watchdog that resets the board unless fed.
pub trait Watchdog {
    /// Starts the watchdog. A timeout beyond the hardware's maximum is cut to the maximum.
    fn start(&mut self, timeout: Duration);

    /// Restarts the timeout.
    fn feed(&mut self);
}
