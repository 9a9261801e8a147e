//! Measures the cost of the parts on this processor, in instructions and octets of stack: `bench FILE` writes a line
//! for each to a file of the host. The counts are meaningful with QEMU's `-icount shift=0`; `tests/firmware-bench`
//! runs it. `cargo run -p edgetrust-tests --bin bench-fixtures` makes the certificates.

#![no_std]
#![no_main]

mod core_work;
mod floor;
mod report;
#[cfg(not(feature = "portable-p256"))]
mod tls;

use core::ffi::CStr;

use edgetrust_firmware::board::{self, Flash, Port, Selected};
use embassy_executor::Spawner;
use semihosting::experimental::env;
use semihosting::fs::File;
use semihosting::process::exit;

use report::{Report, give_up};

#[cortex_m_rt::entry]
fn main() -> ! {
    let Ok(taken) = board::take() else { give_up("no board") };
    board::run(|spawner| match measure(spawner, taken) {
        Ok(task) => spawner.spawn(task),
        Err(_) => give_up("no task"),
    })
}

#[embassy_executor::task]
async fn measure(spawner: Spawner, taken: Selected) {
    let Ok(parts) = taken.parts(spawner).await else { give_up("no board") };
    let Some(file) = file() else { give_up("expected the argument FILE, which can be written to") };
    let mut report = Report::new(file);
    report.measure("nothing", || ());
    floor::measure(&mut report);
    // With both sides in one program, portable P-256 has not enough stack.
    #[cfg(not(feature = "portable-p256"))]
    tls::measure(&mut report);
    core_work::measure(&mut report, parts.flash.into_slots());
    exit(0)
}

fn file() -> Option<File> {
    let arguments = env::args::<600>().ok()?;
    let mut path = heapless::Vec::<u8, 512>::from_slice((&arguments).nth(1)?.ok()?.as_bytes()).ok()?;
    path.push(0).ok()?;
    File::create(CStr::from_bytes_with_nul(&path).ok()?).ok()
}
