//! Defines the medium that keeps a store.

use core::fmt;

/// One of the two slots of a medium.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Slot {
    /// The first slot.
    A,
    /// The second slot.
    B,
}

impl Slot {
    /// Both slots.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// Returns the other slot.
    #[must_use]
    pub const fn other(self) -> Self {
        match self {
            Self::A => Self::B,
            Self::B => Self::A,
        }
    }
}

impl fmt::Display for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::A => "slot A",
            Self::B => "slot B",
        })
    }
}

/// A medium with two slots that are erased as a whole and programmed word by word: flash, or files that behave alike.
pub trait SlotMedium {
    /// The medium's error.
    type Error: fmt::Debug;

    /// The smallest unit that can be programmed, in octets: a power of two, 256 at the most. The store programs
    /// multiples of this unit, at multiples of this unit, each once between erases.
    const WRITE_SIZE: u32;

    /// The size of each slot, in octets.
    fn capacity(&self) -> u32;

    /// Reads `out.len()` octets; octets not programmed since the last erase read as `0xff`.
    ///
    /// # Errors
    /// The medium's own.
    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), Self::Error>;

    /// Returns whether the error of a read means that the octets are lost, as those of a word whose programming was cut,
    /// and not that they are out of reach. A slot without a readable record is written anew only then, if no other
    /// record is confirmed.
    fn is_loss(_error: &Self::Error) -> bool {
        false
    }

    /// Erases a slot: all of it reads as `0xff` afterwards.
    ///
    /// # Errors
    /// The medium's own.
    fn erase(&mut self, slot: Slot) -> Result<(), Self::Error>;

    /// Programs words that were erased and not programmed since.
    ///
    /// # Errors
    /// The medium's own.
    fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> Result<(), Self::Error>;

    /// Orders writes: nothing programmed afterwards may land before anything programmed earlier.
    ///
    /// # Errors
    /// The medium's own.
    fn barrier(&mut self) -> Result<(), Self::Error>;
}
