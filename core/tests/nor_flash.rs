//! Slots in NOR flash: bits are cleared by programming and set by erasing whole units, and power fails at any of it.

use std::time::Duration;

use edgetrust_core::pki_types::UnixTime;
use edgetrust_core::store::{
    NewRecord, NorFlashLayoutError, NorFlashSlots, NorFlashSlotsError, Slot, SlotMedium, Store, StoreError,
};
use embedded_storage::nor_flash::{
    ErrorType, NorFlash, NorFlashErrorKind, ReadNorFlash, check_erase, check_read, check_write,
};

const SECTOR: usize = 4096;
const SLOT: u32 = 4 * SECTOR as u32;
/// The slots are not where the flash begins or ends, and something is between them.
const A: u32 = SECTOR as u32;
const B: u32 = A + SLOT + SECTOR as u32;
const FLASH: usize = (B + SLOT) as usize + SECTOR;

/// NOR flash in memory, with units of `R` and `W` octets.
#[derive(Clone)]
struct Ram<const R: usize, const W: usize> {
    octets: Vec<u8>,
    /// Words that were programmed since they were erased.
    programmed: Vec<bool>,
    /// Words programmed and sectors erased so far.
    operations: usize,
    /// Words whose last operation was cut, if a read of them is to fail.
    torn: Option<Vec<bool>>,
    /// Places whose reads fail, and the number of reads that still fail.
    failing: (std::ops::Range<u32>, usize),
    /// The operation that is cut, and the bits of each octet that it still changes.
    cut: Option<(usize, Cut)>,
    off: bool,
}

#[derive(Clone, Copy, Debug)]
enum Cut {
    /// Only these bits change.
    Bits(u8),
    /// Only the first octets change.
    Octets(usize),
    /// All has changed, and nobody hears of it.
    After,
}

impl<const R: usize, const W: usize> Ram<R, W> {
    fn new() -> Self {
        let (octets, programmed) = (vec![0xff; FLASH], vec![false; FLASH / W]);
        Self { octets, programmed, operations: 0, torn: None, failing: (0..0, 0), cut: None, off: false }
    }

    /// Creates flash whose error correction reports the words of an operation that was cut.
    fn correcting() -> Self {
        Self { torn: Some(vec![false; FLASH / W]), ..Self::new() }
    }

    /// Returns the flash after a restart, with `cut` ahead.
    fn restarted(&self, cut: Option<(usize, Cut)>) -> Self {
        Self { operations: 0, cut, off: false, ..self.clone() }
    }

    /// Changes `octets` at `at` by one operation; `change` says what an octet becomes.
    fn operate(&mut self, at: usize, count: usize, change: impl Fn(usize, u8) -> u8) -> Result<(), NorFlashErrorKind> {
        if self.off {
            return Err(NorFlashErrorKind::Other);
        }
        let number = self.operations;
        self.operations += 1;
        let cut = self.cut.filter(|(cut, _)| *cut == number).map(|(_, cut)| cut);
        for place in 0..count {
            let mask = match cut {
                None | Some(Cut::After) => 0xff,
                Some(Cut::Bits(bits)) => bits,
                Some(Cut::Octets(octets)) => u8::from(place < octets) * 0xff,
            };
            let octet = &mut self.octets[at + place];
            *octet = (change(place, *octet) & mask) | (*octet & !mask);
        }
        if let Some(torn) = &mut self.torn {
            torn[at / W..(at + count) / W].fill(!matches!(cut, None | Some(Cut::After)));
        }
        self.off = cut.is_some();
        if self.off { Err(NorFlashErrorKind::Other) } else { Ok(()) }
    }
}

impl<const R: usize, const W: usize> ErrorType for Ram<R, W> {
    type Error = NorFlashErrorKind;
}

impl<const R: usize, const W: usize> ReadNorFlash for Ram<R, W> {
    const READ_SIZE: usize = R;

    fn read(&mut self, offset: u32, bytes: &mut [u8]) -> Result<(), NorFlashErrorKind> {
        check_read(self, offset, bytes.len())?;
        let (places, left) = &mut self.failing;
        if places.contains(&offset) && *left > 0 {
            *left -= 1;
            return Err(NorFlashErrorKind::Other);
        }
        let words = offset as usize / W..(offset as usize + bytes.len()).div_ceil(W);
        if self.torn.as_ref().is_some_and(|torn| torn[words].contains(&true)) {
            return Err(NorFlashErrorKind::Other);
        }
        bytes.copy_from_slice(&self.octets[offset as usize..][..bytes.len()]);
        Ok(())
    }

