//! Emulates flash in the board's 16 MiB of PSRAM, which QEMU can back with a file of the host: programmed octets
//! persist in the next run.
//!
//! | offset | octets | |
//! |---|---|---|
//! | 0x0 | 64 KiB | the partition |
//! | 0x10000 | 16 KiB | slot A |
//! | 0x14000 | 16 KiB | slot B |
//! | 0x20000 | | the rig's page (`rig.rs`) |

use edgetrust_core::store::{Slot, SlotMedium};

use super::memory::PSRAM;
#[cfg(feature = "rig")]
use super::rig;
use crate::board::Flash;

const PARTITION: usize = 64 * 1024;
const SLOTS: [usize; 2] = [0x1_0000, 0x1_4000];
const SLOT: u32 = 16 * 1024;
const SECTOR: usize = 4096;
/// The size of the unit of programming in octets.
const WORD: usize = 8;

/// The emulated flash.
pub struct EmulatedFlash(());

/// The two slots of the flash.
pub struct EmulatedSlots(());

/// The reason for which the flash refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum FlashError {
    /// The range exceeds the slot.
    OutOfBounds,
    /// The offset or length is not a multiple of the word size.
    NotAligned,
    /// The flash failed, as the test rig demanded.
    #[cfg(feature = "rig")]
    Failed,
    /// A word has been programmed since the last erase.
    NotErased {
        /// The offset in the slot.
        offset: u32,
    },
}

impl EmulatedFlash {
    pub(super) const fn new() -> Self {
        Self(())
    }
}

impl Flash for EmulatedFlash {
    const PARTITION_SIZE: usize = PARTITION;
    type Slots = EmulatedSlots;

    fn split(self) -> (&'static [u8], EmulatedSlots) {
        // SAFETY: PSRAM exists as long as the board does, and is outside of the program's memory. No code here writes
        // to the partition, and the host does so only while no QEMU runs on the file.
        let partition = unsafe { core::slice::from_raw_parts(PSRAM as *const u8, PARTITION) };
        (partition, EmulatedSlots(()))
    }
}

/// Returns the address of `octets` octets in a slot, if they are within the slot.
fn place(slot: Slot, offset: u32, octets: usize) -> Result<usize, FlashError> {
    let end = u32::try_from(octets).ok().and_then(|octets| offset.checked_add(octets));
    if end.is_none_or(|end| end > SLOT) {
        return Err(FlashError::OutOfBounds);
    }
    let [a, b] = SLOTS;
    let start = match slot {
        Slot::A => a,
        Slot::B => b,
    };
    Ok(PSRAM + start + offset as usize)
}

/// Reads an octet; volatile, since the host shares the memory.
fn get(address: usize) -> u8 {
    // SAFETY: callers pass addresses that `place` made: PSRAM, outside of the program's memory.
    unsafe { (address as *const u8).read_volatile() }
}

fn set(address: usize, octet: u8) {
    // SAFETY: as above, and outside of the partition, to which there are references.
    unsafe { (address as *mut u8).write_volatile(octet) }
}

impl SlotMedium for EmulatedSlots {
    type Error = FlashError;
    const WRITE_SIZE: u32 = WORD as u32;

    fn capacity(&self) -> u32 {
        SLOT
    }

    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), FlashError> {
        let from = place(slot, offset, out.len())?;
        for (octet, address) in out.iter_mut().zip(from..) {
            *octet = get(address);
        }
        Ok(())
    }

    fn erase(&mut self, slot: Slot) -> Result<(), FlashError> {
        let start = place(slot, 0, SLOT as usize)?;
        for sector in (start..start + SLOT as usize).step_by(SECTOR) {
            #[cfg(feature = "rig")]
            match rig::operation() {
                rig::Operation::Done => {}
                rig::Operation::Fails => return Err(FlashError::Failed),
                rig::Operation::Cut => {
                    (sector..sector + SECTOR / 2).for_each(|address| set(address, 0xff));
                    rig::lose_power();
                }
            }
            (sector..sector + SECTOR).for_each(|address| set(address, 0xff));
        }
        Ok(())
    }

    fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> Result<(), FlashError> {
        let start = place(slot, offset, octets.len())?;
        if !offset.is_multiple_of(Self::WRITE_SIZE) || !octets.len().is_multiple_of(WORD) {
            return Err(FlashError::NotAligned);
        }
        // Real flash would store garbage, or lose its error correction. All words are checked before the first is
        // programmed.
        if let Some(done) = (0..octets.len()).find(|done| get(start + done) != 0xff) {
            return Err(FlashError::NotErased { offset: offset + done as u32 });
        }
        for (word, address) in octets.chunks_exact(WORD).zip((start..).step_by(WORD)) {
            #[cfg(feature = "rig")]
            match rig::operation() {
                rig::Operation::Done => {}
                rig::Operation::Fails => return Err(FlashError::Failed),
                rig::Operation::Cut => {
                    word.iter().zip(address..).take(WORD / 2).for_each(|(octet, address)| set(address, *octet));
                    rig::lose_power();
                }
            }
            word.iter().zip(address..).for_each(|(octet, address)| set(address, *octet));
        }
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), FlashError> {
        cortex_m::asm::dsb();
        Ok(())
    }
}
