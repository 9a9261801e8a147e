//! Supports boards of Arm's MPS family, as QEMU emulates them: the drivers of what they have in common. What differs is in
//! the map of each (`map.rs`).

#![allow(unsafe_code, reason = "registers, memory beside the program's own, interrupt handlers")]

mod clock;
mod entropy;
mod executor;
mod flash;
mod interrupts;
mod lan9118;
pub(super) mod map;
mod registers;
#[cfg(feature = "rig")]
pub mod rig;
mod vectors;
mod watchdog;

use defmt_semihosting as _;
use embassy_executor::Spawner;
use embassy_time::Duration;

use super::{Addresses, Board, InitError, MAP, Port, ResetReason};
use crate::board::processor::kept;

/// A board of the family, with its clock running.
pub struct ArmMps(());

/// Looks at the network's link.
#[embassy_executor::task]
async fn link(runner: lan9118::LinkRunner) -> ! {
    runner.run().await
}

impl Port for ArmMps {
    const NAME: &'static str = MAP.name;
    const TICKS_PER_SECOND: u64 = clock::TICKS_PER_SECOND;
    const READY_WITHIN: Duration = Duration::from_secs(5);
    type Entropy = entropy::HostEntropy;
    type Flash = flash::EmulatedFlash;
    type Network = lan9118::Lan9118;
    type Watchdog = watchdog::ApbWatchdog;

    fn take() -> Result<Self, InitError> {
        let core = cortex_m::Peripherals::take().ok_or(InitError::Taken)?;
        #[cfg(feature = "stack-guard-mpu")]
        super::processor::guard::guard_stack(&core.MPU);
        clock::start(core.SYST);
        #[cfg(feature = "rig")]
        rig::start();
        Ok(Self(()))
    }

    async fn parts(self, spawner: Spawner) -> Result<Board<Self>, InitError> {
        let (network, runner) = lan9118::Lan9118::new().await.ok_or(InitError::NoNetwork)?;
        spawner.spawn(link(runner)?);
        Ok(Board {
            entropy: entropy::HostEntropy::new(),
            flash: flash::open().map_err(InitError::NoSlots)?,
            network,
            addresses: addresses(),
            watchdog: watchdog::ApbWatchdog::new(),
            reset_reason: kept::take(),
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
        kept::keep(reason);
    }

    fn restart() -> ! {
        // What the memory of other parts may do.
        kept::lose_last();
        cortex_m::peripheral::SCB::sys_reset()
    }
}

#[cfg(not(feature = "rig"))]
fn addresses() -> Addresses {
    Addresses::Dhcp
}

/// Returns the addresses that the host sets, or else those of DHCP.
#[cfg(feature = "rig")]
fn addresses() -> Addresses {
    rig::addresses().map_or(Addresses::Dhcp, Addresses::Static)
}
