//! Encodes and decodes the contents of a slot.
//!
//! | words of max(16, `WRITE_SIZE`) octets | |
//! |---|---|
//! | 0 | commit word: 16 octets that follow from this record's digest alone; programmed last |
//! | 1 to 4 | confirm words, likewise; one is programmed when the record is confirmed, the next if that was cut |
//! | 5 to 36 | time marks: seconds since 1970 (8 octets) and a check (8 octets) |
//! | 37 and on | header, 80 octets, then key and chain, each part filled up with `0xff` to a whole word |

use core::time::Duration;

use pki_types::UnixTime;
use sha2::{Digest, Sha256};

/// The longest key, in octets: PKCS #8 of RSA with 4096 bits has about 2,400.
pub const MAX_KEY: u32 = 4096;
/// The longest chain, in octets.
pub const MAX_CHAIN: u32 = 64 * 1024;
/// The number of times that can be noted beside a record.
pub const TIME_MARKS: u32 = 32;

const MAGIC: [u8; 8] = *b"EDGETRST";
const VERSION: u32 = 1;
/// The number of attempts to confirm a record.
pub(super) const CONFIRM_WORDS: u32 = 4;
pub(super) const HEADER: usize = 80;
/// The length of the header before the digest, which covers this part and the payload.
pub(super) const DIGESTED: usize = 48;
pub(super) const WORD: usize = 16;

/// The header of a record.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// The record's number, which grows with each record.
    pub generation: u32,
    /// The length of the key, in octets.
    pub key_len: u32,
    /// The length of the chain, in octets.
    pub chain_len: u32,
    /// The start of validity (RFC 5280 section 4.1.2.5).
    pub not_before: UnixTime,
    /// The end of validity (RFC 5280 section 4.1.2.5).
    pub not_after: UnixTime,
    /// The highest time that was known when the record was written, or noted since.
    pub time_seen: UnixTime,
    /// The time that was known when the record was written.
    pub written: UnixTime,
    /// The record passed its trial and counts.
    pub confirmed: bool,
    /// The SHA-256 of all fields above as they were written, and of the payload.
    pub digest: [u8; 32],
}

/// A record to be written.
#[derive(Clone, Copy)]
pub struct NewRecord<'a> {
    /// The private key, PKCS #8 in DER.
    pub key: &'a [u8],
    /// The chain, DER certificates one after the other, leaf first.
    pub chain: &'a [u8],
    /// The start of validity (RFC 5280 section 4.1.2.5).
    pub not_before: UnixTime,
    /// The end of validity (RFC 5280 section 4.1.2.5).
    pub not_after: UnixTime,
    /// The time now, if known; else `not_before`, which has certainly passed.
    pub time_seen: UnixTime,
}

/// Reads big-endian numbers from the front.
struct Reader<'a>(&'a [u8]);

impl Reader<'_> {
    fn take<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (front, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*front)
    }

    fn u32(&mut self) -> Option<u32> {
        self.take().map(u32::from_be_bytes)
    }

    fn time(&mut self) -> Option<UnixTime> {
        let seconds = self.take().map(u64::from_be_bytes)?;
        Some(UnixTime::since_unix_epoch(Duration::from_secs(seconds)))
    }
}

impl Header {
    pub(super) fn new(record: &NewRecord<'_>, generation: u32) -> Option<Self> {
        let mut header = Self {
            generation,
            key_len: u32::try_from(record.key.len()).ok().filter(|len| (1..=MAX_KEY).contains(len))?,
            chain_len: u32::try_from(record.chain.len()).ok().filter(|len| (1..=MAX_CHAIN).contains(len))?,
            not_before: record.not_before,
            not_after: record.not_after,
            time_seen: record.time_seen,
            written: record.time_seen,
            confirmed: false,
            digest: [0; 32],
        };
        header.digest = header.digest_of(record.key, record.chain);
        Some(header)
    }

    /// The SHA-256 of header and payload.
    pub(super) fn digest_of(&self, key: &[u8], chain: &[u8]) -> [u8; 32] {
        Sha256::new().chain_update(self.digested()).chain_update(key).chain_update(chain).finalize().into()
    }

