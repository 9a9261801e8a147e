//! The place of a flash driver, which a crate of embassy's has.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// A flash of 1 MiB that does not answer.
pub struct Driver;

/// The error of the flash that is not there.
#[derive(Clone, Copy, Debug, defmt::Format)]
pub struct NoFlash;

impl NorFlashError for NoFlash {
    fn kind(&self) -> NorFlashErrorKind {
        NorFlashErrorKind::Other
    }
}

impl ErrorType for Driver {
    type Error = NoFlash;
}

impl ReadNorFlash for Driver {
    const READ_SIZE: usize = 4;

    fn read(&mut self, _: u32, _: &mut [u8]) -> Result<(), NoFlash> {
        Err(NoFlash)
    }

    fn capacity(&self) -> usize {
        0x10_0000
    }
}

impl NorFlash for Driver {
    const WRITE_SIZE: usize = 4;
    const ERASE_SIZE: usize = 4096;

    fn erase(&mut self, _: u32, _: u32) -> Result<(), NoFlash> {
        Err(NoFlash)
    }

    fn write(&mut self, _: u32, _: &[u8]) -> Result<(), NoFlash> {
        Err(NoFlash)
    }
}
