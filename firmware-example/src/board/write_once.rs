//! Refuses to program a word of flash twice, whatever the driver does.
//!
//! Drivers program what they are given. A word with error correction that was programmed twice is not what anybody
//! wrote: it may read as an error, and on STM32H7 the read faults.

use embedded_storage::nor_flash::{ErrorType, NorFlash, NorFlashError, NorFlashErrorKind, ReadNorFlash};

/// The octets that are checked at once.
const CHUNK: usize = 32;

/// A driver that refuses to program words that are not erased.
pub struct WriteOnce<F>(F);

/// The reason for which an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum WriteOnceError<E> {
    /// The driver's error.
    Flash(E),
    /// A word was programmed since it was erased.
    NotErased {
        /// The offset of an octet of the word.
        offset: u32,
    },
    /// The driver's unit of reading does not fit its unit of programming, so that words cannot be checked.
    Units,
}

impl<E: NorFlashError> NorFlashError for WriteOnceError<E> {
    fn kind(&self) -> NorFlashErrorKind {
        match self {
            Self::Flash(error) => error.kind(),
            Self::NotErased { .. } | Self::Units => NorFlashErrorKind::Other,
        }
    }
}

impl<F> WriteOnce<F> {
    /// Wraps a driver.
    pub const fn new(flash: F) -> Self {
        Self(flash)
    }
}

impl<F: NorFlash> WriteOnce<F> {
    /// Checks that all words are erased, before the first is programmed.
    fn check_erased(&mut self, offset: u32, octets: usize) -> Result<(), WriteOnceError<F::Error>> {
        if !CHUNK.is_multiple_of(F::READ_SIZE) || !F::WRITE_SIZE.is_multiple_of(F::READ_SIZE) {
            return Err(WriteOnceError::Units);
        }
        let mut chunk = [0; CHUNK];
        for done in (0..octets).step_by(CHUNK) {
            let from = offset.saturating_add(done as u32);
            let part = chunk.get_mut(..CHUNK.min(octets - done)).unwrap_or_default();
            self.0.read(from, part).map_err(WriteOnceError::Flash)?;
            if let Some(place) = part.iter().position(|octet| *octet != 0xff) {
                return Err(WriteOnceError::NotErased { offset: from.saturating_add(place as u32) });
            }
        }
        Ok(())
    }
}

impl<F: ErrorType> ErrorType for WriteOnce<F> {
    type Error = WriteOnceError<F::Error>;
}

impl<F: ReadNorFlash> ReadNorFlash for WriteOnce<F> {
    const READ_SIZE: usize = F::READ_SIZE;

    fn read(&mut self, offset: u32, out: &mut [u8]) -> Result<(), Self::Error> {
        self.0.read(offset, out).map_err(WriteOnceError::Flash)
    }

    fn capacity(&self) -> usize {
        self.0.capacity()
    }
}

impl<F: NorFlash> NorFlash for WriteOnce<F> {
    const WRITE_SIZE: usize = F::WRITE_SIZE;
    const ERASE_SIZE: usize = F::ERASE_SIZE;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), Self::Error> {
        self.0.erase(from, to).map_err(WriteOnceError::Flash)
    }

    fn write(&mut self, offset: u32, octets: &[u8]) -> Result<(), Self::Error> {
        self.check_erased(offset, octets.len())?;
        self.0.write(offset, octets).map_err(WriteOnceError::Flash)
    }
}