    fn capacity(&self) -> usize {
        self.octets.len()
    }
}

impl<const R: usize, const W: usize> NorFlash for Ram<R, W> {
    const WRITE_SIZE: usize = W;
    const ERASE_SIZE: usize = SECTOR;

    fn erase(&mut self, from: u32, to: u32) -> Result<(), NorFlashErrorKind> {
        check_erase(self, from, to)?;
        for sector in (from as usize..to as usize).step_by(SECTOR) {
            // A sector whose erase is cut must be erased again.
            self.programmed[sector / W..(sector + SECTOR) / W].fill(true);
            self.operate(sector, SECTOR, |_, _| 0xff)?;
            self.programmed[sector / W..(sector + SECTOR) / W].fill(false);
        }
        Ok(())
    }

    fn write(&mut self, offset: u32, bytes: &[u8]) -> Result<(), NorFlashErrorKind> {
        check_write(self, offset, bytes.len())?;
        for (word, at) in bytes.chunks(W).zip((offset as usize..).step_by(W)) {
            let before = std::mem::replace(&mut self.programmed[at / W], true);
            assert!(!before, "the word at {at:#x} is programmed twice");
            self.operate(at, W, |place, octet| octet & word[place])?;
        }
        Ok(())
    }
}

fn at(seconds: u64) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(1_800_000_000 + seconds))
}

/// Returns the key and chain of a generation, of other sizes each.
fn credential(number: u8) -> (Vec<u8>, Vec<u8>) {
    (vec![number; 21 + usize::from(number)], vec![!number; 70 + 37 * usize::from(number)])
}

fn write<M: SlotMedium>(store: &mut Store<M>, slot: Slot, number: u8) -> Result<(), StoreError<M::Error>> {
    let (key, chain) = credential(number);
    let record = NewRecord { key: &key, chain: &chain, not_before: at(0), not_after: at(100), time_seen: at(1) };
    store.write(slot, &record)?;
    store.confirm(slot)
}

/// Returns the number of the credential that counts after a start.
fn number<M: SlotMedium<Error: PartialEq>>(store: &mut Store<M>) -> (Slot, u8) {
    let selected = store.survey().selected();
    let slot = selected.trial.or(selected.active).expect("a credential is lost");
    let (mut key, mut chain) = ([0; 256], [0; 4096]);
    let stored = store.read(slot, &mut key, &mut chain).expect("what counts can be read");
    let number = stored.key[0];
    let (key, chain) = credential(number);
    assert!(stored.key == key && stored.chain == chain, "the record of {number} is not whole");
    (slot, number)
}

fn slots<F: NorFlash>(flash: F) -> NorFlashSlots<F> {
    NorFlashSlots::new(flash, A, B, SLOT).expect("the regions are right")
}

/// Returns the ways to cut an operation on words of this size.
fn cuts(word: usize) -> [Cut; 6] {
    [Cut::Bits(0), Cut::Bits(0x55), Cut::Bits(0xaa), Cut::Octets(1), Cut::Octets(word / 2), Cut::After]
}

/// Cuts power at each operation of a renewal, in each way: the old credential or the new one is there, whole, and the
/// next can be written.
fn power_fails<const R: usize, const W: usize>(flash: Ram<R, W>) {
    let mut store = Store::new(slots(flash)).unwrap();
    write(&mut store, Slot::A, 1).unwrap();
    write(&mut store, Slot::B, 2).unwrap();
    let before = store.medium().flash().clone();
    let (mut old, mut new) = (0, 0);
    for cut in cuts(W) {
        for operation in 0.. {
            let mut store = Store::new(slots(before.restarted(Some((operation, cut))))).unwrap();
            let written = write(&mut store, Slot::A, 3);
            if written.is_ok() {
                assert!(operation >= 8, "four sectors, payload, header, two words");
                break;
            }
            assert_eq!(written, Err(StoreError::Medium(NorFlashSlotsError::Flash(NorFlashErrorKind::Other))));
            let mut store = Store::new(slots(store.medium().flash().restarted(None))).unwrap();
            match number(&mut store) {
                (Slot::B, 2) => old += 1,
                (Slot::A, 3) => new += 1,
                other => panic!("{other:?} after {cut:?} of operation {operation}"),
            }
            let free = store.survey().selected().active.map_or(Slot::A, Slot::other);
            write(&mut store, free, 4).unwrap();
            assert_eq!(number(&mut store), (free, 4));
        }
    }
    assert!(old > 0 && new > 0);
}

