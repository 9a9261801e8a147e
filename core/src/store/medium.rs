//! What a store is kept on.

use core::fmt;

/// One of the two places.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum Slot {
    /// The first.
    A,
    /// The second.
    B,
}

impl Slot {
    /// Both.
    pub const BOTH: [Self; 2] = [Self::A, Self::B];

    /// The other one.
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

/// Two places that are erased as a whole and programmed word by word: flash, or files that behave alike.
pub trait SlotMedium {
    /// What can fail.
    type Error: fmt::Debug;

    /// The smallest unit that can be programmed, in octets: a power of two, 256 at the most. The store programs multiples of it, at
    /// multiples of it, each once between erases.
    const WRITE_SIZE: u32;

    /// Octets of each slot.
    fn capacity(&self) -> u32;

    /// Reads `out.len()` octets; what was not programmed since the last erase reads as `0xff`.
    ///
    /// # Errors
    /// The medium's own.
    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), Self::Error>;

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

    /// Nothing programmed after this returns may land before what was programmed earlier.
    ///
    /// # Errors
    /// The medium's own.
    fn barrier(&mut self) -> Result<(), Self::Error>;
}
