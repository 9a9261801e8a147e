//! Emulates flash in memory of the board that QEMU can back with a file of the host: programmed octets persist in the
//! next run. Its driver is like those of real parts: it programs what it is given.
//!
//! | offset | octets | |
//! |---|---|---|
//! | 0x0 | 64 KiB | the partition |
//! | 0x10000 | 16 KiB | slot A |
//! | 0x14000 | 16 KiB | slot B |
//! | 0x20000 | | the rig's page (`rig.rs`) |

use edgetrust_core::store::NorFlashLayoutError;
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

#[cfg(feature = "rig")]
use super::rig;
use crate::board::{Layout, MAP};

const PARTITION: u32 = 64 * 1024;
const SLOT: u32 = 16 * 1024;
const LAYOUT: Layout =
    Layout { partition: 0, partition_size: PARTITION, slot_a: PARTITION, slot_b: PARTITION + SLOT, slot_size: SLOT };
const SIZE: u32 = PARTITION + 2 * SLOT;
const SECTOR: usize = 4096;
/// The size of the unit of programming in octets.
const WORD: usize = 8;

/// The driver of the emulated flash.
pub struct EmulatedNorFlash(());

/// Partition and slots, with the partition mapped.
#[cfg(feature = "board-mps2-an386")]
pub type EmulatedFlash = crate::board::Mapped<EmulatedNorFlash>;

#[cfg(feature = "board-mps2-an386")]
pub(super) fn open() -> Result<EmulatedFlash, NorFlashLayoutError> {
    // SAFETY: the memory exists as long as the board does, and is outside of the program's memory. The driver does not
    // write to the partition, and the host does so only while no QEMU runs on the file.
    let partition = unsafe { core::slice::from_raw_parts(MAP.flash as *const u8, PARTITION as usize) };
    EmulatedFlash::new(EmulatedNorFlash(()), partition, LAYOUT)
}

/// Partition and slots, read by the driver: as with external flash that is not mapped.
#[cfg(feature = "board-mps3-an524")]
pub type EmulatedFlash = crate::board::Copied<EmulatedNorFlash>;

#[cfg(feature = "board-mps3-an524")]
pub(super) fn open() -> Result<EmulatedFlash, NorFlashLayoutError> {
    /// A configuration of 2 KiB, four CAs and a certificate of 1 KiB each, and a key.
    static MEMORY: static_cell::ConstStaticCell<[u8; 8 * 1024]> = static_cell::ConstStaticCell::new([0; 8 * 1024]);
    EmulatedFlash::new(EmulatedNorFlash(()), MEMORY.take(), LAYOUT)
}

/// The reason for which the flash refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum FlashError {
    /// The range exceeds the flash, or the slots if it would be changed.
    OutOfBounds,
    /// The offset or length is not a multiple of the unit.
    NotAligned,
    /// The flash failed, as the test rig demanded.
    #[cfg(feature = "rig")]
    Failed,
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            #[cfg(feature = "rig")]
            Self::Failed => NorFlashErrorKind::Other,
        }
    }
}

impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        if kind == NorFlashErrorKind::NotAligned { Self::NotAligned } else { Self::OutOfBounds }
    }
}

/// Returns the address of an offset that was checked.
fn address(offset: u32) -> usize {
    MAP.flash + offset as usize
}

/// Checks that a change begins behind the partition, to which there may be references.
fn check_slots(offset: u32) -> Result<(), FlashError> {
    if offset < PARTITION { Err(FlashError::OutOfBounds) } else { Ok(()) }
}

/// Reads an octet; volatile, since the host shares the memory.
fn get(address: usize) -> u8 {
    // SAFETY: callers pass addresses of checked offsets, outside of the program's memory.
    unsafe { (address as *const u8).read_volatile() }
}

fn set(address: usize, octet: u8) {
    // SAFETY: as above, and outside of the partition.
    unsafe { (address as *mut u8).write_volatile(octet) }
}

impl ErrorType for EmulatedNorFlash {
    type Error = FlashError;
}

impl ReadNorFlash for EmulatedNorFlash {
    const READ_SIZE: usize = 1;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), FlashError> {
        check_read(self, offset, out.len())?;
        for (octet, address) in out.iter_mut().zip(address(offset)..) {
            *octet = get(address);
        }
        Ok(())
    }

    fn capacity(&self) -> usize {
        SIZE as usize
    }
}

impl NorFlash for EmulatedNorFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to)?;
        check_slots(from)?;
        for sector in (address(from)..address(to)).step_by(SECTOR) {
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

    fn write(&mut self, offset: u32, octets: &[u8]) -> Result<(), FlashError> {
        check_write(self, offset, octets.len())?;
        check_slots(offset)?;
        let start = address(offset);
        if (start..start + octets.len()).any(|address| get(address) != 0xff) {
            // An STM32H7 programs the word, and faults when it is read: the sooner the better.
            cortex_m::asm::udf();
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
        cortex_m::asm::dsb();
        Ok(())
    }
}
