//! Reads, writes, confirms and discards records.

use core::fmt;
use core::ops::Range;

use pki_types::UnixTime;
use sha2::{Digest, Sha256};

use super::medium::{Slot, SlotMedium};
use super::record::{CONFIRM_WORDS, DIGESTED, HEADER, Header, NewRecord, TIME_MARKS, WORD};
use super::select::{Selected, select};

/// The number of octets read or programmed at a time: a whole number of words of every medium.
const CHUNK: usize = 256;

/// The words of a record before its header: commit, confirm, time marks.
const COMMIT: u32 = 0;
const CONFIRM: Range<u32> = 1..CONFIRM_WORDS + 1;
const MARKS: Range<u32> = CONFIRM.end..CONFIRM.end + TIME_MARKS;

/// A store's reason for refusing or failing a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "defmt", derive(defmt::Format))]
pub enum StoreError<E> {
    /// The medium failed.
    Medium(E),
    /// The medium's `WRITE_SIZE` is not a power of two up to 256.
    WriteSize(u32),
    /// The record is empty, or larger than [`super::MAX_KEY`], [`super::MAX_CHAIN`] or the slot.
    Size {
        /// The length of the key, in octets.
        key: usize,
        /// The length of the chain, in octets.
        chain: usize,
        /// The size of a slot, in octets.
        capacity: u32,
    },
    /// The request would lose the confirmed record in this slot.
    Confirmed(Slot),
    /// The slot reads back otherwise than it was written.
    ReadBack(Slot),
    /// The slot holds no record.
    NoRecord(Slot),
    /// The buffer is smaller than key or chain.
    Buffer,
}

impl<E: fmt::Debug> fmt::Display for StoreError<E> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Medium(error) => write!(f, "{error:?}"),
            Self::WriteSize(size) => {
                write!(f, "WRITE_SIZE {size}: expected a power of two, {CHUNK} at the most")
            }
            Self::Size { key, chain, capacity } => {
                write!(f, "a key of {key} and a chain of {chain} octets do not fit into a slot of {capacity}")
            }
            Self::Confirmed(slot) => write!(f, "{slot} holds the confirmed record"),
            Self::ReadBack(slot) => write!(f, "{slot} reads back otherwise than it was written"),
            Self::NoRecord(slot) => write!(f, "{slot} holds no record"),
            Self::Buffer => f.write_str("the buffer is too small"),
        }
    }
}

impl<E: fmt::Debug> core::error::Error for StoreError<E> {}

impl<E> From<E> for StoreError<E> {
    fn from(error: E) -> Self {
        Self::Medium(error)
    }
}

/// The contents of both slots.
#[derive(Clone, Copy, Debug)]
pub struct Survey<E> {
    /// Slot A: a whole, committed record, or none; or the medium's error.
    pub a: Result<Option<Header>, StoreError<E>>,
    /// Slot B, likewise.
    pub b: Result<Option<Header>, StoreError<E>>,
}

impl<E> Survey<E> {
    /// The header of a slot.
    pub fn header(&self, slot: Slot) -> Option<&Header> {
        let header = match slot {
            Slot::A => &self.a,
            Slot::B => &self.b,
        };
        header.as_ref().ok()?.as_ref()
    }

    /// Returns the records that count. A slot that cannot be read has no record.
    pub fn selected(&self) -> Selected {
        select(self.header(Slot::A), self.header(Slot::B))
    }

    /// The highest time that any record knows; an earlier time is not believed.
    pub fn time_seen(&self) -> Option<UnixTime> {
        let seen = Slot::BOTH.into_iter().filter_map(|slot| self.header(slot)).map(|header| header.time_seen);
        seen.max_by_key(UnixTime::as_secs)
    }
}

/// The key and the chain of one record.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Stored<'k, 'c> {
    /// The private key, PKCS #8 in DER.
    pub key: &'k [u8],
    /// The chain, DER certificates one after the other, leaf first.
    pub chain: &'c [u8],
}

impl fmt::Debug for Stored<'_, '_> {
    /// Leaves out the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stored").field("chain", &self.chain.len()).finish_non_exhaustive()
    }
}

/// A store in the two slots of a medium.
#[derive(Debug)]
pub struct Store<M> {
    medium: M,
}

