//! Supports Arm's MPS2+ with the AN386 image (Cortex-M4F at 25 MHz), as QEMU's `mps2-an386` emulates it.
//!
//! All unsafe code of this package is in this folder.

#![allow(unsafe_code, reason = "registers, memory beside the program's own, exception handlers")]

mod clock;
mod entropy;
mod ethernet;
mod executor;
mod fault;
mod flash;
mod interrupts;
mod memory;
mod registers;
mod reset;
#[cfg(feature = "rig")]
pub mod rig;
mod vectors;
mod watchdog;

use defmt_semihosting as _;
use embassy_executor::Spawner;

use super::{Board, InitError, Port, ResetReason};

/// The board.
pub struct Mps2;

impl Port for Mps2 {
    const NAME: &'static str = "mps2-an386";
    const TICKS_PER_SECOND: u64 = clock::TICKS_PER_SECOND;
    type Entropy = entropy::HostEntropy;
    type Flash = flash::EmulatedFlash;
    type Ethernet = ethernet::Lan9118;
    type Watchdog = watchdog::ApbWatchdog;

    fn take() -> Result<Board<Self>, InitError> {
        let core = cortex_m::Peripherals::take().ok_or(InitError::Taken)?;
        memory::guard_stack(&core.MPU);
        clock::start(core.SYST);
        #[cfg(feature = "rig")]
        rig::start();
        Ok(Board {
            entropy: entropy::HostEntropy::new(),
            flash: flash::EmulatedFlash::new().map_err(InitError::NoSlots)?,
            ethernet: ethernet::Lan9118::new().ok_or(InitError::NoEthernet)?,
            watchdog: watchdog::ApbWatchdog::new(),
            reset_reason: reset::take_reason(),
        })
    }

    fn run(init: impl FnOnce(Spawner)) -> ! {
        executor::run(init)
    }

    fn ticks() -> u64 {
        clock::ticks()
    }

    fn idle_ticks() -> u64 {
        executor::idle_ticks()
    }

    fn remember(reason: &ResetReason) {
        reset::remember(reason);
    }

    fn restart() -> ! {
        cortex_m::peripheral::SCB::sys_reset()
    }

    fn painted_stack() -> (usize, usize) {
        memory::painted_stack()
    }

    fn repaint_stack() -> usize {
        memory::repaint_stack()
    }
}
