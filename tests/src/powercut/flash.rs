//! Simulates NOR flash that loses power: erased bits are one, programming clears bits, and an operation that is cut
//! leaves some of its bits unchanged.

use edgetrust_core::store::{Slot, SlotMedium};

/// The size of a slot in octets.
pub const CAPACITY: usize = 8192;

/// The reason for which an operation failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FlashError {
    /// The power is lost: all operations fail until [`Flash::restart`].
    NoPower,
    /// A word was programmed unerased or unaligned: a bug in the store.
    Misuse(u32),
    /// The device reports an error, and keeps its power.
    Io,
}

/// The way in which an operation is cut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// The cut comes before the first bit.
    Before,
    /// The cut comes after this number of octets of the programmed word or the erased slot.
    Octets(usize),
    /// Only these bits of each octet have changed.
    Bits(u8),
    /// The cut comes after the last bit, before the operation is reported.
    After,
    /// The operation fails, and the power stays.
    Io,
}

impl Cut {
    /// All cuts that are tried at every operation.
    pub const ALL: [Self; 10] = [
        Self::Before,
        Self::Octets(1),
        Self::Octets(3),
        Self::Octets(15),
        Self::Octets(700),
        Self::Bits(0b0101_0101),
        Self::Bits(0b1010_1010),
        Self::Bits(0b1000_0000),
        Self::After,
        Self::Io,
    ];
}

/// Two slots of NOR flash with words of `W` octets.
#[derive(Clone, Debug)]
pub struct Flash<const W: u32> {
    slots: [Vec<u8>; 2],
    programmed: [Vec<bool>; 2],
    /// The number of erases, programmed words and barriers since the last start.
    pub operations: usize,
    /// The number of the operation that is cut, and the way of the cut.
    pub cut: Option<(usize, Cut)>,
    power: bool,
    /// The number of erases of each slot.
    pub erases: [u32; 2],
}

impl<const W: u32> Default for Flash<W> {
    fn default() -> Self {
        Self {
            slots: [vec![0xff; CAPACITY], vec![0xff; CAPACITY]],
            programmed: [vec![false; CAPACITY], vec![false; CAPACITY]],
            operations: 0,
            cut: None,
            power: true,
            erases: [0; 2],
        }
    }
}

fn index(slot: Slot) -> usize {
    usize::from(slot == Slot::B)
}

impl<const W: u32> Flash<W> {
    /// Restores the power.
    pub fn restart(&mut self) {
        self.power = true;
        self.cut = None;
        self.operations = 0;
    }

    /// Returns whether there is power.
    pub fn has_power(&self) -> bool {
        self.power
    }

    /// Flips a bit, as ageing does.
    pub fn flip(&mut self, slot: Slot, bit: usize) {
        self.slots[index(slot)][bit / 8] ^= 1 << (bit % 8);
    }

    /// Returns the cut of the operation that begins now.
    fn begin(&mut self) -> Result<Option<Cut>, FlashError> {
        if !self.power {
            return Err(FlashError::NoPower);
        }
        let number = self.operations;
        self.operations += 1;
        Ok(self.cut.filter(|(at, _)| *at == number).map(|(_, cut)| cut))
    }

    fn end(&mut self, cut: Option<Cut>) -> Result<(), FlashError> {
        match cut {
            None => Ok(()),
            Some(Cut::Io) => Err(FlashError::Io),
            Some(_) => {
                self.power = false;
                Err(FlashError::NoPower)
            }
        }
    }

    /// Returns the changed bits of octet `place` of an operation.
    fn changed(cut: Option<Cut>, place: usize) -> u8 {
        match cut {
            None | Some(Cut::After) => 0xff,
            Some(Cut::Before | Cut::Io) => 0,
            Some(Cut::Octets(octets)) => {
                if place < octets {
                    0xff
                } else {
                    0
                }
            }
            Some(Cut::Bits(bits)) => bits,
        }
    }
}

impl<const W: u32> SlotMedium for Flash<W> {
    type Error = FlashError;

    const WRITE_SIZE: u32 = W;

    fn capacity(&self) -> u32 {
        CAPACITY as u32
    }

    fn read(&mut self, slot: Slot, offset: u32, out: &mut [u8]) -> Result<(), FlashError> {
        if !self.power {
            return Err(FlashError::NoPower);
        }
        let offset = offset as usize;
        out.copy_from_slice(&self.slots[index(slot)][offset..offset + out.len()]);
        Ok(())
    }

    fn erase(&mut self, slot: Slot) -> Result<(), FlashError> {
        let cut = self.begin()?;
        self.erases[index(slot)] += 1;
        for (place, octet) in self.slots[index(slot)].iter_mut().enumerate() {
            *octet |= Self::changed(cut, place);
        }
        // A slot after a cut erase may look blank but is not: it must be erased again.
        let blank = cut.is_none() || cut == Some(Cut::After);
        self.programmed[index(slot)].fill(!blank);
        self.end(cut)
    }

    fn program(&mut self, slot: Slot, offset: u32, octets: &[u8]) -> Result<(), FlashError> {
        if !offset.is_multiple_of(W) || !octets.len().is_multiple_of(W as usize) {
            return Err(FlashError::Misuse(offset));
        }
        for (word, start) in octets.chunks(W as usize).zip((offset as usize..).step_by(W as usize)) {
            let cut = self.begin()?;
            for (place, octet) in word.iter().enumerate() {
                let at = start + place;
                if std::mem::replace(&mut self.programmed[index(slot)][at], true) {
                    return Err(FlashError::Misuse(offset));
                }
                self.slots[index(slot)][at] &= octet | !Self::changed(cut, place);
            }
            self.end(cut)?;
        }
        Ok(())
    }

    fn barrier(&mut self) -> Result<(), FlashError> {
        let cut = self.begin()?;
        self.end(cut)
    }
}