/// The positions of a record's parts, for one medium.
struct Layout {
    word: u32,
    header: u32,
    payload: u32,
}

impl<M: SlotMedium> Store<M> {
    const LAYOUT: Layout = {
        let word = if M::WRITE_SIZE > WORD as u32 { M::WRITE_SIZE } else { WORD as u32 };
        let header = word.wrapping_mul(MARKS.end);
        Layout { word, header, payload: header.wrapping_add(Self::whole(HEADER as u32)) }
    };

    /// The octets of a record beside its key and chain.
    #[cfg(feature = "embedded-storage")]
    pub(super) const FIXED: u32 = Self::LAYOUT.payload;

    /// Rounds up to whole words of the medium.
    const fn whole(octets: u32) -> u32 {
        let words = octets.div_ceil(if M::WRITE_SIZE == 0 { 1 } else { M::WRITE_SIZE });
        words.saturating_mul(M::WRITE_SIZE)
    }

    /// Creates a store on a medium.
    ///
    /// # Errors
    /// If the medium's `WRITE_SIZE` cannot be used.
    pub fn new(medium: M) -> Result<Self, StoreError<M::Error>> {
        let size = M::WRITE_SIZE;
        if !size.is_power_of_two() || usize::try_from(size).is_ok_and(|size| size > CHUNK) {
            return Err(StoreError::WriteSize(size));
        }
        Ok(Self { medium })
    }

    /// The medium.
    pub fn medium(&mut self) -> &mut M {
        &mut self.medium
    }

    /// Reads both slots as a whole and checks their digests.
    pub fn survey(&mut self) -> Survey<M::Error> {
        Survey { a: self.examine(Slot::A), b: self.examine(Slot::B) }
    }

    /// The record of a slot, if it is whole and committed. A confirmation or a time that cannot be read does not count:
    /// power may have failed while it was programmed.
    fn examine(&mut self, slot: Slot) -> Result<Option<Header>, StoreError<M::Error>> {
        let Some(mut header) = self.whole_record(slot)? else { return Ok(None) };
        if self.word(slot, COMMIT)? != header.commit_word() {
            return Ok(None);
        }
        for number in CONFIRM {
            header.confirmed |= self.word(slot, number).is_ok_and(|word| word == header.confirm_word());
        }
        for number in MARKS {
            let mark = self.word(slot, number).ok().and_then(|mark| header.read_mark(&mark));
            if let Some(time) = mark.filter(|time| *time > header.time_seen) {
                header.time_seen = time;
            }
        }
        Ok(Some(header))
    }

    /// The record of a slot, if its digest is right.
    fn whole_record(&mut self, slot: Slot) -> Result<Option<Header>, StoreError<M::Error>> {
        let mut octets = [0; HEADER];
        self.medium.read(slot, Self::LAYOUT.header, &mut octets)?;
        let Some(header) = Header::decode(&octets) else { return Ok(None) };
        let payload = header.key_len.saturating_add(header.chain_len);
        if Self::LAYOUT.payload.saturating_add(Self::whole(payload)) > self.medium.capacity() {
            return Ok(None);
        }
        let mut digest = Sha256::new();
        digest.update(octets.get(..DIGESTED).unwrap_or_default());
        let (mut offset, mut left) = (Self::LAYOUT.payload, usize::try_from(payload).unwrap_or(usize::MAX));
        let mut chunk = [0; CHUNK];
        while left > 0 {
            let Some(part) = chunk.get_mut(..left.min(CHUNK)) else { return Ok(None) };
            self.medium.read(slot, offset, part)?;
            digest.update(&*part);
            offset = offset.saturating_add(CHUNK as u32);
            left = left.saturating_sub(CHUNK);
        }
        let digest: [u8; 32] = digest.finalize().into();
        Ok((digest == header.digest).then_some(header))
    }

    fn word(&mut self, slot: Slot, number: u32) -> Result<[u8; WORD], StoreError<M::Error>> {
        let mut word = [0; WORD];
        self.medium.read(slot, Self::LAYOUT.word.saturating_mul(number), &mut word)?;
        Ok(word)
    }

