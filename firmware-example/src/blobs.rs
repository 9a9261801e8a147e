//! Reads the partition: a table of named blobs, in place of files.
//!
//! | octets | |
//! |---|---|
//! | 8 | `EDGEBLOB` |
//! | 4, 4 | version 1; number of entries |
//! | 64 each | name (48, UTF-8, padded with NUL), offset, length (4 each), 8 of zero |
//! | … | the blobs, each at a multiple of four |
//! | last 32 | SHA-256 of all octets before |
//!
//! Numbers are little endian. Certificates are DER, those of one file one after the other; keys are PKCS #8 in DER.

use edgetrust_firmware::board::{Flash, Port, Selected};
use sha2::{Digest, Sha256};

type BoardFlash = <Selected as Port>::Flash;
type FlashError = <BoardFlash as Flash>::Error;

const MAGIC: &[u8; 12] = b"EDGEBLOB\x01\0\0\0";
/// The octets before the entries: magic, version, number of entries.
const HEAD: usize = 16;
const ENTRY: usize = 64;
const NAME: usize = 48;
const DIGEST: usize = 32;
/// The octets that are digested at once.
const CHUNK: usize = 256;

/// The reason for which there are no blobs.
#[derive(Debug, defmt::Format)]
pub enum BlobsError {
    /// The partition cannot be read.
    Flash(FlashError),
    /// The partition does not begin with a table of version 1.
    Magic,
    /// The digest differs from the one that was written.
    Digest,
}

/// The table of blobs.
pub struct Blobs<'a> {
    flash: &'a mut BoardFlash,
    /// The octets before the digest.
    size: usize,
}

fn number(octets: &[u8]) -> Option<usize> {
    let four = octets.first_chunk::<4>()?;
    usize::try_from(u32::from_le_bytes(*four)).ok()
}

impl<'a> Blobs<'a> {
    /// Opens the partition, and checks its digest.
    ///
    /// # Errors
    /// Fails if the partition was never written, or not completely.
    pub fn open(flash: &'a mut BoardFlash) -> Result<Self, BlobsError> {
        let size = flash.partition_size().checked_sub(DIGEST).ok_or(BlobsError::Magic)?;
        let mut blobs = Self { flash, size };
        let mut magic = [0; MAGIC.len()];
        blobs.read(0, &mut magic)?;
        if magic != *MAGIC {
            return Err(BlobsError::Magic);
        }
        let (mut digest, mut chunk) = (Sha256::new(), [0; CHUNK]);
        for from in (0..size).step_by(CHUNK) {
            let part = chunk.get_mut(..CHUNK.min(size.saturating_sub(from))).unwrap_or_default();
            blobs.read(from, part)?;
            digest.update(part);
        }
        let (found, mut written): ([u8; DIGEST], _) = (digest.finalize().into(), [0; DIGEST]);
        blobs.read(size, &mut written)?;
        if found == written { Ok(blobs) } else { Err(BlobsError::Digest) }
    }

    /// Returns the blob of this name, which stays.
    ///
    /// # Errors
    /// Fails if the partition cannot be read, or its blobs exceed the memory for copies.
    pub fn get(&mut self, name: &str) -> Result<Option<&'static [u8]>, BlobsError> {
        let mut head = [0; HEAD];
        self.read(0, &mut head)?;
        let count = head.get(MAGIC.len()..).and_then(number).unwrap_or(0);
        for from in (HEAD..self.size).step_by(ENTRY).take(count) {
            let mut entry = [0; ENTRY];
            self.read(from, &mut entry)?;
            let (written, place) = entry.split_at(NAME);
            let end = written.iter().position(|octet| *octet == 0).unwrap_or(NAME);
            if written.get(..end) != Some(name.as_bytes()) {
                continue;
            }
            let (Some(offset), Some(length)) = (number(place), place.get(4..).and_then(number)) else { break };
            return self.flash.keep(offset, length).map(Some).map_err(BlobsError::Flash);
        }
        Ok(None)
    }

    fn read(&mut self, offset: usize, out: &mut [u8]) -> Result<(), BlobsError> {
        self.flash.read(offset, out).map_err(BlobsError::Flash)
    }
}
