//! Keeps the two slots in NOR flash, through any driver of `embedded-storage`.

use core::fmt;

use embedded_storage::nor_flash::{NorFlash, NorFlashError as _, NorFlashErrorKind};

use super::medium::{Slot, SlotMedium};
use super::store::Store;

/// The largest unit of reading of a driver, in octets.
const MAX_READ: usize = 32;
/// The largest unit of programming of a driver, in octets.
const MAX_WRITE: usize = 256;

/// The two slots of a [`Store`] in two regions of NOR flash.
///
/// A driver's `write` and `erase` must return when the flash is done, as those of microcontrollers do. Each word is
/// programmed once between erases, so that flash with error correction can be used; what is read need not be aligned
/// to the driver's `READ_SIZE`.
///
/// ```
/// use edgetrust_core::store::{NorFlashSlots, Store};
/// use embedded_storage::nor_flash::NorFlash;
///
/// /// Opens the store in the last 64 KiB of a flash of 1 MiB.
/// fn open<F: NorFlash>(flash: F) -> Option<Store<NorFlashSlots<F>>> {
///     let slots = NorFlashSlots::new(flash, 0xf_0000, 0xf_8000, 32 * 1024).ok()?;
///     Store::new(slots).ok()
/// }
/// ```
#[derive(Debug)]
pub struct NorFlashSlots<F> {
    flash: F,
    a: u32,
    b: u32,
    size: u32,
}

/// The reason for which two regions of a flash cannot be slots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NorFlashLayoutError {
    /// The driver's units are not usable: each must be a power of two or, for erasing, a multiple of the others.
    Units {
        /// The smallest unit that is read, in octets: 32 at the most.
        read: usize,
        /// The smallest unit that is programmed, in octets: 256 at the most.
        write: usize,
        /// The smallest unit that is erased, in octets.
        erase: usize,
    },
    /// A slot does not begin at a unit of erasing.
    NotAligned {
        /// The slot.
        slot: Slot,
        /// The beginning of the slot in the flash.
        start: u32,
        /// The smallest unit that is erased, in octets.
        erase: usize,
    },
    /// The size of the slots is not a multiple of the unit of erasing.
    PartOfUnit {
        /// The size of each slot, in octets.
        size: u32,
        /// The smallest unit that is erased, in octets.
        erase: usize,
    },
    /// The slots have no room for a key and a chain.
    TooSmall {
        /// The size of each slot, in octets.
        size: u32,
        /// The octets of a record beside its key and chain.
        taken: u32,
    },
    /// A slot goes beyond the end of the flash.
    OutOfBounds {
        /// The slot.
        slot: Slot,
        /// The beginning of the slot in the flash.
        start: u32,
        /// The size of each slot, in octets.
        size: u32,
        /// The size of the flash, in octets.
        capacity: usize,
    },
    /// The slots share octets.
    Overlap {
        /// The beginning of slot A in the flash.
        a: u32,
        /// The beginning of slot B in the flash.
        b: u32,
        /// The size of each slot, in octets.
        size: u32,
    },
}

impl fmt::Display for NorFlashLayoutError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Units { read, write, erase } => write!(
                f,
                "units of {read}, {write} and {erase} octets for reading, programming and erasing: expected powers of \
                 two up to {MAX_READ} and {MAX_WRITE}, and a multiple of both"
            ),
            Self::NotAligned { slot, start, erase } => {
                write!(f, "{slot} begins at {start:#x}: expected a multiple of {erase}")
            }
            Self::PartOfUnit { size, erase } => write!(f, "slots of {size} octets: expected a multiple of {erase}"),
            Self::TooSmall { size, taken } => {
                write!(f, "slots of {size} octets: expected more than the {taken} that a record takes by itself")
            }
            Self::OutOfBounds { slot, start, size, capacity } => {
                write!(f, "{slot} begins at {start:#x} and has {size} octets: expected an end within {capacity:#x}")
            }
            Self::Overlap { a, b, size } => {
                write!(f, "slots of {size} octets begin at {a:#x} and {b:#x}: expected no octet in both")
            }
        }
    }
}

impl core::error::Error for NorFlashLayoutError {}

/// An error of slots in NOR flash.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum NorFlashSlotsError<E> {
    /// The driver's error.
    Flash(E),
    /// The octets are not all in the slot.
    OutOfBounds {
        /// The first octet, counted from the beginning of the slot.
        offset: u32,
        /// The number of octets.
        octets: usize,
        /// The size of the slot, in octets.
        size: u32,
    },
}

impl<E: fmt::Debug> fmt::Display for NorFlashSlotsError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Flash(error) => write!(f, "{error:?}"),
            Self::OutOfBounds { offset, octets, size } => {
                write!(f, "{octets} octets at {offset} of a slot of {size}")
            }
        }
    }
}

impl<E: fmt::Debug> core::error::Error for NorFlashSlotsError<E> {}

