//! Arm's MPS2+ with the AN386 image (Cortex-M4F at 25 MHz), as QEMU's `mps2-an386` emulates it. The drivers are those of
//! `arm_mps`.

use crate::board::arm_mps::map::{Interrupts, Map};

/// What is where on the board.
pub(super) const MAP: Map = Map {
    name: "mps2-an386",
    ticks_per_second: 25_000_000,
    timers: [0x4000_0000, 0x4000_1000],
    watchdog: 0x4000_8000,
    ethernet: 0x4020_0000,
    // 16 MiB of PSRAM.
    flash: 0x2100_0000,
    interrupts: Interrupts { timers: [8, 9], ethernet: 13 },
};
