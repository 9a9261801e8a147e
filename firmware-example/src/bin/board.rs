#![no_std]
#![no_main]
use edgetrust_firmware::board;
#[cortex_m_rt::entry]
fn main() -> ! {
    let _ = board::take();
    board::reset()
}