impl<F: NorFlash> NorFlashSlots<F> {
    /// Makes two slots of `size` octets of a flash; slot A begins at `a`, slot B at `b`. Nothing is read or written.
    ///
    /// # Errors
    /// If the regions are not aligned to what the flash erases at once, too small, beyond the flash's end, or one.
    pub fn new(flash: F, a: u32, b: u32, size: u32) -> Result<Self, NorFlashLayoutError> {
        let (read, write, erase) = (F::READ_SIZE, F::WRITE_SIZE, F::ERASE_SIZE);
        let usable = |unit: usize, most: usize| unit.is_power_of_two() && unit <= most;
        let whole = |unit: usize| unit != 0 && erase.is_multiple_of(unit);
        let erased = u32::try_from(erase).ok().filter(|erase| *erase > 0);
        let (true, true, true, true, Some(erased)) =
            (usable(read, MAX_READ), usable(write, MAX_WRITE), whole(read), whole(write), erased)
        else {
            return Err(NorFlashLayoutError::Units { read, write, erase });
        };
        if !size.is_multiple_of(erased) {
            return Err(NorFlashLayoutError::PartOfUnit { size, erase });
        }
        if size <= Store::<Self>::FIXED {
            return Err(NorFlashLayoutError::TooSmall { size, taken: Store::<Self>::FIXED });
        }
        for (slot, start) in [(Slot::A, a), (Slot::B, b)] {
            if !start.is_multiple_of(erased) {
                return Err(NorFlashLayoutError::NotAligned { slot, start, erase });
            }
            let capacity = flash.capacity();
            let end = start.checked_add(size).and_then(|end| usize::try_from(end).ok());
            if end.is_none_or(|end| end > capacity) {
                return Err(NorFlashLayoutError::OutOfBounds { slot, start, size, capacity });
            }
        }
        if a.abs_diff(b) < size {
            return Err(NorFlashLayoutError::Overlap { a, b, size });
        }
        Ok(Self { flash, a, b, size })
    }

    /// Returns the flash.
    pub fn flash(&mut self) -> &mut F {
        &mut self.flash
    }

    /// Gives the flash back.
    pub fn release(self) -> F {
        self.flash
    }

    /// Reads octets of the flash, of a slot or beside the slots; neither `place` nor the length need be aligned.
    ///
    /// # Errors
    /// The driver's own.
    pub fn read_flash(&mut self, place: u32, out: &mut [u8]) -> Result<(), F::Error> {
        if F::READ_SIZE == 1 {
            return self.flash.read(place, out);
        }
        // A unit at a time: offset and length are any, and `out` need not be whole units.
        let (mut unit, mut rest) = ([0; MAX_READ], out);
        let size = u32::try_from(F::READ_SIZE).unwrap_or(1);
        let mut before = usize::try_from(place.checked_rem(size).unwrap_or(0)).unwrap_or(0);
        let mut from = place.saturating_sub(u32::try_from(before).unwrap_or(0));
        while !rest.is_empty() {
            let unit = unit.get_mut(..F::READ_SIZE).unwrap_or_default();
            self.flash.read(from, unit)?;
            let wanted = unit.get(before..).unwrap_or_default();
            debug_assert!(!wanted.is_empty(), "each turn reads on");
            let (front, after) = rest.split_at_mut(wanted.len().min(rest.len()));
            front.iter_mut().zip(wanted).for_each(|(to, from)| *to = *from);
            (rest, before, from) = (after, 0, from.saturating_add(size));
        }
        Ok(())
    }

    /// Returns where octets of a slot are in the flash.
    fn place(&self, slot: Slot, offset: u32, octets: usize) -> Result<u32, NorFlashSlotsError<F::Error>> {
        let start = match slot {
            Slot::A => self.a,
            Slot::B => self.b,
        };
        let end = u32::try_from(octets).ok().and_then(|octets| offset.checked_add(octets));
        match (end, start.checked_add(offset)) {
            (Some(end), Some(place)) if end <= self.size => Ok(place),
            _ => Err(NorFlashSlotsError::OutOfBounds { offset, octets, size: self.size }),
        }
    }
}

impl<F: NorFlash> SlotMedium for NorFlashSlots<F> {
    type Error = NorFlashSlotsError<F::Error>;

    // A size that does not fit is refused by `new`.
    const WRITE_SIZE: u32 = if F::WRITE_SIZE > MAX_WRITE { 0 } else { F::WRITE_SIZE as u32 };

    fn capacity(&self) -> u32 {
        self.size
    }

    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), Self::Error> {
        let place = self.place(slot, offset, out.len())?;
        self.read_flash(place, out).map_err(NorFlashSlotsError::Flash)
    }

    /// A driver reports words of which the flash's error correction cannot make sense.
    fn is_loss(error: &Self::Error) -> bool {
        matches!(error, NorFlashSlotsError::Flash(error) if matches!(error.kind(), NorFlashErrorKind::Other))
    }

    fn erase(&mut self, slot: Slot) -> Result<(), Self::Error> {
        let start = self.place(slot, 0, 0)?;
        self.flash.erase(start, start.saturating_add(self.size)).map_err(NorFlashSlotsError::Flash)
    }

    fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> Result<(), Self::Error> {
        let place = self.place(slot, offset, octets.len())?;
        self.flash.write(place, octets).map_err(NorFlashSlotsError::Flash)
    }

    /// Does nothing: a driver's `write` returns when the flash is done.
    fn barrier(&mut self) -> Result<(), Self::Error> {
        Ok(())
    }
}
