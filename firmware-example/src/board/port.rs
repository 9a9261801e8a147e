//! Defines what the application needs of a board.

use edgetrust_core::store::{NorFlashLayoutError, SlotMedium};
use embassy_executor::{SpawnError, Spawner};
use embassy_time::Duration;

use super::addresses::Addresses;
use super::reset_reason::ResetReason;

/// The interface that a port implements.
pub trait Port: Sized + 'static {
    /// The board's name for logs.
    const NAME: &'static str;
    /// The frequency of [`Port::ticks`] in Hz.
    const TICKS_PER_SECOND: u64;
    /// The time that [`Port::parts`] may take: a part that does not answer must not stop the board for ever.
    const READY_WITHIN: Duration;
    /// The source of secrets.
    type Entropy: Entropy;
    /// The storage of configuration and credentials.
    type Flash: Flash;
    /// The network driver: Ethernet with frames of at least 1514 octets without FCS, or IP with packets of 1500.
    type Network: embassy_net_driver::Driver + 'static;
    /// The watchdog, which resets the board when the application hangs.
    type Watchdog: Watchdog;

    /// Takes the board, once. The clock (embassy's time driver) runs afterwards, and the end of the stack is guarded.
    ///
    /// # Errors
    /// Fails at a second call.
    fn take() -> Result<Self, InitError>;

    /// Makes the parts of the board. It may wait, and spawns the tasks that its drivers need ("runners").
    ///
    /// # Errors
    /// Fails if a part is missing, or a task cannot be spawned.
    fn parts(self, spawner: Spawner) -> impl Future<Output = Result<Board<Self>, InitError>>;

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
}

/// The parts of a board.
pub struct Board<P: Port> {
    /// The source of random octets.
    pub entropy: P::Entropy,
    /// The storage of configuration and credentials.
    pub flash: P::Flash,
    /// The network driver.
    pub network: P::Network,
    /// The source of the addresses on that network.
    pub addresses: Addresses,
    /// The watchdog, not started yet.
    pub watchdog: P::Watchdog,
    /// The reason for which this run began.
    pub reset_reason: ResetReason,
}

/// The reason for which there is no board.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum InitError {
    /// The board was already taken.
    Taken,
    /// The network controller does not respond as expected.
    NoNetwork,
    /// The flash has no room for the credential slots where they should be.
    NoSlots(NorFlashLayoutError),
    /// A driver's task cannot be spawned: it runs already.
    NoTask,
}

impl From<SpawnError> for InitError {
    fn from(_: SpawnError) -> Self {
        Self::NoTask
    }
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

/// Two regions: a read-only partition (configuration, trust anchors, the factory's credential), and the slots for
/// credentials. [`Mapped`](super::Mapped) and [`Copied`](super::Copied) implement it for any NOR flash.
pub trait Flash {
    /// The error of reading the partition.
    type Error: core::fmt::Debug + defmt::Format;
    /// The two slots.
    type Slots: SlotMedium;

    /// Returns the size of the partition in octets.
    fn partition_size(&self) -> usize;

    /// Reads octets of the partition.
    ///
    /// # Errors
    /// Fails if the octets are not all in the partition, or the flash fails.
    fn read(&mut self, offset: usize, out: &mut [u8]) -> Result<(), Self::Error>;

    /// Returns octets of the partition that stay: mapped, or copied to memory.
    ///
    /// # Errors
    /// As [`Flash::read`], and if the memory for copies is used up.
    fn keep(&mut self, offset: usize, octets: usize) -> Result<&'static [u8], Self::Error>;

    /// Returns the slots; the partition is not read any more.
    fn into_slots(self) -> Self::Slots;
}

/// A watchdog that resets the board unless fed.
pub trait Watchdog {
    /// Starts the watchdog. A timeout beyond the hardware's maximum is cut to the maximum.
    fn start(&mut self, timeout: Duration);

    /// Restarts the timeout.
    fn feed(&mut self);
}