    fn digested(&self) -> [u8; DIGESTED] {
        let fields = MAGIC
            .into_iter()
            .chain(VERSION.to_be_bytes())
            .chain(self.generation.to_be_bytes())
            .chain(self.key_len.to_be_bytes())
            .chain(self.chain_len.to_be_bytes())
            .chain(self.not_before.as_secs().to_be_bytes())
            .chain(self.not_after.as_secs().to_be_bytes())
            .chain(self.written.as_secs().to_be_bytes());
        filled(fields)
    }

    pub(super) fn encode(&self) -> [u8; HEADER] {
        filled(self.digested().into_iter().chain(self.digest))
    }

    /// Decodes a header with sizes within bounds; only the payload can show whether the digest is right.
    pub(super) fn decode(octets: &[u8; HEADER]) -> Option<Self> {
        let mut reader = Reader(octets);
        (reader.take() == Some(MAGIC)).then_some(())?;
        (reader.u32() == Some(VERSION)).then_some(())?;
        let generation = reader.u32()?;
        let key_len = reader.u32().filter(|len| (1..=MAX_KEY).contains(len))?;
        let chain_len = reader.u32().filter(|len| (1..=MAX_CHAIN).contains(len))?;
        let [not_before, not_after, written] = [reader.time()?, reader.time()?, reader.time()?];
        Some(Self {
            generation,
            key_len,
            chain_len,
            not_before,
            not_after,
            time_seen: written,
            written,
            confirmed: false,
            digest: reader.take()?,
        })
    }

    pub(super) fn commit_word(&self) -> [u8; WORD] {
        self.word(b"EdgeTrust commit ")
    }

    pub(super) fn confirm_word(&self) -> [u8; WORD] {
        self.word(b"EdgeTrust confirm ")
    }

    fn word(&self, label: &[u8]) -> [u8; WORD] {
        filled(Sha256::new().chain_update(label).chain_update(self.digest).finalize().into_iter())
    }

    /// Encodes a time mark of this record.
    pub(super) fn mark(&self, time: UnixTime) -> [u8; WORD] {
        let seconds = time.as_secs().to_be_bytes();
        let check = Sha256::new().chain_update(b"EdgeTrust time ").chain_update(self.digest).chain_update(seconds);
        filled(seconds.into_iter().chain(check.finalize()))
    }

    /// Decodes a time mark; none where the mark is blank, or power failed while the mark was programmed.
    pub(super) fn read_mark(&self, mark: &[u8; WORD]) -> Option<UnixTime> {
        let time = Reader(mark).time()?;
        (self.mark(time) == *mark).then_some(time)
    }
}

/// The first `N` octets, filled up with `0xff`.
fn filled<const N: usize>(octets: impl Iterator<Item = u8>) -> [u8; N] {
    let mut out = [0xff; N];
    for (to, from) in out.iter_mut().zip(octets) {
        *to = from;
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(seconds: u64) -> UnixTime {
        UnixTime::since_unix_epoch(Duration::from_secs(seconds))
    }

    fn record() -> NewRecord<'static> {
        NewRecord { key: b"key", chain: b"chain", not_before: at(1), not_after: at(2), time_seen: at(3) }
    }

    #[test]
    fn a_header_is_what_it_was() {
        let header = Header::new(&record(), 7).unwrap();
        assert_eq!(Header::decode(&header.encode()), Some(header));
        let other = Header::new(&NewRecord { chain: b"chainx", ..record() }, 7).unwrap();
        assert_ne!(header.digest, other.digest);
        assert_ne!(header.commit_word(), header.confirm_word());
    }

    #[test]
    fn sizes_have_bounds() {
        for (key, chain) in [(0, 1), (1, 0), (MAX_KEY + 1, 1), (1, MAX_CHAIN + 1)] {
            let key = [1; MAX_KEY as usize + 1].get(..key as usize).unwrap();
            let chain = [1; MAX_CHAIN as usize + 1].get(..chain as usize).unwrap();
            assert_eq!(Header::new(&NewRecord { key, chain, ..record() }, 1), None);
        }
    }

    #[test]
    fn marks_are_of_their_record() {
        let (one, other) = (Header::new(&record(), 1).unwrap(), Header::new(&record(), 2).unwrap());
        let mark = one.mark(at(99));
        assert_eq!(one.read_mark(&mark), Some(at(99)));
        assert_eq!(other.read_mark(&mark), None);
        assert_eq!(one.read_mark(&[0xff; WORD]), None);
    }
}
