//! Defines what the drivers need to know of a board: addresses and interrupts.

/// The addresses and interrupts of a board.
pub(crate) struct Map {
    /// The board's name.
    pub(crate) name: &'static str,
    /// The frequency of the system clock, which the timers and the watchdog count, in Hz.
    pub(crate) ticks_per_second: u64,
    /// The two CMSDK timers.
    pub(crate) timers: [usize; 2],
    /// The CMSDK watchdog.
    pub(crate) watchdog: usize,
    /// The LAN9118.
    pub(crate) ethernet: usize,
    /// The memory that QEMU can back with a file of the host and that serves as flash, outside of the program's memory.
    pub(crate) flash: usize,
    /// The numbers of the interrupts.
    pub(crate) interrupts: Interrupts,
}

/// The numbers of a board's interrupts.
pub(crate) struct Interrupts {
    /// Those of the CMSDK timers.
    pub(crate) timers: [u16; 2],
    /// That of the LAN9118.
    pub(crate) ethernet: u16,
}
