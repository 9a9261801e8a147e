//! Arm's MPS3 with the AN524 image (Cortex-M33 with TrustZone and without FPU, at 32 MHz), as QEMU's `mps3-an524` emulates
//! it. The drivers are those of `arm_mps`.
//!
//! The program stays in the Secure state that the processor starts in, and uses the Secure addresses (bit 28) of
//! peripherals and memory. TrustZone separates nothing here: after a reset all memory and peripherals are Secure.

use crate::board::arm_mps::map::{Interrupts, Map};

/// What is where on the board.
pub(super) const MAP: Map = Map {
    name: "mps3-an524",
    ticks_per_second: 32_000_000,
    timers: [0x5000_0000, 0x5000_1000],
    watchdog: 0x5008_1000,
    ethernet: 0x5140_0000,
    // 2 GiB of DDR4.
    flash: 0x6000_0000,
    interrupts: Interrupts { timers: [3, 4], ethernet: 48 },
};