#[test]
fn a_credential_survives_power_loss_at_every_operation() {
    power_fails(Ram::<1, 1>::new());
    power_fails(Ram::<4, 4>::new());
    power_fails(Ram::<1, 16>::new());
    power_fails(Ram::<32, 32>::new());
    power_fails(Ram::<4, 256>::new());
    power_fails(Ram::<32, 32>::correcting());
}

/// Cuts power at each operation of the first enrollment and of the times noted after it: a credential that was
/// committed counts after the restart, or another can be written.
#[test]
fn the_first_credential_survives_errors_for_words_that_were_cut() {
    let enroll = |store: &mut Store<_>| {
        write(store, Slot::A, 1)?;
        store.note_time(Slot::A, at(2))?;
        store.note_time(Slot::A, at(3))
    };
    // Nothing was ever there, or a record that nobody accepted.
    let (blank, mut discarded) = (Ram::<32, 32>::correcting(), Store::new(slots(Ram::correcting())).unwrap());
    let (key, chain) = credential(9);
    let record = NewRecord { key: &key, chain: &chain, not_before: at(0), not_after: at(100), time_seen: at(1) };
    discarded.write(Slot::A, &record).unwrap();
    let (mut none, mut one) = (0, 0);
    for before in [blank, discarded.medium().flash().clone()] {
        for (cut, operation) in cuts(32).into_iter().flat_map(|cut| (0..64).map(move |operation| (cut, operation))) {
            let mut store = Store::new(slots(before.restarted(Some((operation, cut))))).unwrap();
            let enrolled = enroll(&mut store);
            let mut store = Store::new(slots(store.medium().flash().restarted(None))).unwrap();
            let selected = store.survey().selected();
            if let Some(slot) = selected.trial {
                store.confirm(slot).unwrap_or_else(|error| panic!("{error} after {cut:?} of operation {operation}"));
            }
            let free = match store.survey().selected().active {
                Some(slot) => slot.other(),
                None => Slot::A,
            };
            (none, one) = if free == Slot::A { (none + 1, one) } else { (none, one + 1) };
            assert!(enrolled.is_err() || free == Slot::B, "{cut:?} of operation {operation}");
            write(&mut store, free, 4).unwrap_or_else(|error| panic!("{error} after {cut:?} of operation {operation}"));
            assert_eq!(number(&mut store), (free, 4));
        }
    }
    assert!(none > 0 && one > 0);
}

/// The only credential is not overwritten because it cannot be read at the moment: neither if no read succeeds, nor if
/// the first reads of its slot fail, nor if its confirmation cannot be read.
#[test]
fn a_read_that_fails_for_a_while_loses_no_credential() {
    let mut store = Store::new(slots(Ram::<4, 4>::new())).unwrap();
    write(&mut store, Slot::A, 1).unwrap();
    let before = store.medium().flash().clone();
    let (all, first) = (0..FLASH as u32, A..A + SLOT);
    let confirmations = A + 16..A + 16 * 5;
    let of_confirmations = [1, 2, 4, 8, 999].map(|reads| (confirmations.clone(), reads));
    for (places, reads) in [(all, 999), (first.clone(), 1), (first, 2)].into_iter().chain(of_confirmations) {
        let flash = Ram { failing: (places.clone(), reads), ..before.clone() };
        let mut store = Store::new(slots(flash)).unwrap();
        assert!(write(&mut store, Slot::A, 2).is_err(), "{places:?}, {reads} reads");
        let flash = Ram { failing: (0..0, 0), ..store.medium().flash().clone() };
        assert_eq!(number(&mut Store::new(slots(flash)).unwrap()), (Slot::A, 1), "{places:?}, {reads} reads");
        let flash = Ram { failing: (places.clone(), reads), ..before.clone() };
        let mut store = Store::new(slots(flash)).unwrap();
        assert!(store.discard(Slot::A).is_err(), "{places:?}, {reads} reads");
    }
}