    fn program_word(&mut self, slot: Slot, number: u32, word: &[u8; WORD]) -> Result<(), StoreError<M::Error>> {
        self.program(slot, Self::LAYOUT.word.saturating_mul(number), word.iter().copied())?;
        self.medium.barrier()?;
        if self.word(slot, number)? != *word {
            return Err(StoreError::ReadBack(slot));
        }
        Ok(())
    }

    /// Programs octets; the last word is filled up with `0xff`.
    fn program(
        &mut self,
        slot: Slot,
        mut offset: u32,
        mut octets: impl Iterator<Item = u8>,
    ) -> Result<(), StoreError<M::Error>> {
        debug_assert!(offset.is_multiple_of(M::WRITE_SIZE), "a part begins inside a word");
        loop {
            let mut chunk = [0xff; CHUNK];
            let mut filled = 0_u32;
            for (to, from) in chunk.iter_mut().zip(octets.by_ref()) {
                *to = from;
                filled = filled.saturating_add(1);
            }
            let whole = usize::try_from(Self::whole(filled)).unwrap_or(CHUNK);
            match chunk.get(..whole) {
                Some([]) | None => return Ok(()),
                Some(part) => self.medium.program(slot, offset, part)?,
            }
            if whole < CHUNK {
                return Ok(());
            }
            offset = offset.saturating_add(CHUNK as u32);
        }
    }

    /// Writes a record, reads it back and commits it. The record counts as on trial until it is confirmed.
    ///
    /// # Errors
    /// If the record does not fit, the slot holds the confirmed record, or the medium fails: the confirmed record
    /// stays confirmed. Words of the slot that cannot be read are no failure, unless they may belong to the only
    /// credential.
    pub fn write(&mut self, slot: Slot, record: &NewRecord<'_>) -> Result<Header, StoreError<M::Error>> {
        let survey = self.survey();
        if survey.selected().active == Some(slot) {
            return Err(StoreError::Confirmed(slot));
        }
        let newest =
            Slot::BOTH.into_iter().filter_map(|slot| survey.header(slot)).map(|header| header.generation).max();
        let capacity = self.medium.capacity();
        let size = StoreError::Size { key: record.key.len(), chain: record.chain.len(), capacity };
        let time_seen = survey.time_seen().filter(|seen| *seen > record.time_seen).unwrap_or(record.time_seen);
        let record = NewRecord { time_seen, ..*record };
        if survey.selected().active.is_none() {
            self.expendable(slot, if slot == Slot::A { survey.a } else { survey.b })?;
        }
        let Some(header) = Header::new(&record, newest.unwrap_or(0).saturating_add(1)) else { return Err(size) };
        let payload = header.key_len.saturating_add(header.chain_len);
        if Self::LAYOUT.payload.saturating_add(Self::whole(payload)) > capacity {
            return Err(size);
        }
        self.medium.erase(slot)?;
        self.program(slot, Self::LAYOUT.payload, record.key.iter().chain(record.chain).copied())?;
        self.program(slot, Self::LAYOUT.header, header.encode().into_iter())?;
        self.medium.barrier()?;
        if self.whole_record(slot)? != Some(header) {
            return Err(StoreError::ReadBack(slot));
        }
        self.program_word(slot, COMMIT, &header.commit_word())?;
        Ok(header)
    }

    /// Checks that a slot, of which this was found, does not hold the only credential while no record is known to be
    /// confirmed: what cannot be read may be.
    fn expendable(
        &mut self,
        slot: Slot,
        found: Result<Option<Header>, StoreError<M::Error>>,
    ) -> Result<(), StoreError<M::Error>> {
        let error = match found {
            Ok(None) => return Ok(()),
            Ok(Some(header)) => {
                // Read once more: a confirmation that could not be read for a moment counts.
                for number in CONFIRM {
                    if self.word(slot, number)? == header.confirm_word() {
                        return Err(StoreError::Confirmed(slot));
                    }
                }
                return Ok(());
            }
            Err(error) => error,
        };
        let mut blank = |mut numbers: Range<u32>| {
            numbers.all(|number| self.word(slot, number).is_ok_and(|word| word == [0xff; WORD]))
        };
        // Power failed before the record was committed, or at least before it was confirmed.
        if blank(COMMIT..CONFIRM.start) || blank(CONFIRM) {
            return Ok(());
        }
        // The error is of this place and not of this moment: the other slot can be read in between.
        let lost = matches!(&error, StoreError::Medium(error) if M::is_loss(error));
        if lost && self.examine(slot.other()).is_ok() && self.examine(slot).is_err() { Ok(()) } else { Err(error) }
    }

