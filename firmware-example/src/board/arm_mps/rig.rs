//! Connects tests to the board: by a page in the flash's file, the host sets when the power goes, when the flash
//! fails, how fast time passes, and addresses.
//!
//! Words, little-endian: 0 the magic, without which the page is ignored; 1 the operation of the flash at which power
//! is lost (each erased sector and each programmed word is one, counted from the start; 0: never); 2 the operations so
//! far; 3 [`LOST`] after the loss of power; 4 the rate of the application's clock; 5 the first operation of the flash
//! that fails; 6 the number of failures; 7 the board's own address (its first octet is the lowest; 0: by DHCP), 8 the
//! length of its network's prefix, 9 the gateway, which is the DNS server too. The host writes 0, 1, 4 and 7 to 9
//! before it starts QEMU, 5 and then 6 at any time, and kills QEMU once it reads [`LOST`].

use embassy_net::{Ipv4Address, Ipv4Cidr, StaticConfigV4};

use super::registers::Registers;
use crate::board::MAP;

// SAFETY: the emulated flash behind the slots, outside of the program's memory.
const PAGE: Registers = unsafe { Registers::at(MAP.flash + 0x2_0000) };
const MAGIC: u32 = 0x5249_4731;
/// The value of word 3 after the loss of power.
pub const LOST: u32 = 0xdead;

const MAGIC_AT: usize = 0;
const CUT_AT: usize = 4;
const OPERATIONS: usize = 8;
const STATE: usize = 12;
const RATE: usize = 16;
const FAILS_FROM: usize = 20;
const FAILS: usize = 24;
const ADDRESS: usize = 28;
const PREFIX: usize = 32;
const GATEWAY: usize = 36;

fn present() -> bool {
    PAGE.read(MAGIC_AT) == MAGIC
}

/// Returns the seconds of the application's clock in one second, if the host set a rate.
#[must_use]
pub fn clock_rate() -> Option<u32> {
    Some(PAGE.read(RATE)).filter(|rate| present() && *rate > 0)
}

/// Returns the addresses that the host set.
pub(super) fn addresses() -> Option<StaticConfigV4> {
    let address = |at| Ipv4Address::from(PAGE.read(at).to_le_bytes());
    if !present() || PAGE.read(ADDRESS) == 0 {
        return None;
    }
    let prefix = u8::try_from(PAGE.read(PREFIX)).ok().filter(|prefix| *prefix <= 32)?;
    let gateway = address(GATEWAY);
    let dns_servers = [gateway].into_iter().collect();
    Some(StaticConfigV4 { address: Ipv4Cidr::new(address(ADDRESS), prefix), gateway: Some(gateway), dns_servers })
}

pub(super) fn start() {
    if present() {
        PAGE.write(OPERATIONS, 0);
        PAGE.write(STATE, 0);
    }
}

/// The fate of a flash operation.
pub(super) enum Operation {
    Done,
    /// The flash reports an error.
    Fails,
    /// Power is lost in the middle of the operation.
    Cut,
}

/// Counts an operation, and returns its fate.
pub(super) fn operation() -> Operation {
    if !present() {
        return Operation::Done;
    }
    let number = PAGE.read(OPERATIONS).wrapping_add(1);
    PAGE.write(OPERATIONS, number);
    let fails = number.checked_sub(PAGE.read(FAILS_FROM)).is_some_and(|since| since < PAGE.read(FAILS));
    match number {
        cut if cut == PAGE.read(CUT_AT) => Operation::Cut,
        _ if fails => Operation::Fails,
        _ => Operation::Done,
    }
}

/// Stops everything: no interrupt and no watchdog runs any more.
pub(super) fn lose_power() -> ! {
    cortex_m::interrupt::disable();
    super::watchdog::stop();
    super::interrupts::silence();
    PAGE.write(STATE, LOST);
    loop {
        cortex_m::asm::wfi();
    }
}
