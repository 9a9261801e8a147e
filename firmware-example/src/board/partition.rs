//! Partition and slots in one NOR flash: mapped into memory, or read by its driver.

use edgetrust_core::store::{NorFlashLayoutError, NorFlashSlots};
use embedded_storage::nor_flash::NorFlash;

use super::port::Flash;
use super::write_once::{WriteOnce, WriteOnceError};

/// Where the partition and the slots lie in the flash, in octets.
#[derive(Clone, Copy)]
pub struct Layout {
    /// The start of the partition.
    pub partition: u32,
    /// The size of the partition.
    pub partition_size: u32,
    /// The start of slot A.
    pub slot_a: u32,
    /// The start of slot B.
    pub slot_b: u32,
    /// The size of each slot.
    pub slot_size: u32,
}

/// The reason for which the partition cannot be read.
#[derive(Clone, Copy, Debug, PartialEq, Eq, defmt::Format)]
pub enum PartitionError<E> {
    /// The driver's error.
    Flash(E),
    /// The octets are not all in the partition.
    OutOfBounds,
    /// The memory for copies has less room than these octets take.
    NoMemory {
        /// The octets to copy.
        octets: usize,
        /// The octets that are free.
        free: usize,
    },
}

/// A partition that is mapped into memory.
pub struct Mapped<F> {
    partition: &'static [u8],
    slots: NorFlashSlots<WriteOnce<F>>,
}

impl<F: NorFlash> Mapped<F> {
    /// Makes the parts of a driver; `partition` is the partition's mapping, and the layout's is not used.
    ///
    /// # Errors
    /// Fails if the regions cannot be slots.
    pub fn new(driver: F, partition: &'static [u8], layout: Layout) -> Result<Self, NorFlashLayoutError> {
        Ok(Self { partition, slots: slots(driver, layout)? })
    }
}

impl<F: NorFlash<Error: defmt::Format>> Flash for Mapped<F> {
    type Error = PartitionError<WriteOnceError<F::Error>>;
    type Slots = NorFlashSlots<WriteOnce<F>>;

    fn partition_size(&self) -> usize {
        self.partition.len()
    }

    fn read(&mut self, offset: usize, out: &mut [u8]) -> Result<(), Self::Error> {
        out.copy_from_slice(self.keep(offset, out.len())?);
        Ok(())
    }

    fn keep(&mut self, offset: usize, octets: usize) -> Result<&'static [u8], Self::Error> {
        let end = offset.checked_add(octets).ok_or(PartitionError::OutOfBounds)?;
        self.partition.get(offset..end).ok_or(PartitionError::OutOfBounds)
    }

    fn into_slots(self) -> Self::Slots {
        self.slots
    }
}

/// A partition that the driver reads; what the application keeps is copied to memory, once.
pub struct Copied<F> {
    slots: NorFlashSlots<WriteOnce<F>>,
    layout: Layout,
    free: &'static mut [u8],
}

impl<F: NorFlash> Copied<F> {
    /// Makes the parts of a driver; `memory` holds what the application keeps: certificates, a key, its configuration.
    ///
    /// # Errors
    /// Fails if the regions cannot be slots.
    pub fn new(driver: F, memory: &'static mut [u8], layout: Layout) -> Result<Self, NorFlashLayoutError> {
        Ok(Self { slots: slots(driver, layout)?, layout, free: memory })
    }
}

impl<F: NorFlash<Error: defmt::Format>> Flash for Copied<F> {
    type Error = PartitionError<WriteOnceError<F::Error>>;
    type Slots = NorFlashSlots<WriteOnce<F>>;

    fn partition_size(&self) -> usize {
        self.layout.partition_size as usize
    }

    fn read(&mut self, offset: usize, out: &mut [u8]) -> Result<(), Self::Error> {
        let end = offset.checked_add(out.len()).filter(|end| *end <= self.partition_size());
        let place = end.and_then(|_| self.layout.partition.checked_add(u32::try_from(offset).ok()?));
        let place = place.ok_or(PartitionError::OutOfBounds)?;
        self.slots.read_flash(place, out).map_err(PartitionError::Flash)
    }

    fn keep(&mut self, offset: usize, octets: usize) -> Result<&'static [u8], Self::Error> {
        let free = core::mem::take(&mut self.free);
        if octets > free.len() {
            let error = PartitionError::NoMemory { octets, free: free.len() };
            self.free = free;
            return Err(error);
        }
        let (kept, rest) = free.split_at_mut(octets);
        self.free = rest;
        self.read(offset, kept)?;
        Ok(kept)
    }

    fn into_slots(self) -> Self::Slots {
        self.slots
    }
}

fn slots<F: NorFlash>(driver: F, layout: Layout) -> Result<NorFlashSlots<WriteOnce<F>>, NorFlashLayoutError> {
    NorFlashSlots::new(WriteOnce::new(driver), layout.slot_a, layout.slot_b, layout.slot_size)
}
