//! A port to copy: it compiles, and each of its parts fails until there is hardware behind it. `docs/FIRMWARE.md` says what each
//! part must do.
//!
//! It has what the boards of QEMU do not: a network of IP packets as a modem has it, with an address of its own, embassy's
//! executor, and flash that only its driver reads.

mod flash;
mod modem;

use embassy_executor::{Executor, Spawner};
use embassy_time::{Duration, Instant, TICK_HZ};
use static_cell::{ConstStaticCell, StaticCell};

use super::processor::kept;
use super::{Addresses, Board, Copied, Entropy, InitError, Layout, Port, ResetReason, Watchdog};

/// Where everything lies in the flash: whole sectors.
const LAYOUT: Layout =
    Layout { partition: 0xe_0000, partition_size: 0x1_0000, slot_a: 0xf_0000, slot_b: 0xf_8000, slot_size: 0x8000 };

/// The board. It has the peripherals that `take` gets and `parts` gives to the drivers.
pub struct Template(());

/// Runs what the modem's driver needs.
#[embassy_executor::task]
async fn modem_runner(runner: modem::Runner) -> ! {
    runner.run().await
}

impl Port for Template {
    const NAME: &'static str = "template";
    const TICKS_PER_SECOND: u64 = TICK_HZ;
    // A modem that has to find its network takes minutes.
    const READY_WITHIN: Duration = Duration::from_secs(300);
    type Entropy = NoEntropy;
    type Flash = Copied<flash::Driver>;
    type Network = modem::Driver;
    type Watchdog = NoWatchdog;

    // With embassy: `embassy_…::init(config)`, which starts the time driver. A board of Armv7-M guards its stack here.
    fn take() -> Result<Self, InitError> {
        cortex_m::Peripherals::take().map(|_| Self(())).ok_or(InitError::Taken)
    }

    async fn parts(self, spawner: Spawner) -> Result<Board<Self>, InitError> {
        /// What the device keeps of its partition: a configuration of 2 KiB, four CAs, a certificate and a key.
        static KEPT: ConstStaticCell<[u8; 8 * 1024]> = ConstStaticCell::new([0; 8 * 1024]);
        let (network, runner) = modem::start().await.ok_or(InitError::NoNetwork)?;
        spawner.spawn(modem_runner(runner)?);
        Ok(Board {
            entropy: NoEntropy,
            flash: Copied::new(flash::Driver, KEPT.take(), LAYOUT).map_err(InitError::NoSlots)?,
            addresses: Addresses::Static(network.addresses()),
            network,
            watchdog: NoWatchdog,
            reset_reason: kept::take(),
        })
    }

    fn run(init: impl FnOnce(Spawner)) -> ! {
        static EXECUTOR: StaticCell<Executor> = StaticCell::new();
        EXECUTOR.init(Executor::new()).run(init)
    }

    fn ticks() -> u64 {
        Instant::now().as_ticks()
    }

    fn idle_ticks() -> u64 {
        0
    }

    fn remember(reason: &ResetReason) {
        kept::keep(reason);
    }

    fn restart() -> ! {
        cortex_m::peripheral::SCB::sys_reset()
    }
}

/// The chip's random number generator, with its health tests on.
pub struct NoEntropy;

impl Entropy for NoEntropy {
    type Error = ();

    fn fill(&mut self, _: &mut [u8]) -> Result<(), ()> {
        Err(())
    }
}

/// The chip's watchdog.
pub struct NoWatchdog;

impl Watchdog for NoWatchdog {
    fn start(&mut self, _: Duration) {}

    fn feed(&mut self) {}
}