    /// Writes a record into `slot` while the record of the other slot is in use. If `slot` holds the confirmed record,
    /// an earlier confirmation of the record in use has failed, and is made first: else the older record would never
    /// make room.
    ///
    /// # Errors
    /// As [`Store::write`] and [`Store::confirm`].
    pub fn write_beside(&mut self, slot: Slot, record: &NewRecord<'_>) -> Result<Header, StoreError<M::Error>> {
        if self.survey().selected().active == Some(slot) {
            self.confirm(slot.other())?;
        }
        self.write(slot, record)
    }

    /// Marks a record as confirmed; a confirmed record stays so.
    ///
    /// # Errors
    /// If there is no record, or the medium fails.
    pub fn confirm(&mut self, slot: Slot) -> Result<(), StoreError<M::Error>> {
        let header = self.examine(slot)?.ok_or(StoreError::NoRecord(slot))?;
        if header.confirmed {
            return Ok(());
        }
        match self.blank(slot, CONFIRM) {
            Some(number) => self.program_word(slot, number, &header.confirm_word()),
            None => Err(StoreError::ReadBack(slot)),
        }
    }

    /// Erases a record.
    ///
    /// # Errors
    /// If the record is the confirmed one or may be the only credential, or the medium fails.
    pub fn discard(&mut self, slot: Slot) -> Result<(), StoreError<M::Error>> {
        let survey = self.survey();
        match survey.selected().active {
            Some(active) if active == slot => return Err(StoreError::Confirmed(slot)),
            Some(_) => {}
            None => self.expendable(slot, if slot == Slot::A { survey.a } else { survey.b })?,
        }
        self.medium.erase(slot)?;
        self.medium.barrier()?;
        Ok(())
    }

    /// Notes a time beside a record; returns false if there is no room, or the time is not later than the last.
    ///
    /// # Errors
    /// If there is no record, or the medium fails.
    pub fn note_time(&mut self, slot: Slot, time: UnixTime) -> Result<bool, StoreError<M::Error>> {
        let header = self.examine(slot)?.ok_or(StoreError::NoRecord(slot))?;
        if time <= header.time_seen {
            return Ok(false);
        }
        let Some(number) = self.blank(slot, MARKS) else { return Ok(false) };
        self.program_word(slot, number, &header.mark(time))?;
        Ok(true)
    }

    /// Returns the first of these words that is blank: no word is programmed twice, even if power failed during the
    /// first time, after which it may not be readable.
    fn blank(&mut self, slot: Slot, numbers: Range<u32>) -> Option<u32> {
        let mut numbers = numbers;
        numbers.find(|number| self.word(slot, *number).is_ok_and(|word| word == [0xff; WORD]))
    }

    /// Reads the key and the chain of a slot.
    ///
    /// # Errors
    /// If there is no whole, committed record, the buffers are too small, or the medium fails.
    pub fn read<'k, 'c>(
        &mut self,
        slot: Slot,
        key: &'k mut [u8],
        chain: &'c mut [u8],
    ) -> Result<Stored<'k, 'c>, StoreError<M::Error>> {
        let header = self.examine(slot)?.ok_or(StoreError::NoRecord(slot))?;
        let length = |octets: u32| usize::try_from(octets).unwrap_or(usize::MAX);
        let key = key.get_mut(..length(header.key_len)).ok_or(StoreError::Buffer)?;
        let chain = chain.get_mut(..length(header.chain_len)).ok_or(StoreError::Buffer)?;
        self.medium.read(slot, Self::LAYOUT.payload, key)?;
        self.medium.read(slot, Self::LAYOUT.payload.saturating_add(header.key_len), chain)?;
        // The check and the copy to the buffers were two reads of the medium.
        let written = self.whole_record(slot)?.ok_or(StoreError::NoRecord(slot))?;
        if written.digest_of(key, chain) != header.digest {
            return Err(StoreError::ReadBack(slot));
        }
        Ok(Stored { key, chain })
    }
}
