//! The device of a gateway: keeps a connection to the `edgetrust` of its location, sends telemetry, takes commands,
//! and renews its credential.
//!
//! | file | |
//! |---|---|
//! | `blobs.rs` `settings.rs` | the settings, from a partition of the flash |
//! | `clock.rs` `sntp.rs` | the time |
//! | `dial.rs` | resolution, connection, and handshake with an authenticated server |
//! | `http.rs` `websocket.rs` `telemetry.rs` `messages.rs` | the messages on the connection |
//! | `renewal.rs` `enroll.rs` `issued.rs` `verdict.rs` | two credential slots, renewal through the gateway, fallback on refusal |
//! | `device.rs` `progress.rs` | the sequence of sessions, and a sign that it goes on |

#![no_std]
#![no_main]

mod blobs;
mod clock;
mod device;
mod dial;
mod enroll;
mod http;
mod issued;
mod messages;
mod progress;
mod renewal;
mod settings;
mod sha1;
mod sntp;
mod telemetry;
mod verdict;
mod websocket;

use edgetrust_firmware::board::{self, Addresses, Board, Entropy, Flash, Port, ResetReason, Selected, Watchdog};
use edgetrust_firmware::random::ChaCha20Rng;
use edgetrust_firmware::stack;
use embassy_executor::{SpawnError, Spawner};
use embassy_net::{Runner, Stack, StackResources};
use embassy_time::{Duration, TimeoutError, Timer, with_timeout};
use rand_core::RngCore;
use static_cell::{ConstStaticCell, StaticCell};

use device::{Device, DeviceError};
use progress::alive;
use settings::Settings;

type Network = <Selected as Port>::Network;
type Dog = <Selected as Port>::Watchdog;

/// The number of sockets: DHCP, DNS, a connection, a time server.
const SOCKETS: usize = 4;

/// The time in seconds that one task of the device may take; the order of a certificate takes longest.
const PATIENCE_S: u32 = 240;
/// The watchdog's timeout, for hanging hardware and endless loops.
const WATCHDOG: Duration = Duration::from_secs(10);

#[cortex_m_rt::entry]
fn main() -> ! {
    match board::take() {
        Ok(taken) => board::run(|spawner| match start(spawner, taken) {
            Ok(task) => spawner.spawn(task),
            Err(_) => board::reset(),
        }),
        Err(error) => {
            defmt::error!("no board: {}", error);
            board::reset()
        }
    }
}

/// Feeds the watchdog while the device makes progress.
#[embassy_executor::task]
async fn heartbeat(mut watchdog: Dog) {
    watchdog.start(WATCHDOG);
    for second in 0_u32.. {
        if progress::silent_for() > PATIENCE_S {
            defmt::error!("stands still for {=u32} s", PATIENCE_S);
            board::reset();
        }
        watchdog.feed();
        if second.is_multiple_of(10) {
            defmt::info!("alive {=u32}, stack {}", second, stack::usage());
        }
        Timer::after_secs(1).await;
    }
}

#[embassy_executor::task]
async fn network(mut runner: Runner<'static, Network>) -> ! {
    runner.run().await
}

#[embassy_executor::task]
async fn run(device: &'static mut Device) {
    device.run().await;
}

/// Logs an error that only another image can mend, for ever.
#[embassy_executor::task]
async fn explain(error: DeviceError) {
    loop {
        alive();
        defmt::error!("settings: {}", error);
        Timer::after_secs(10).await;
    }
}

/// Makes the board's parts and starts the tasks. Nothing is awaited once there are parts: this task would hold them, and
/// its memory is never another's.
#[embassy_executor::task]
async fn start(spawner: Spawner, taken: Selected) {
    match with_timeout(Selected::READY_WITHIN, taken.parts(spawner)).await {
        Ok(Ok(parts)) => {
            if start_tasks(spawner, parts).is_err() {
                board::reset();
            }
        }
        Ok(Err(error)) => {
            defmt::error!("no board: {}", error);
            board::reset();
        }
        Err(TimeoutError) => {
            defmt::error!("no board: not ready in {=u64} s", Selected::READY_WITHIN.as_secs());
            board::reset();
        }
    }
}

/// Starts the tasks. Each step is out of line, so that its stack is released.
#[inline(never)]
fn start_tasks(spawner: Spawner, board: board::Parts) -> Result<(), SpawnError> {
    let Board { mut entropy, flash, network, addresses, watchdog, reset_reason } = board;
    defmt::info!("boot: {=str} {=str}, after {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"), reset_reason);
    let mut seed = [0; 32];
    if let Err(error) = entropy.fill(&mut seed) {
        defmt::error!("no entropy: {}", error);
        board::reset();
    }
    let mut rng = ChaCha20Rng::new(&seed);
    let net = connect(spawner, network, addresses, rng.next_u64())?;
    spawner.spawn(heartbeat(watchdog)?);
    match device(flash, net, rng, reset_reason) {
        Ok(device) => spawner.spawn(run(device)?),
        Err(error) => spawner.spawn(explain(error)?),
    }
    Ok(())
}

#[inline(never)]
fn connect(spawner: Spawner, driver: Network, addresses: Addresses, seed: u64) -> Result<Stack<'static>, SpawnError> {
    static RESOURCES: ConstStaticCell<StackResources<SOCKETS>> = ConstStaticCell::new(StackResources::new());
    let (net, runner) = embassy_net::new(driver, addresses.into(), RESOURCES.take(), seed);
    spawner.spawn(network(runner)?);
    Ok(net)
}

#[inline(never)]
fn device(
    mut flash: <Selected as Port>::Flash,
    net: Stack<'static>,
    rng: ChaCha20Rng,
    reset_reason: ResetReason,
) -> Result<&'static mut Device, DeviceError> {
    static DEVICE: StaticCell<Device> = StaticCell::new();
    let settings = Settings::read(&mut flash).map_err(DeviceError::Settings)?;
    Device::new(settings, flash.into_slots(), net, rng, reset_reason).map(|device| DEVICE.init(device))
}
