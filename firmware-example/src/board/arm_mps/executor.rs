//! Runs embassy's executor with a sleep of its own.
//!
//! embassy's `executor-thread` waits with WFE, which QEMU treats as no operation: a core of the host spins, and
//! instruction counts include the spinning.

use core::cell::Cell;
use core::sync::atomic::{AtomicBool, Ordering};

use critical_section::Mutex;
use embassy_executor::{Spawner, raw};
use static_cell::StaticCell;

static WOKEN: AtomicBool = AtomicBool::new(false);
static IDLE: Mutex<Cell<u64>> = Mutex::new(Cell::new(0));

// SAFETY: the name and type that embassy-executor requires; defined only here, since no executor of embassy's is
// enabled.
#[unsafe(export_name = "__pender")]
fn pender(_: *mut ()) {
    WOKEN.store(true, Ordering::Release);
}

pub(super) fn idle_ticks() -> u64 {
    critical_section::with(|cs| IDLE.borrow(cs).get())
}

pub(super) fn run(init: impl FnOnce(Spawner)) -> ! {
    static EXECUTOR: StaticCell<raw::Executor> = StaticCell::new();
    let executor: &'static raw::Executor = EXECUTOR.init(raw::Executor::new(core::ptr::null_mut()));
    init(executor.spawner());
    loop {
        // SAFETY: this is the executor's only poll, in thread mode, and `pender` does not poll.
        unsafe { executor.poll() };
        while !WOKEN.swap(false, Ordering::Acquire) {
            // Check and sleep are one critical section: an interrupt between them would be slept through. A pending
            // interrupt ends WFI even when masked, and runs when the section ends.
            critical_section::with(|cs| {
                if !WOKEN.load(Ordering::Acquire) {
                    let before = super::clock::ticks();
                    cortex_m::asm::wfi();
                    let idle = IDLE.borrow(cs);
                    idle.set(idle.get() + (super::clock::ticks() - before));
                }
            });
        }
    }
}
