//! Drives the CMSDK APB watchdog: the first timeout is an NMI, the second resets the machine.

use embassy_time::Duration;

use super::clock::TICKS_PER_SECOND;
use super::registers::Registers;
use crate::board::{MAP, Watchdog};

// SAFETY: the CMSDK APB watchdog of the board, used by this file alone.
const WATCHDOG: Registers = unsafe { Registers::at(MAP.watchdog) };
const LOAD: usize = 0x0;
const CONTROL: usize = 0x8;
const INTCLR: usize = 0xc;
const LOCK: usize = 0xc00;
const UNLOCK: u32 = 0x1acc_e551;
/// The control bits for interrupt (here the NMI) and reset.
const ON: u32 = 0b11;

/// The APB watchdog. The NMI keeps the place of the hang, and resets; if the NMI cannot run, the hardware resets after
/// another timeout.
pub struct ApbWatchdog(());

impl ApbWatchdog {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl Watchdog for ApbWatchdog {
    fn start(&mut self, timeout: Duration) {
        let ticks = timeout.as_micros().saturating_mul(TICKS_PER_SECOND / 1_000_000);
        WATCHDOG.write(LOCK, UNLOCK);
        WATCHDOG.write(LOAD, u32::try_from(ticks).unwrap_or(u32::MAX).max(1));
        WATCHDOG.write(INTCLR, 1);
        WATCHDOG.write(CONTROL, ON);
        // A stray write must not stop the watchdog.
        WATCHDOG.write(LOCK, 0);
    }

    fn feed(&mut self) {
        WATCHDOG.write(LOCK, UNLOCK);
        WATCHDOG.write(INTCLR, 1);
        WATCHDOG.write(LOCK, 0);
    }
}

/// Stops the watchdog: after a power cut the board must not restart by itself.
#[cfg(feature = "rig")]
pub(super) fn stop() {
    WATCHDOG.write(LOCK, UNLOCK);
    WATCHDOG.write(CONTROL, 0);
}