#[test]
fn octets_outside_of_the_slots_are_left_alone() {
    let mut ram = Ram::<4, 8>::new();
    let outside = |place: usize| !(A..A + SLOT).contains(&(place as u32)) && !(B..B + SLOT).contains(&(place as u32));
    let mark = |place: usize| if outside(place) { 0x5a } else { 0xff };
    ram.octets = (0..FLASH).map(mark).collect();
    let mut store = Store::new(slots(ram)).unwrap();
    for number in 1..6 {
        let free = store.survey().selected().active.map_or(Slot::A, Slot::other);
        write(&mut store, free, number).unwrap();
    }
    let octets = &store.medium().flash().octets;
    assert!((0..FLASH).filter(|place| outside(*place)).all(|place| octets[place] == 0x5a));
}

#[test]
fn any_offset_and_length_can_be_read() {
    let mut ram = Ram::<32, 32>::new();
    for (place, octet) in ram.octets.iter_mut().enumerate() {
        *octet = (place % 251) as u8;
    }
    let octets = ram.octets.clone();
    let mut slots = slots(ram);
    for offset in [0, 1, 31, 32, 33, 63, SLOT - 70] {
        for length in [0, 1, 2, 31, 32, 33, 64, 70] {
            let mut out = vec![0; length];
            slots.read(Slot::B, offset, &mut out).unwrap();
            assert_eq!(out, octets[(B + offset) as usize..][..length], "{length} at {offset}");
            // Beside the slots too, where a partition is.
            slots.read_flash(offset, &mut out).unwrap();
            assert_eq!(out, octets[offset as usize..][..length], "{length} at {offset} of the flash");
        }
    }
    assert_eq!(slots.read_flash(FLASH as u32 - 1, &mut [0; 2]), Err(NorFlashErrorKind::OutOfBounds));
    let refused = NorFlashSlotsError::OutOfBounds { offset: SLOT - 1, octets: 2, size: SLOT };
    assert_eq!(slots.read(Slot::A, SLOT - 1, &mut [0; 2]), Err(refused));
    assert_eq!(refused.to_string(), "2 octets at 16383 of a slot of 16384");
    assert!(slots.program(Slot::A, SLOT, &[0; 32]).is_err() && slots.read(Slot::A, u32::MAX, &mut [0]).is_err());
}

#[test]
fn regions_that_cannot_be_slots_are_refused_by_name() {
    let refused = |a, b, size| NorFlashSlots::new(Ram::<4, 4>::new(), a, b, size).map(drop).unwrap_err().to_string();
    assert_eq!(refused(A + 4, B, SLOT), "slot A begins at 0x1004: expected a multiple of 4096");
    assert_eq!(refused(A, B + 2048, SLOT), "slot B begins at 0x6800: expected a multiple of 4096");
    assert_eq!(refused(A, B, SLOT - 1), "slots of 16383 octets: expected a multiple of 4096");
    assert_eq!(refused(A, B, 0), "slots of 0 octets: expected more than the 672 that a record takes by itself");
    assert_eq!(
        refused(A, B + SLOT, SLOT),
        "slot B begins at 0xa000 and has 16384 octets: expected an end within 0xb000"
    );
    assert_eq!(refused(A, u32::MAX - 4095, SLOT), {
        "slot B begins at 0xfffff000 and has 16384 octets: expected an end within 0xb000"
    });
    assert_eq!(
        refused(A, A + 4096, SLOT),
        "slots of 16384 octets begin at 0x1000 and 0x2000: expected no octet in both"
    );
    let units = NorFlashSlots::new(Ram::<4, 512>::new(), A, B, SLOT).map(drop);
    assert_eq!(units, Err(NorFlashLayoutError::Units { read: 4, write: 512, erase: SECTOR }));
    assert!(units.unwrap_err().to_string().starts_with("units of 4, 512 and 4096 octets for reading"));
    let small = NorFlashSlots::new(Ram::<4, 256>::new(), A, B, 2 * SECTOR as u32).map(drop);
    assert_eq!(small, Err(NorFlashLayoutError::TooSmall { size: 8192, taken: 9728 }));
}
