//! Emulates flash in the board's 16 MiB of PSRAM, which QEMU can back with a file of the host: programmed octets
//! persist in the next run.
//!
//! | offset | octets | |
//! |---|---|---|
//! | 0x0 | 64 KiB | the partition |
//! | 0x10000 | 16 KiB | slot A |
//! | 0x14000 | 16 KiB | slot B |
//! | 0x20000 | | the rig's page (`rig.rs`) |

use edgetrust_core::store::{NorFlashLayoutError, NorFlashSlots};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

use super::memory::PSRAM;
#[cfg(feature = "rig")]
use super::rig;
use crate::board::Flash;

const PARTITION: usize = 64 * 1024;
const SLOT: u32 = 16 * 1024;
const SECTOR: usize = 4096;
/// The size of the unit of programming in octets.
const WORD: usize = 8;
/// The emulated flash.
pub struct EmulatedFlash(NorFlashSlots<EmulatedNorFlash>);

/// The driver of the flash after the partition, which has references to it.
pub struct EmulatedNorFlash(());

/// The reason for which the flash refused an operation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum FlashError {
    /// The range exceeds the slots.
    OutOfBounds,
    /// The offset or length is not a multiple of the unit.
    NotAligned,
    /// The flash failed, as the test rig demanded.
    #[cfg(feature = "rig")]
    Failed,
    /// A word has been programmed since the last erase.
    NotErased {
        /// The offset in both slots.
        offset: u32,
    },
}

impl NorFlashError for FlashError {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::OutOfBounds => NorFlashErrorKind::OutOfBounds,
            Self::NotAligned => NorFlashErrorKind::NotAligned,
            _ => NorFlashErrorKind::Other,
        }
    }
}

impl From<NorFlashErrorKind> for FlashError {
    fn from(kind: NorFlashErrorKind) -> Self {
        if kind == NorFlashErrorKind::NotAligned { Self::NotAligned } else { Self::OutOfBounds }
    }
}

impl EmulatedFlash {
    pub(super) fn new() -> Result<Self, NorFlashLayoutError> {
        NorFlashSlots::new(EmulatedNorFlash(()), 0, SLOT, SLOT).map(Self)
    }
}

impl Flash for EmulatedFlash {
    const PARTITION_SIZE: usize = PARTITION;
    type Slots = NorFlashSlots<EmulatedNorFlash>;

    fn split(self) -> (&'static [u8], Self::Slots) {
        // SAFETY: PSRAM exists as long as the board does, and is outside of the program's memory. No code here writes
        // to the partition, and the host does so only while no QEMU runs on the file.
        let partition = unsafe { core::slice::from_raw_parts(PSRAM as *const u8, PARTITION) };
        (partition, self.0)
    }
}

/// Returns the address of an offset that was checked.
fn address(offset: u32) -> usize {
    PSRAM + PARTITION + offset as usize
}

/// Reads an octet; volatile, since the host shares the memory.
fn get(address: usize) -> u8 {
    // SAFETY: callers pass addresses of checked offsets: PSRAM, outside of the program's memory.
    unsafe { (address as *const u8).read_volatile() }
}

fn set(address: usize, octet: u8) {
    // SAFETY: as above, and outside of the partition, to which there are references.
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
        2 * SLOT as usize
    }
}

impl NorFlash for EmulatedNorFlash {
    const WRITE_SIZE: usize = WORD;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), FlashError> {
        check_erase(self, from, to)?;
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
        let start = address(offset);
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
        cortex_m::asm::dsb();
        Ok(())
    }
}
