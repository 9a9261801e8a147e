//! Drives embassy's time with two CMSDK timers: one runs freely, one is the alarm.

use core::cell::RefCell;
use core::sync::atomic::{AtomicU32, Ordering};
use core::task::Waker;

use cortex_m::peripheral::SYST;
use cortex_m::peripheral::syst::SystClkSource;
use critical_section::Mutex;
use embassy_time_driver::{Driver, TICK_HZ};
use embassy_time_queue_utils::Queue;

use super::interrupts::{self, enable};
use super::registers::Registers;
use crate::board::MAP;

/// The frequency of the system clock in Hz. With `-icount shift=0` an instruction takes a nanosecond.
pub(super) const TICKS_PER_SECOND: u64 = MAP.ticks_per_second;
const PER_TICK_OF_EMBASSY: u64 = TICKS_PER_SECOND / TICK_HZ;
const _: () = assert!(TICKS_PER_SECOND.is_multiple_of(TICK_HZ));

// SAFETY: CMSDK APB timers of the board, used by this file alone.
const FREE: Registers = unsafe { Registers::at(MAP.timers[0]) };
// SAFETY: as above.
const ALARM: Registers = unsafe { Registers::at(MAP.timers[1]) };
const CTRL: usize = 0x0;
const VALUE: usize = 0x4;
const RELOAD: usize = 0x8;
/// The interrupt register: reads as status; writing one clears.
const INT: usize = 0xc;
const RUN: u32 = 1 << 3 | 1;

/// The first wrap of the counter comes after two seconds, later ones every two or three minutes: errors around a wrap show in
/// every run.
const FIRST: u32 = 2 * TICKS_PER_SECOND as u32;

static WRAPS: AtomicU32 = AtomicU32::new(0);

/// Returns the ticks since the start.
pub(super) fn ticks() -> u64 {
    critical_section::with(|_| {
        let mut wraps = WRAPS.load(Ordering::Relaxed);
        let mut value = FREE.read(VALUE);
        // The counter wrapped and the handler could not run yet: then `value` may be from either side. The counter
        // stays at zero for a tick before it is reloaded, and that tick belongs to the ending round.
        if FREE.read(INT) & 1 != 0 {
            value = FREE.read(VALUE);
            if value != 0 {
                wraps = wraps.wrapping_add(1);
            }
        }
        // The timer counts down. The sum is of a u32 and a multiple of 2^32, less at most what went before.
        ((u64::from(wraps) << 32) + u64::from(FIRST)).wrapping_sub(u64::from(value))
    })
}

struct Alarms {
    queue: Mutex<RefCell<Queue>>,
}

embassy_time_driver::time_driver_impl!(static ALARMS: Alarms = Alarms { queue: Mutex::new(RefCell::new(Queue::new())) });

impl Alarms {
    /// Sets the alarm; returns false if the time is past already.
    fn set(at: u64) -> bool {
        ALARM.write(CTRL, 0);
        ALARM.write(INT, 1);
        if at == u64::MAX {
            return true;
        }
        let due = at.saturating_mul(PER_TICK_OF_EMBASSY);
        let left = due.saturating_sub(ticks());
        if left == 0 {
            return false;
        }
        // An alarm that comes early finds no due timer, and is set again.
        let left = u32::try_from(left).unwrap_or(u32::MAX);
        ALARM.write(RELOAD, left);
        ALARM.write(VALUE, left);
        ALARM.write(CTRL, RUN);
        true
    }

    fn set_next(&self, queue: &mut Queue) {
        while !Self::set(queue.next_expiration(self.now())) {}
    }
}

impl Driver for Alarms {
    fn now(&self) -> u64 {
        ticks() / PER_TICK_OF_EMBASSY
    }

    fn schedule_wake(&self, at: u64, waker: &Waker) {
        critical_section::with(|cs| {
            let mut queue = self.queue.borrow_ref_mut(cs);
            if queue.schedule_wake(at, waker) {
                self.set_next(&mut queue);
            }
        });
    }
}

pub(super) fn start(pulse: SYST) {
    FREE.write(RELOAD, u32::MAX);
    FREE.write(VALUE, FIRST);
    FREE.write(INT, 1);
    FREE.write(CTRL, RUN);
    enable(interrupts::WRAPPED);
    enable(interrupts::ALARM);
    start_pulse(pulse);
}

/// Starts an interrupt every 4 ms. QEMU looks after its network when a timer of the guest is due: otherwise a frame
/// would wait for the guest's next deadline, which can be seconds away.
fn start_pulse(mut pulse: SYST) {
    pulse.set_clock_source(SystClkSource::Core);
    pulse.set_reload((TICKS_PER_SECOND / 250) as u32);
    pulse.clear_current();
    pulse.enable_counter();
    pulse.enable_interrupt();
}

#[cortex_m_rt::exception]
fn SysTick() {}

pub(super) extern "C" fn wrapped() {
    // The wrap is counted once the next round has begun, within a tick: `ticks` takes a zero for the end of an
    // uncounted round.
    while FREE.read(VALUE) == 0 {}
    FREE.write(INT, 1);
    WRAPS.store(WRAPS.load(Ordering::Relaxed).wrapping_add(1), Ordering::Relaxed);
}

pub(super) extern "C" fn alarm() {
    ALARM.write(CTRL, 0);
    ALARM.write(INT, 1);
    critical_section::with(|cs| ALARMS.set_next(&mut ALARMS.queue.borrow_ref_mut(cs)));
}
